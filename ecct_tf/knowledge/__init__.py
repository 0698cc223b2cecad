"""What the two sides tell each other, and how it is written on the wire.

`Downlink` and `Uplink` are the only payloads that cross the boundary; `ExchangeSpec`
declares their form and counts their bytes, the codecs encode them. `ItemTable` is the
frozen item side that the cloud publishes once. The `KnowledgeStore` keeps the newest
uplink of every user with its age, and the distillation losses learn from it.
"""

from ecct_tf.knowledge.codecs import Codec, Encoded, build_codec
from ecct_tf.knowledge.distillation import binary_cross_entropy, distillation
from ecct_tf.knowledge.item_table import Block, ItemTable
from ecct_tf.knowledge.payloads import Downlink, ExchangeSpec, Uplink
from ecct_tf.knowledge.rows import CloudRows, look_up
from ecct_tf.knowledge.store import KnowledgeStore, UplinkRows
from ecct_tf.knowledge.table_codecs import EncodedRows, TableCodec, build_table_codec
from ecct_tf.wire.row_codec import RowCodec

__all__ = [
    "Block",
    "CloudRows",
    "Codec",
    "Downlink",
    "Encoded",
    "EncodedRows",
    "ExchangeSpec",
    "ItemTable",
    "KnowledgeStore",
    "RowCodec",
    "TableCodec",
    "Uplink",
    "UplinkRows",
    "binary_cross_entropy",
    "build_codec",
    "build_table_codec",
    "distillation",
    "look_up",
]
