"""DCCL as far as it runs without an exchange: each device fine-tunes what the cloud trained, alone.

Yao et al. (KDD 2021, arXiv 2104.06624) deploy a model that the cloud trained, let each device learn
a patch to it from its own interactions (MetaPatch), and distil the patched models into the cloud's
(MoMoDistill). Here is the device side, with ECCT's edge model, features and start. That a device
trains a whole copy of its few thousand weights in place of a patch is inferred; the cloud side is
left out, since patched models would have to leave devices.
"""

import dataclasses

from cloud.shared_spaces import InputSpaces
from ecct_tf.knowledge.table_files import transmit
from ecct_tf.simulation.builder import edge_config
from ecct_tf.simulation.ecct import EcctAlgorithm, assemble
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.run_cloud import build_cloud
from ecct_tf.simulation.starts import cloud_starts

__all__ = ["build_device_cloud"]


def build_device_cloud(
    experiment: Experiment, *, spaces: InputSpaces | None = None
) -> EcctAlgorithm:
    """Devices with the cloud's item table and starting weights, to which nothing else ever comes.

    Args:
      experiment: the data.
      spaces: the input spaces that are computed already, and where a new one is kept.
    """
    own = dataclasses.replace(experiment, config=edge_config(experiment.config))
    exchange = own.config.exchange
    published = build_cloud(own, spaces=spaces).publish()
    table, num_bytes = transmit(published, exchange.item_table, exchange.codec)
    starts = cloud_starts(own, table, spaces=spaces)
    return assemble(own, table=table, table_bytes=num_bytes, cloud=None, starts=starts)
