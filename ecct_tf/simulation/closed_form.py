"""Models without rounds as algorithms of a run: popularity, EASE and the cloud alone."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from cloud.shared_spaces import InputSpaces
from ecct_tf.baselines import ease_scores, fit_item_weights, popularity_scores
from ecct_tf.data import Candidates
from ecct_tf.errors import ConfigError
from ecct_tf.evaluation import evaluate_scores
from ecct_tf.federated import Arrays, RoundReport
from ecct_tf.federated.algorithm import Ids
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.run_cloud import build_cloud

__all__ = ["ClosedForm", "build_cloud_only", "build_ease", "build_popularity"]

Array = npt.NDArray[np.float32]

_CLOUD_ONLY_EPOCHS = 8
_PLAIN, _FIRM = 500.0, 800.0
_DECAY = 0.9


@dataclasses.dataclass(frozen=True)
class ClosedForm:
    """Implements `ecct_tf.federated.Algorithm` for a model that is complete when built.

    Attributes:
      side: whose model it is.
      score: its scores for candidates.
    """

    side: Literal["cloud", "everything"]
    score: Callable[[Candidates], Array]
    rounds: int = 0
    num_devices: int = 0

    def initialize(self) -> None:
        """There is no state."""

    def next(
        self,
        state: None,
        *,
        round_number: int,
        participants: Ids,
        answering: Ids,
        delays: Ids | None = None,
    ) -> tuple[None, RoundReport]:
        """Refuses: there are no rounds."""
        del state, round_number, participants, answering, delays
        raise ConfigError("a model in closed form has no rounds")

    def scores(self, state: None, candidates: Candidates) -> dict[str, Array]:
        """The model's scores."""
        del state
        return {self.side: self.score(candidates)}

    def to_arrays(self, state: None) -> Arrays:
        """Nothing."""
        del state
        return {}

    def from_arrays(self, arrays: Arrays) -> None:
        """Nothing."""
        del arrays


def build_popularity(experiment: Experiment) -> ClosedForm:
    """How many users met an item in training."""
    num_items, train = experiment.dataset.num_items, _training_parts(experiment)

    def score(candidates: Candidates) -> Array:
        return popularity_scores(train, candidates.items, num_items=num_items)

    return ClosedForm("everything", score)


def build_ease(experiment: Experiment, *, recency: bool) -> ClosedForm:
    """EASE with all data in one place.

    Args:
      experiment: the data.
      recency: whether newer interactions weigh more when a user is scored.
    """
    split = experiment.split
    model = fit_item_weights(
        _training_parts(experiment),
        num_items=experiment.dataset.num_items,
        regularization=_FIRM if recency else _PLAIN,
        similarity=experiment.config.cloud.similarity,
    )

    def score(candidates: Candidates) -> Array:
        histories = [
            split.before(int(user), int(position))
            for user, position in zip(candidates.users, candidates.positions, strict=True)
        ]
        return ease_scores(model, histories, candidates.items, decay=_DECAY if recency else 1.0)

    return ClosedForm("everything", score)


def build_cloud_only(experiment: Experiment, *, spaces: InputSpaces | None = None) -> ClosedForm:
    """The cloud recommender without any exchange.

    It gets the better, on validation, of the closed-form start and of a model trained on
    the cloud's own positions, so that it is not beaten for want of tuning.
    """
    config = experiment.config
    trained = dataclasses.replace(config.cloud, fit_epochs=_CLOUD_ONLY_EPOCHS)
    known = InputSpaces() if spaces is None else spaces
    options = [
        build_cloud(experiment, config=settings, spaces=known)
        for settings in (config.cloud, trained)
    ]

    def score(number: int, candidates: Candidates) -> Array:
        cloud = options[number]
        return cloud.scores(candidates.users, candidates.items, knowledge=None, round_number=0)

    def quality(number: int) -> float:
        scores = score(number, experiment.validation)
        return evaluate_scores(scores, k=config.evaluation.k).ndcg

    best = max(range(len(options)), key=quality)
    return ClosedForm("cloud", lambda candidates: score(best, candidates))


def _training_parts(experiment: Experiment) -> list[npt.NDArray[np.int32]]:
    return [experiment.split.train(int(user)) for user in experiment.split.users]
