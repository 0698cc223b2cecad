"""From the name of a loss to the loss, checked when it is built instead of first at the export."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from ecct_tf.config import SampleConfig, StartConfig, TrainingConfig
from ecct_tf.config.loss_names import (
    TEMPERED,
    distillation_target,
    is_own_distillation,
    is_own_loss,
    loss_target,
)
from ecct_tf.edge.losses import EdgeLoss
from ecct_tf.edge.operators import check_graph
from ecct_tf.edge.plain import phone_gradient
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import Origin, change_of, find_function, guarded, origin_of

__all__ = [
    "build_distillation",
    "build_loss",
    "changed_losses",
    "check_loss_operators",
    "check_losses",
    "find_distillation",
    "find_loss",
    "loss_of",
    "loss_origins",
]

_LABELS, _TEACHER = "training.loss", "training.distillation_loss"
_START = "start.loss"
_NEGATIVES = 3
_NONE: Mapping[str, str] = MappingProxyType({})


def build_loss(name: str, *, setting: str = _LABELS) -> EdgeLoss:
    """The loss of a name; one that is not the library's own is traced once.

    Args:
      name: one of the library's, one that a package registers, or `module:name`.
      setting: where it stands, for messages.

    Raises:
      ConfigError: nothing has the name, its function fails or returns something else, or the
        loss has operators, shapes or dtypes that no phone could run.
    """
    return _built(find_loss(name, setting=setting), name=name, trusted=is_own_loss(name))


def build_distillation(name: str, temperature: float) -> EdgeLoss | None:
    """The distillation loss of a name; None for the library's `tempered`.

    Args:
      name: likewise; its function takes the temperature.
      temperature: T.

    Raises:
      ConfigError: likewise.
    """
    if name == TEMPERED:
        return None
    trusted = is_own_distillation(name)
    return _built(find_distillation(name), temperature, name=name, trusted=trusted)


# A round asks for the losses of each tier, and checking one takes a while.
@functools.lru_cache(maxsize=64)
def _built(function: Callable[..., Any], *given: float, name: str, trusted: bool) -> EdgeLoss:
    loss = loss_of(function, *given, name=name)
    if not trusted:
        check_loss_operators(loss, what=_what(name))
    return loss


def check_losses(
    training: TrainingConfig,
    samples: SampleConfig | None = None,
    *,
    start: StartConfig | None = None,
    others: Mapping[str, str] = _NONE,
) -> None:
    """Builds the losses of a configuration, so that what cannot work is refused early.

    Args:
      training: with the losses of labels and of the cloud's logits.
      samples: with those of further targets; None for none.
      start: with that of the starting weights that the cloud trains; None where it trains none.
      others: names of further losses of labels, by setting.

    Raises:
      ConfigError: as `build_loss` does.
    """
    if start is not None:
        build_loss(start.loss, setting=_START)
    for setting, name in others.items():
        build_loss(name, setting=setting)
    build_loss(training.loss)
    build_distillation(training.distillation_loss, training.temperature)
    for target, config in ({} if samples is None else samples.targets).items():
        where = f"samples.targets.{target}"
        loss = build_loss(config.loss, setting=f"{where}.loss")
        if loss.by_position and config.negatives is None:
            raise ConfigError(
                f"{where}.negatives: expected the label of sampled negatives, with which "
                f"{config.loss} compares a position's own item, got null; give one, such as 0, or "
                "take a loss of single samples"
            )


def find_loss(name: str, *, setting: str = _LABELS) -> Callable[..., Any]:
    """The function that a name stands for; imports its module.

    Raises:
      ConfigError: nothing has the name, its module cannot be imported or lacks the function.
    """
    return find_function(loss_target(name, setting=setting), what=f"{setting}: {_what(name)}")


def find_distillation(name: str, *, setting: str = _TEACHER) -> Callable[..., Any]:
    """The same of a distillation loss.

    Raises:
      ConfigError: likewise.
    """
    target = distillation_target(name, setting=setting)
    return find_function(target, what=f"{setting}: {_what(name)}")


def loss_of(function: Callable[..., Any], *given: float, name: str) -> EdgeLoss:
    """What a loss's function returns.

    Args:
      function: of nothing, or of the temperature.
      given: nothing, or the temperature.
      name: for messages.

    Raises:
      ConfigError: it fails, or returns no `EdgeLoss`.
    """
    what = f"{_what(name)}: its function"
    hint = (
        f"; it was called with the temperature {given[0]:g}"
        if given
        else ("; it was called without arguments")
    )
    with guarded(what, module=function.__module__, hint=hint):
        found = function(*given)
    if not isinstance(found, EdgeLoss) or not callable(found.of):
        raise ConfigError(
            f"{what}: expected it to return an ecct_tf.edge.EdgeLoss, got {type(found).__name__}; "
            "EdgeLoss(of) makes one of a function of logits and labels"
        )
    own = is_own_distillation(name) if given else is_own_loss(name)
    return found if own else dataclasses.replace(found, of=phone_gradient(found.of))


def check_loss_operators(loss: EdgeLoss, *, what: str) -> None:
    """Traces a loss, forward and gradient, and refuses what no phone could run.

    Raises:
      ConfigError: with the operator, its place in the source and what to write instead.
    """
    for stacked in (False, True):
        told = f"{what}, {'stacked' if stacked else 'of one device'}"
        lead = (None,) if stacked else ()
        shape = (*lead, None, 1 + _NEGATIVES) if loss.by_position else (*lead, None)
        expected = "[..., rows]"
        if loss.by_position:
            expected = "[..., positions] or [..., positions, values]"
        graph = tf.Graph()
        with graph.as_default():
            logits, labels = (tf.compat.v1.placeholder(tf.float32, shape) for _ in range(2))
            with (
                guarded(f"{told}: tracing it", module=loss.of.__module__),
                tf.GradientTape() as tape,
            ):
                tape.watch(logits)
                each = loss.of(logits, labels)
            forward = frozenset(graph.get_operations())
            if not _fits(each, lead=len(lead), by_position=loss.by_position):
                got = f"{each.shape} {each.dtype.name}" if tf.is_tensor(each) else repr(each)
                raise ConfigError(f"{told}: expected losses {expected} float32, got {got}")
            with guarded(f"{told}: its gradient", module=loss.of.__module__):
                gradient = tape.gradient(each, logits)
        if gradient is None:
            raise ConfigError(f"{told}: expected losses that depend on the logits; they do not")
        check_graph(graph, forward, what=told)


def _fits(each: Any, *, lead: int, by_position: bool) -> bool:
    """Whether losses have a value a row, or one or several a position."""
    if not tf.is_tensor(each) or each.dtype != tf.float32 or each.shape.rank is None:
        return False
    values = each.shape[lead + 1 :]
    return (
        all(extent is None for extent in each.shape[: lead + 1])
        and each.shape.rank > lead
        and len(values) <= int(by_position)
        and None not in values
    )


def loss_origins(
    training: TrainingConfig,
    samples: SampleConfig | None = None,
    *,
    start: StartConfig | None = None,
    others: Mapping[str, str] = _NONE,
) -> dict[str, Origin]:
    """What is to be recorded of each loss that is not the library's own, by its setting.

    Arguments as of `check_losses`.

    Raises:
      ConfigError: one cannot be imported.
    """
    own = _own(training, samples, start, others)
    return {setting: _origin(setting, name, target) for setting, name, target in own}


def changed_losses(
    training: TrainingConfig,
    recorded: Mapping[str, Origin],
    *,
    samples: SampleConfig | None = None,
    start: StartConfig | None = None,
    others: Mapping[str, str] = _NONE,
) -> list[str]:
    """For each loss whose source is not what was recorded: its name and what changed, in words.

    Raises:
      ConfigError: one cannot be imported.
    """
    changes = (
        change_of(recorded[setting], _origin(setting, name, target), what=_what(name))
        for setting, name, target in _own(training, samples, start, others)
        if setting in recorded
    )
    return [change for change in changes if change is not None]


def _of_targets(samples: SampleConfig | None) -> Iterator[tuple[str, str]]:
    """Setting and name of the loss of each further target."""
    for name, target in sorted(({} if samples is None else samples.targets).items()):
        yield f"samples.targets.{name}.loss", target.loss


def _own(
    training: TrainingConfig,
    samples: SampleConfig | None,
    start: StartConfig | None,
    others: Mapping[str, str],
) -> Iterator[tuple[str, str, str]]:
    """Setting, name and `module:name` of each loss that is not the library's."""
    if start is not None and not is_own_loss(start.loss):
        yield _START, start.loss, loss_target(start.loss, setting=_START)
    if not is_own_loss(training.loss):
        yield _LABELS, training.loss, loss_target(training.loss)
    name = training.distillation_loss
    if not is_own_distillation(name):
        yield _TEACHER, name, distillation_target(name)
    for setting, name in (*_of_targets(samples), *others.items()):
        if not is_own_loss(name):
            yield setting, name, loss_target(name, setting=setting)


def _what(name: str) -> str:
    return f"loss {name!r}"


def _origin(setting: str, name: str, target: str) -> Origin:
    return origin_of(target, what=f"{setting}: {_what(name)}")
