"""What a report says in words: whom it is about, whom it is compared with, what was reached."""

import dataclasses
from collections.abc import Sequence

from ecct_tf.errors import ConfigError
from ecct_tf.evaluation import Interval
from ecct_tf.reporting.comparison import KINDS, Comparison, Model
from ecct_tf.reporting.pairs import gain_interval, interval_of
from ecct_tf.reporting.spread import Spread, bytes_text, plural, signed
from ecct_tf.reporting.traffic import Traffic

__all__ = ["Figure", "Rivalry", "Story", "difference", "tell"]

_FEDERATED = KINDS[2]
_BOUND = "centralized"
# With the figure of the subject and its bytes they fill a line; the sentences have all.
_BIG_GAINS = 2


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
class Rivalry:
    """How the subject stands against another model.

    Attributes:
      model: the other one.
      role: what it is, for a sentence.
      gain: of the subject in HR@K, seed by seed.
      interval: of the gain, paired over users; None where ranks are missing.
    """

    model: Model
    role: str
    gain: Spread
    interval: Interval | None


@dataclasses.dataclass(frozen=True, eq=False)
class Story:
    """The heart of a report.

    Attributes:
      subject: the model it is about.
      rivalries: the strongest baseline first (or the one that was asked for), then the best
        federated one, the cloud alone and the upper bound, as far as they are at hand.
      federated: the best federated baseline; None without any.
      sentences: what was reached.
      figures: the big numbers.
    """

    subject: Model
    rivalries: tuple[Rivalry, ...]
    federated: Model | None
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]


def tell(comparison: Comparison, *, against: str | None = None) -> Story:
    """Finds the subject and its rivals, and says what was reached.

    The first comparison is the least flattering one: with the baseline of the highest test HR@K,
    whatever it may see. ECCT's own variants are no baselines but for the one without any
    exchange, nor is the centralized bound, which stands last.

    Args:
      comparison: the models.
      against: name of the baseline to begin with; None for the strongest.

    Raises:
      ConfigError: there is no model called `against`.
    """
    subject = comparison.subject
    rivalries = _rivalries(comparison, subject, against)
    federated = _best(comparison.of_kind(_FEDERATED), but=subject)
    label, hr, interval = comparison.label("hr"), _hr(subject), interval_of(subject)
    run = subject.runs[0]
    sentences = [
        f"{_who(subject)} finds the held-out item among its first {comparison.k} of "
        f"{run.candidates} candidates in {hr.mean * 100:.1f} % of the test interactions"
        f"{_how_sure(subject, interval)}."
    ]
    figures = [
        Figure(
            f"{label}, {subject.name}",
            f"{hr.mean:.3f}",
            _plus_minus(hr),
            "; ".join([_over(subject.seeds), *_ends(interval, signs=False)]),
        )
    ]
    if rivalries:
        told = [f"{_amount(each.gain.mean)} {each.role}{_sure(each)}" for each in rivalries]
        sentences.append(f"That is {_listed(told)}.")
    for each in [each for each in rivalries if each.model.method != _BOUND][:_BIG_GAINS]:
        figures.append(
            Figure(
                f"{label} over {each.model.name}",
                signed(each.gain.mean),
                _plus_minus(each.gain),
                "; ".join([_hr(each.model).text(), *_ends(each.interval, signs=True)]),
            )
        )
    if subject.traffic is not None:
        averaging = next((m for m in comparison.models if m.method == "fedavg"), federated)
        sentence, figure = _transmitted(subject.traffic, averaging)
        sentences.append(sentence)
        figures.append(figure)
    return Story(subject, rivalries, federated, tuple(sentences), tuple(figures))


def difference(model: Model, other: Model, quality: str = "hr") -> Spread | None:
    """Difference of two models, seed by seed; None without a common seed or figure."""
    ours, theirs = model.quality[quality], other.quality[quality]
    if ours is None or theirs is None:
        return None
    first = dict(zip(model.seeds, ours.values, strict=True))
    second = dict(zip(other.seeds, theirs.values, strict=True))
    return Spread.of(first[seed] - second[seed] for seed in model.seeds if seed in second)


def _rivalries(comparison: Comparison, subject: Model, against: str | None) -> tuple[Rivalry, ...]:
    baselines = [model for model in comparison.models if _is_baseline(model, subject)]
    strongest = _named(comparison, subject, against) or _best(baselines, but=subject)
    federated = _best(comparison.of_kind(_FEDERATED), but=subject)
    cloud_only = next((m for m in comparison.models if m.method == "cloud-only"), None)
    bound = next((m for m in comparison.models if m.method == _BOUND), None)
    first = f"the strongest of {plural(len(baselines), 'baseline')} here"
    if strongest is not None:
        first = strongest.name if against or len(baselines) == 1 else f"{strongest.name}, {first}"
    chosen: dict[Model, str] = {}
    for model, role in (
        (strongest, first),
        (federated, "" if federated is None else f"{federated.name}, the best federated one"),
        (cloud_only, "the cloud alone"),
        (bound, "" if bound is None else f"{bound.name}, the upper bound"),
    ):
        if model is not None and model is not subject:
            chosen.setdefault(model, role)
    gains = {model: difference(subject, model) for model in chosen}
    return tuple(
        Rivalry(model, role, gain, gain_interval(subject, model))
        for model, role in chosen.items()
        if (gain := gains[model]) is not None
    )


def _is_baseline(model: Model, subject: Model) -> bool:
    """Whether a model is one that the subject has to beat."""
    if model is subject or model.method == _BOUND:
        return False
    if model.method != "ecct":
        return True
    # Of the variants the one without any exchange, scored where the subject is.
    return model.model.startswith("no exchange") and model.side == subject.side


def _best(models: Sequence[Model], *, but: Model) -> Model | None:
    """The one with the highest test HR@K, which favours it."""
    others = [model for model in models if model is not but]
    return max(others, key=lambda model: _hr(model).mean) if others else None


def _named(comparison: Comparison, subject: Model, against: str | None) -> Model | None:
    if against is None:
        return None
    for model in comparison.models:
        if model.name == against and model is not subject:
            return model
    names = ", ".join(repr(model.name) for model in comparison.models if model is not subject)
    raise ConfigError(f"--against: expected one of {names}, got {against!r}")


def _who(model: Model) -> str:
    if model.name == model.name_without_side:
        return model.name
    return f"{model.name_without_side}'s {model.side} model"


def _hr(model: Model) -> Spread:
    spread = model.quality["hr"]
    return Spread((0.0,)) if spread is None else spread


def _plus_minus(spread: Spread, digits: int = 3) -> str:
    return "" if spread.deviation is None else f"± {spread.deviation:.{digits}f}"


def _over(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _how_sure(subject: Model, interval: Interval | None) -> str:
    """Behind the first figure: how many seeds, and its interval."""
    parts = []
    if len(subject.seeds) > 1:
        parts.append(f"mean of {plural(len(subject.seeds), 'seed')}")
    if interval is not None and interval.low is not None and interval.high is not None:
        parts.append(
            f"95 % interval over {plural(interval.num_users, 'user')}: "
            f"{interval.low * 100:.1f} to {interval.high * 100:.1f} %"
        )
    return f" ({'; '.join(parts)})" if parts else ""


def _sure(rivalry: Rivalry) -> str:
    """Behind a difference: its interval, and whether it says anything."""
    interval = rivalry.interval
    if interval is None or interval.low is None or interval.high is None:
        return ""
    text = f"95 % interval {signed(interval.low)} to {signed(interval.high)}"
    return f" ({text}{'' if interval.excludes_zero else ', which includes zero'})"


def _ends(interval: Interval | None, *, signs: bool) -> list[str]:
    """For a note; empty where there is no interval."""
    if interval is None or interval.low is None or interval.high is None:
        return []
    low, high = (signed(end) if signs else f"{end:.3f}" for end in (interval.low, interval.high))
    return [f"95 % interval {low} to {high}" + (", paired over users" if signs else " over users")]


def _listed(parts: Sequence[str]) -> str:
    """Joined as in a sentence; parts may hold commas.

    >>> _listed(["a"]), _listed(["a", "b"]), _listed(["a", "b", "c"])
    ('a', 'a, and b', 'a; b; and c')
    """
    if len(parts) < 3:
        return ", and ".join(parts)
    return "; ".join([*parts[:-1], f"and {parts[-1]}"])


def _amount(gain: float) -> str:
    if round(abs(gain), 3) == 0:
        return "the same as"
    return f"{abs(gain):.3f} {'above' if gain > 0 else 'below'}"


def _transmitted(traffic: Traffic, other: Model | None) -> tuple[str, Figure]:
    per_round, knowledge = bytes_text(traffic.per_round.mean), bytes_text(traffic.knowledge)
    weights = traffic.parts["weights"]
    sentence = f"A device transmits {per_round} in a round on average"
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
            f". {plural(traffic.rounds, 'round')} and what crosses once make "
            f"{bytes_text(traffic.total.mean)}; the {plural(other.traffic.rounds, 'round')} of "
            f"{other.name} {bytes_text(other.traffic.total.mean)}"
        )
    return f"{sentence}.", Figure("per device and round", per_round, "", note)
