from ecct_tf.knowledge.codecs import CODECS, Codec, CodecName, Encoded, build_codec
from ecct_tf.knowledge.distillation import binary_cross_entropy, collaborative_loss, distillation
from ecct_tf.knowledge.item_table import Block, ItemTable
from ecct_tf.knowledge.store import KnowledgeStore, UplinkRows
