"""Whether a device can take a downlink: of its file's form and table, no older than its last."""

from ecct_tf.errors import DeviceError
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.runtime.edge_file import EdgeFile

__all__ = ["check_downlink"]


def check_downlink(state: DeviceState, downlink: ReceivedDownlink, file: EdgeFile) -> None:
    """Refuses a downlink that the device cannot take.

    Raises:
      DeviceError: it is not of the file's form, belongs to another item table, or is older than
        the one that the device has.
    """
    if downlink.table_sha256 not in ("", file.table_sha256):
        raise DeviceError(
            f"this downlink belongs to item table {downlink.table_sha256[:16]}…, "
            f"{file.name} holds {file.table_sha256[:16]}…; fetch the file that was "
            "exported with the new table, and let it adopt the device"
        )
    sizes = file.sizes
    expected = ((sizes.cloud_dim,), sizes.codec)
    got = (downlink.user_embedding.shape, downlink.user_embedding.dtype.name)
    if got != expected or len(downlink.queries) not in (0, sizes.num_queries):
        raise DeviceError(
            f"downlink: expected a user embedding {expected[0]} {expected[1]} and "
            f"{sizes.num_queries} queries (or none), got {got[0]} {got[1]} and "
            f"{len(downlink.queries)}; cloud and {file.name} were built with different "
            "settings"
        )
    newest = state.downlink
    if newest is not None and downlink.is_older_than(newest):
        raise DeviceError(
            f"device of user {state.user}: this downlink is of round {downlink.round_number} "
            f"and version {downlink.cloud_version}, the device has one of round "
            f"{newest.round_number} and version {newest.cloud_version}; fetch what the cloud "
            "publishes now"
        )
