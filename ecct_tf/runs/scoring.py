"""Scores of a run's models as its newest checkpoint has them, by side."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import EDGE_METHODS, RunConfig
from ecct_tf.data import Candidates, Dataset
from ecct_tf.errors import ConfigError
from ecct_tf.federated import Algorithm, TrainableCloud
from ecct_tf.knowledge import CloudRows
from ecct_tf.phases import phase
from ecct_tf.runs.models import RunModels
from ecct_tf.runs.newcomers import Newcomers
from ecct_tf.runs.opening import build_models, newest_checkpoint, run_experiment
from ecct_tf.simulation.checkpoints import Checkpoint
from ecct_tf.simulation.evaluation import EdgeEvaluator
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.holding import holds_candidates
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.simulation.run_cloud import restored_cloud
from ecct_tf.simulation.run_folder import RunFolder

__all__ = ["RunScores"]

Array = npt.NDArray[np.float32]


class RunScores:
    """Opens the models of a run when they are first asked, and keeps them.

    Of ECCT's runs neither the cloud nor the starting weights are trained again: weights, what
    devices know of the cloud, and the cloud's own variables come from the checkpoint. The
    models of other methods are built as when they are resumed.

    Attributes:
      experiment: the run's data.
      rounds: that the checkpoint has behind it; 0 of a method without rounds.
    """

    def __init__(self, folder: RunFolder, *, dataset: Dataset | None = None) -> None:
        """Reads checkpoint and data.

        Args:
          folder: of the run.
          dataset: the run's data, where a program handed it over.

        Raises:
          ExportError: when the run has no checkpoint, or other data.
          CheckpointError: when all checkpoints are damaged.
          DataError: when the data is in no file, and `dataset` is None.
        """
        self._folder = folder
        self._checkpoint: Checkpoint | None = None
        if not _complete_when_built(folder.config):
            self._checkpoint = newest_checkpoint(folder)
        self.rounds = 0 if self._checkpoint is None else self._checkpoint.round_number
        self.experiment: Experiment = run_experiment(folder, self._checkpoint, dataset=dataset)

    @functools.cached_property
    def sides(self) -> tuple[str, ...]:
        """Whose models there are: `edge`, `cloud`, or `everything` of a bound with all data."""
        method = self._folder.config.method
        if method == "ecct":
            return ("edge", "cloud")
        if method in EDGE_METHODS:
            return ("edge",)
        test = self.experiment.test
        one = Candidates(test.users[:1], test.positions[:1], test.items[:1])
        return tuple(self._other_scores(one))

    def of(self, side: str, candidates: Candidates) -> Array:
        """The scores that the evaluation gives `candidates`: `[rows, columns] float32`.

        Raises:
          ConfigError: the run has no model of that side.
        """
        self.check_side(side)
        if self._folder.config.method not in EDGE_METHODS:
            return self._other_scores(candidates)[side]
        state = self._models.state
        if side == "edge":
            return self._evaluator.scores(state, _Sent(self._models.known), candidates)
        return self._cloud.scores(
            candidates.users,
            candidates.items,
            knowledge=state.knowledge,
            round_number=state.round_number,
        )

    def check_side(self, side: str) -> None:
        """Raises `ConfigError` unless the run has a model of `side`."""
        if side not in self.sides:
            raise ConfigError(
                f"side: expected one of {', '.join(self.sides)}, the models of a run of method "
                f"{self._folder.config.method}, received {side!r}"
            )

    def ranked_items(self, side: str, user: int) -> npt.NDArray[np.int32]:
        """`[n] int32`: the items that the model of `side` can rank for `user`, ascending."""
        if side == "edge" and holds_candidates(self._folder.config):
            holding = self._models.holding
            if holding is not None:
                return holding.items.of(user)
        return np.arange(1, self.experiment.dataset.num_items + 1, dtype=np.int32)

    @functools.cached_property
    def newcomers(self) -> Newcomers:
        """What the run, of a method with ECCT's edge models, has for users without a device."""
        return Newcomers(self._models)

    @functools.cached_property
    def _models(self) -> RunModels:
        if self._checkpoint is None:
            raise TypeError("expected a checkpoint, which a method with rounds has")
        with phase("opening the models of the devices"):
            return build_models(self._folder, self._checkpoint, self.experiment)

    @functools.cached_property
    def _evaluator(self) -> EdgeEvaluator:
        models = self._models
        return EdgeEvaluator(
            models.process,
            self.experiment.split,
            table=models.table,
            features=self._folder.config.features,
            holding=models.holding,
        )

    @functools.cached_property
    def _cloud(self) -> TrainableCloud:
        if self._checkpoint is None:
            raise TypeError("expected a checkpoint, which a method with rounds has")
        with phase("opening the cloud's model"):
            return restored_cloud(self.experiment, self._checkpoint.arrays, self._models.table)

    @functools.cached_property
    def _other(self) -> tuple[Algorithm[Any], Any]:
        """A method that is not ECCT's, and its state."""
        algorithm = build_algorithm(self.experiment)
        if self._checkpoint is None:
            return algorithm, algorithm.initialize()
        return algorithm, algorithm.from_arrays(self._checkpoint.arrays)

    def _other_scores(self, candidates: Candidates) -> Mapping[str, Array]:
        algorithm, state = self._other
        return algorithm.scores(state, candidates)


class _Sent:
    """Implements `ecct_tf.federated.DownlinkSource` by what a checkpoint says of it."""

    def __init__(self, known: Array | CloudRows) -> None:
        self._known = known

    def downlinks(self, users: npt.NDArray[np.int32], *, round_number: int) -> Array | CloudRows:
        """`[users, d_c] float32`, or rows."""
        del round_number
        if isinstance(self._known, CloudRows):
            return CloudRows(*(array[users] for array in self._known))
        found: Array = self._known[users]
        return found


def _complete_when_built(config: RunConfig) -> bool:
    """Whether the method has no rounds, and so no checkpoints."""
    return config.method in ("cloud-only", "popularity", "ease", "ease-recency")
