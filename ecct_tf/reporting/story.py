"""What a report says in words: whom it is about, whom it is compared with, what was reached."""

import dataclasses
from collections.abc import Sequence

from ecct_tf.errors import ConfigError
from ecct_tf.reporting.comparison import KINDS, Comparison, Model
from ecct_tf.reporting.spread import Spread, bytes_text, plural, signed
from ecct_tf.reporting.traffic import Traffic

__all__ = ["Figure", "Story", "difference", "tell"]

_FEDERATED = KINDS[2]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A big number.

    Attributes:
      name: what it is.
      value: the number.
      spread: ± over the seeds, or empty.
      note: what to know about it.
    """

    name: str
    value: str
    spread: str
    note: str


@dataclasses.dataclass(frozen=True, eq=False)
class Story:
    """The heart of a report.

    Attributes:
      subject: the model it is about.
      rival: the best federated baseline, or the one that was asked for; None without any.
      cloud_only: the cloud without exchange; None where it is not at hand.
      sentences: what was reached.
      figures: the big numbers.
    """

    subject: Model
    rival: Model | None
    cloud_only: Model | None
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]


def tell(comparison: Comparison, *, against: str | None = None) -> Story:
    """Finds the subject and its rivals, and says what was reached.

    Args:
      comparison: the models.
      against: name of the baseline; None for the best federated one on test HR@K, which
        favours the baseline.

    Raises:
      ConfigError: there is no model called `against`.
    """
    subject = _subject(comparison)
    rival = _rival(comparison, subject, against)
    cloud_only = next((m for m in comparison.models if m.method == "cloud-only"), None)
    if cloud_only is subject:
        cloud_only = None
    label, hr = comparison.label("hr"), _hr(subject)
    run = subject.runs[0]
    sentences = [
        f"{_who(subject)} finds the held-out item among its first {comparison.k} of "
        f"{run.candidates} candidates in {hr.mean * 100:.1f} % of the test interactions"
        + (f" (mean of {plural(len(subject.seeds), 'seed')})." if len(subject.seeds) > 1 else ".")
    ]
    figures = [
        Figure(f"{label}, {subject.name}", f"{hr.mean:.3f}", _plus_minus(hr), _over(subject.seeds))
    ]
    rivals = [(rival, _role(rival, against)), (cloud_only, "the cloud alone")]
    told: list[str] = []
    for model, role in rivals:
        gain = None if model is None else difference(subject, model)
        if model is None or gain is None or (model is rival and rival is cloud_only and told):
            continue
        told.append(f"{_amount(gain.mean)} {role}")
        figures.append(
            Figure(
                f"{label} over {role.partition(' (')[0]}",
                signed(gain.mean),
                _plus_minus(gain),
                f"{model.name}: {_hr(model).mean:.3f}",
            )
        )
    if told:
        sentences.append(f"That is {' and '.join(told)}.")
    if subject.traffic is not None:
        averaging = next((m for m in comparison.models if m.method == "fedavg"), rival)
        sentence, figure = _transmitted(subject.traffic, averaging)
        sentences.append(sentence)
        figures.append(figure)
    return Story(subject, rival, cloud_only, tuple(sentences), tuple(figures))


def difference(model: Model, other: Model, quality: str = "hr") -> Spread | None:
    """Difference of two models, seed by seed; None without a common seed or figure."""
    ours, theirs = model.quality[quality], other.quality[quality]
    if ours is None or theirs is None:
        return None
    first = dict(zip(model.seeds, ours.values, strict=True))
    second = dict(zip(other.seeds, theirs.values, strict=True))
    return Spread.of(first[seed] - second[seed] for seed in model.seeds if seed in second)


def _subject(comparison: Comparison) -> Model:
    own = [model for model in comparison.models if model.runs]
    ours = [model for model in own if model.kind == KINDS[0]] or own
    edges = [model for model in ours if model.side == "edge"]
    return (edges or ours)[0]


def _rival(comparison: Comparison, subject: Model, against: str | None) -> Model | None:
    if against is not None:
        for model in comparison.models:
            if model.name == against and model is not subject:
                return model
        names = ", ".join(repr(model.name) for model in comparison.models if model is not subject)
        raise ConfigError(f"--against: expected one of {names}, got {against!r}")
    federated = [model for model in comparison.of_kind(_FEDERATED) if model is not subject]
    return max(federated, key=lambda model: _hr(model).mean) if federated else None


def _who(model: Model) -> str:
    if model.name == model.name_without_side:
        return model.name
    return f"{model.name_without_side}'s {model.side} model"


def _role(rival: Model | None, against: str | None) -> str:
    if rival is None or against is not None:
        return "" if rival is None else rival.name
    return f"the best federated baseline ({rival.name})"


def _hr(model: Model) -> Spread:
    spread = model.quality["hr"]
    return Spread((0.0,)) if spread is None else spread


def _plus_minus(spread: Spread, digits: int = 3) -> str:
    return "" if spread.deviation is None else f"± {spread.deviation:.{digits}f}"


def _over(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _amount(gain: float) -> str:
    if round(abs(gain), 3) == 0:
        return "the same as"
    return f"{abs(gain):.3f} {'above' if gain > 0 else 'below'}"


def _transmitted(traffic: Traffic, other: Model | None) -> tuple[str, Figure]:
    per_round, knowledge = bytes_text(traffic.per_round.mean), bytes_text(traffic.knowledge)
    weights = traffic.parts["weights"]
    sentence = f"A device transmits {per_round} in a round"
    if traffic.knowledge and weights:
        sentence += f": {knowledge} of knowledge and {bytes_text(weights)} of shared weights"
    note = f"{knowledge} of them knowledge" if weights else "all of it knowledge"
    if other is not None and other.traffic is not None:
        theirs = other.traffic.per_round.mean
        note += f"; {other.name}: {bytes_text(theirs)}"
        sentence += f"; {other.name} ships {bytes_text(theirs)}"
        if theirs and traffic.per_round.mean:
            ratio = theirs / traffic.per_round.mean
            sentence += f", {ratio:.{1 if ratio >= 1 else 2}f} times as much"
        sentence += (
            f". All {traffic.rounds} rounds and the item table make "
            f"{bytes_text(traffic.total.mean)}; the {other.traffic.rounds} rounds of {other.name} "
            f"{bytes_text(other.traffic.total.mean)}"
        )
    return f"{sentence}.", Figure("per device and round", per_round, "", note)
