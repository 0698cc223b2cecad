"""Starting weights of a run's tiers, which the cloud trains on its own view."""

import numpy as np
import numpy.typing as npt

from cloud import CloudRecommender
from cloud.shared_spaces import InputSpaces, digest
from cloud.start import starting_weights
from cloud.start_samples import StartSamples, hidden_popularity
from ecct_tf.config import Tier
from ecct_tf.config.cloud_names import BUILT_IN_CLOUD
from ecct_tf.data import CloudView
from ecct_tf.data.profile import profile_shape
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.noise import noise_stream
from ecct_tf.phases import phase
from ecct_tf.simulation.builder import device_work
from ecct_tf.simulation.device_sums import DeviceSums
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.run_cloud import fitted_cloud
from ecct_tf.simulation.usable import check_start_histories

__all__ = ["cloud_starts"]

Array = npt.NDArray[np.float32]

# Of the seed of the noise on what the cloud counts, which must not be that of devices.
_STREAM = 0x57A2


def cloud_starts(
    experiment: Experiment,
    table: ItemTable,
    *,
    spaces: InputSpaces | None = None,
    sums: DeviceSums | None = None,
) -> dict[Tier, Array]:
    """Starting weights of the run's tiers, which the cloud trains on its own view.

    Args:
      experiment: the data.
      table: an item table of this cloud, for its shapes.
      spaces: the input spaces that are computed already, and where a new one is kept.
      sums: what devices told the cloud of items. The inner cloud knows the same pairs, so that the
        weights begin on a table like the one that devices hold; what its own users met lately it
        counts among the interactions that it hides.

    Returns:
      `[P] float32` by tier.

    Raises:
      DataError: no history is long enough.
    """
    config = experiment.config
    profile = profile_shape(experiment.groups[0][0].profile.columns)
    works = [
        device_work(config, tier, table=table, profile=profile)
        for tier, share in sorted(config.edge.tiers.items())
        if share > 0
    ]
    view = experiment.view
    check_start_histories(config, int(np.diff(view.older.offsets).max(initial=0)))

    told = sums or DeviceSums()

    def build(inner: CloudView) -> CloudRecommender:
        recent = None
        if told.newest is not None:
            first, second = noise_stream(config.seed)
            recent = hidden_popularity(
                view, inner, spec=told.newest.spec, seed=(first ^ _STREAM, second ^ _STREAM)
            )
        return fitted_cloud(config, inner, spaces=spaces, increments=told.pairs, recent=recent)

    def drawn() -> StartSamples:
        return StartSamples(
            view,
            config.start,
            features=config.features,
            build=build,
            seed=config.seed,
        )

    with phase("training starting weights"):
        if spaces is not None and config.cloud.model == BUILT_IN_CLOUD:
            key = (digest(view), config.start, config.cloud, config.features)
            sizes_asked = (config.edge.embedding_dim, config.exchange.queries, config.seed)
            pairs = () if told.pairs is None else (told.pairs.spec, told.pairs.total.tobytes())
            newest = () if told.newest is None else (told.newest.spec,)
            samples = spaces.once("start", (*key, *sizes_asked, pairs, newest), drawn)
        else:
            samples = drawn()
        return starting_weights(
            view,
            [work.model for work in works],
            config.start,
            features=config.features,
            build=build,
            reads_logit=config.exchange.down and config.exchange.logits,
            seed=config.seed,
            samples=samples,
        )
