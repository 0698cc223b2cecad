"""Starting weights of a run's tiers, which the cloud trains on its own view."""

import numpy as np
import numpy.typing as npt

from cloud import CloudRecommender
from cloud.shared_spaces import InputSpaces, digest
from cloud.start import starting_weights
from cloud.start_samples import StartSamples
from ecct_tf.config import RunConfig, Tier
from ecct_tf.config.cloud_names import BUILT_IN_CLOUD
from ecct_tf.data import CloudView
from ecct_tf.data.profile import profile_shape
from ecct_tf.errors import DataError
from ecct_tf.knowledge import ItemTable
from ecct_tf.phases import phase
from ecct_tf.simulation.builder import device_work
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.increments import ItemIncrements
from ecct_tf.simulation.run_cloud import fitted_cloud

__all__ = ["cloud_starts"]

Array = npt.NDArray[np.float32]

# A history of which a share of nearly all leaves something.
_LONG = 10_000


def cloud_starts(
    experiment: Experiment,
    table: ItemTable,
    *,
    spaces: InputSpaces | None = None,
    increments: ItemIncrements | None = None,
) -> dict[Tier, Array]:
    """Starting weights of the run's tiers, which the cloud trains on its own view.

    Args:
      experiment: the data.
      table: an item table of this cloud, for its shapes.
      spaces: the input spaces that are computed already, and where a new one is kept.
      increments: what devices told the cloud of pairs of items, which the inner cloud knows too:
        the weights then begin on a table like the one that devices hold.

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
    _check_histories(config, int(np.diff(view.older.offsets).max(initial=0)))

    def build(inner: CloudView) -> CloudRecommender:
        return fitted_cloud(config, inner, spaces=spaces, increments=increments)

    def drawn() -> StartSamples:
        return StartSamples(
            view, config.start, features=config.features, build=build, seed=config.seed
        )

    with phase("training starting weights"):
        samples = None
        if spaces is not None and config.cloud.model == BUILT_IN_CLOUD:
            key = (digest(view), config.start, config.cloud, config.features)
            sizes_asked = (config.edge.embedding_dim, config.exchange.queries, config.seed)
            told = () if increments is None else (increments.spec, increments.total.tobytes())
            samples = spaces.once("start", (*key, *sizes_asked, *told), drawn)
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


def _check_histories(config: RunConfig, longest: int) -> None:
    """Refuses histories of which the cloud that starting weights are trained with knows no pair."""
    start = config.start
    if start.left_of(longest) > 1 or config.cloud.model != BUILT_IN_CLOUD:
        return
    needed = next((size for size in range(3, _LONG) if start.left_of(size) > 1), None)
    ways = ["Lower start.inner_fraction"]
    if needed is not None:
        ways = [f"Bring a user with {needed} or more older ones", "lower data.recent_fraction"]
    # The method is nothing without starting weights.
    ways += [] if config.method == "dccl" else ["set edge.start=random"]
    raise DataError(
        f"the cloud knows at most {longest} older interactions of each user, of which it trains "
        f"the devices' starting weights on the newest {longest - start.left_of(longest)} "
        f"(start.inner_fraction={start.inner_fraction:g}) with a cloud that knows the others: "
        "expected 2 or more others of at least one user, since that cloud learns which items "
        f"follow each other. {', or '.join(ways)}."
    )
