"""Whether a device can take a downlink: of its file's form and table, no older than its last."""

from ecct_tf.config import CodecName
from ecct_tf.errors import DeviceError
from ecct_tf.wire.row_codec import array_codec
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.runtime.edge_file import EdgeFile

__all__ = ["check_codec", "check_downlink"]


def check_codec(file: EdgeFile, codec: CodecName | None) -> None:
    """Refuses a file whose codec is not the one that the device was told of.

    A custom codec is imported by the name that the device's own configuration has, which the file
    must have too: a file alone makes no device import anything.

    Args:
      file: that the device is to run.
      codec: of the device's own configuration; None for any of the library's.

    Raises:
      DeviceError: they are not the same.
      ConfigError: the custom codec cannot be imported, or has no NumPy form.
    """
    named = file.sizes.custom_codec or file.sizes.codec
    if file.sizes.custom_codec and codec is None:
        raise DeviceError(
            f"{file.name}: its run exchanges through exchange.codec={named}, a custom codec; if "
            f"this device has the package, name it: codec={named!r} (DeviceModel). Apps in Kotlin "
            "and in browsers bring their own form of it (docs/extend_codec.md)"
        )
    if codec is not None and codec != named:
        raise DeviceError(
            f"{file.name}: expected a file of exchange.codec={codec}, which this device was told, "
            f"got one of {named}; device and cloud were built with different settings"
        )
    if file.sizes.custom_codec:
        array_codec(named)


def check_downlink(state: DeviceState, downlink: ReceivedDownlink, file: EdgeFile) -> None:
    """Refuses a downlink that the device cannot take.

    Raises:
      DeviceError: it was made for another user, is not of the file's form, belongs to another item
        table, or is older than the one that the device has.
    """
    if downlink.user not in (None, state.user):
        raise DeviceError(
            f"downlink: expected one of user {state.user}, whose device this is, got one of user "
            f"{downlink.user}; fetch it with the token of user {state.user}, and if that was done, "
            "report it to the operator of the service"
        )
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
