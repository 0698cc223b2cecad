"""The bytes that cross between devices and the cloud, or are kept of them. No TensorFlow here.

`UplinkForm` fixes the layout of one user's uplink; `pack_uplink` and `unpack_uplink` are
for a device, `unpack_uplinks` reads thousands at once. `UplinkRecord` is the versioned
envelope in which an uplink travels to the cloud and stands in its log; `by_place` leaves its items
out on the way, where the service holds the questions. `DownlinkFile`,
`ItemTableFile`, the delta of two item tables and `StartFile`, the starting weights of an edge
model, are what the cloud publishes, and `Publication` says where they lie.
"""

from ecct_tf.wire.downlink import DownlinkFile, DownlinkForm, WireDownlink
from ecct_tf.wire.item_delta import apply_item_delta, delta_rows, item_delta
from ecct_tf.wire.item_sections import Section
from ecct_tf.wire.item_table import ItemTableFile
from ecct_tf.wire.places import PlacedRecord, by_place, placed_bytes, questions_fingerprint
from ecct_tf.wire.publication import (
    CURRENT_NAME,
    Publication,
    PublishedDelta,
    PublishedFile,
    PublishedShard,
    PublishedStart,
)
from ecct_tf.wire.record import HEADER, RECORD_SCHEMA, UplinkRecord, split_records
from ecct_tf.wire.sealed import digest_of
from ecct_tf.wire.start import StartFile, architecture_fingerprint
from ecct_tf.wire.uplink import (
    UplinkForm,
    WireUplink,
    decoded,
    decoded_uplink,
    pack_uplink,
    pack_uplinks,
    unpack_uplink,
    unpack_uplinks,
)

__all__ = [
    "CURRENT_NAME",
    "HEADER",
    "RECORD_SCHEMA",
    "DownlinkFile",
    "DownlinkForm",
    "ItemTableFile",
    "PlacedRecord",
    "Publication",
    "PublishedDelta",
    "PublishedFile",
    "PublishedShard",
    "PublishedStart",
    "Section",
    "StartFile",
    "UplinkForm",
    "UplinkRecord",
    "WireDownlink",
    "WireUplink",
    "apply_item_delta",
    "architecture_fingerprint",
    "by_place",
    "decoded",
    "decoded_uplink",
    "delta_rows",
    "digest_of",
    "item_delta",
    "pack_uplink",
    "pack_uplinks",
    "placed_bytes",
    "questions_fingerprint",
    "split_records",
    "unpack_uplink",
    "unpack_uplinks",
]
