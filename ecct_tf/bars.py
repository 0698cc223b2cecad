"""Bars whose most important figures are whole, however narrow the terminal is, and lines elsewhere.

`tqdm` cuts what is too long for the terminal at its right end, where the figures stand. In a file
or a pipe it shows nothing: there `say` writes lines, as often as `Pace` finds due.
"""

import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tqdm.auto import tqdm

__all__ = [
    "Pace",
    "bar_format",
    "count_from_here",
    "open_bar",
    "say",
    "show_figures",
    "validation_text",
]

# What tqdm fills in.
_COUNT = "{n_fmt}/{total_fmt}"
_LEFT = "{remaining} left"
_BAR = "|{bar}|"
_BAR_COLUMNS = 10
_UNKNOWN_WIDTH = 80
# Without a terminal: how many lines of quick steps, and how long a reader waits for the next.
_LINES = 10
_SILENT_SECONDS = 10.0


def open_bar(
    name: str, steps: Iterable[Any] | None = None, *, show: bool = True, **how: Any
) -> Any:
    """A bar of tqdm that shows its name and count, until `show_figures` adds figures.

    Args:
      name: of what is done.
      steps: what the bar is drawn along; None to advance it by hand.
      show: whether to show it where there is a terminal.
      **how: other arguments of tqdm.
    """
    bar: Any = tqdm(
        steps,
        bar_format=f"{_braced(name)} {_COUNT}",
        dynamic_ncols=True,
        disable=None if show else True,
        **how,
    )
    if not bar.disable and (bar.ncols or 0) < 0:
        # A terminal that does not know its width, of which tqdm takes one off.
        bar.dynamic_ncols, bar.ncols = None, _UNKNOWN_WIDTH
    return bar


def show_figures(bar: Any, name: str, figures: Sequence[str], *, more: Sequence[str] = ()) -> None:
    """Lets a bar of `open_bar` show figures from its next refresh on.

    Args:
      bar: the bar.
      name: of what is done.
      figures: shown whatever the width is.
      more: shown in this order as far as there is room.
    """
    if bar.disable:
        return
    state = bar.format_dict
    total, done = state["total"] or 0, state["n"]
    # One that a long run does not outgrow before the next call.
    seconds = state["elapsed"] / max(done - state["initial"], 1) * (total - done)
    bar.bar_format = bar_format(
        name,
        figures,
        count=f"{total or '?'}/{total or '?'}",
        left=f"{tqdm.format_interval(seconds)} left",
        width=state["ncols"] or None,
        more=more,
    )


def count_from_here(bar: Any) -> None:
    """Lets a bar of `open_bar` expect the time left from the steps after the next `update` alone.

    Called before that update, of a step that also prepares the others; until another is done, the
    bar has `?` for the time left.

    Args:
      bar: the bar, with `smoothing=0.0`.
    """
    if not bar.disable:
        bar.initial, bar.start_t = bar.n + 1, time.time()


def say(line: str, *, show: bool = True) -> None:
    """Writes a line to stderr where no terminal is, in which bars say the same.

    Args:
      line: what happened.
      show: False writes nothing, as `open_bar` shows nothing.
    """
    if show and not sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)


class Pace:
    """Which of many steps have a line of their own where no terminal is.

    Of quick steps every few have one, and the first and the last; of slow ones each has.

    Args:
      steps: how many there are.

    >>> pace = Pace(30)
    >>> [step for step in range(1, 31) if pace.is_due(step, now=0.0)]
    [1, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._every = max(1, math.ceil(steps / _LINES))
        self._said: float | None = None

    def is_due(self, done: int, *, now: float) -> bool:
        """Whether step `done`, counted from 1, has a line; called once for each step.

        Args:
          done: the step.
          now: seconds of a clock that is never set back.
        """
        quick = self._said is not None and now - self._said < _SILENT_SECONDS
        if quick and done % self._every and done != self._steps:
            return False
        self._said = now
        return True


def bar_format(
    name: str,
    figures: Sequence[str],
    *,
    count: str,
    left: str,
    width: int | None,
    more: Sequence[str] = (),
) -> str:
    """A `bar_format` of tqdm that fits: figures first, then time, what else there is, and a bar.

    Args:
      name: of what is done. It loses words, from its end, before a figure is lost.
      figures: shown whatever the width is; where it has no room for them, they alone.
      count: how long the count of steps is, as an example.
      left: how long the time left is, as an example.
      width: columns of the terminal; None where nothing is cut.
      more: shown in this order as far as there is room.

    >>> bar_format("ECCT", ["edge 0.75"], count="3/30", left="00:10 left", width=40)
    'ECCT {n_fmt}/{total_fmt}, edge 0.75, {remaining} left'
    >>> bar_format("ECCT long", ["edge 0.75"], count="3/30", left="00:10 left", width=20)
    'ECCT {n_fmt}/{total_fmt}, edge 0.75'
    """
    room = 10_000 if width is None else width
    if len(", ".join((count, *figures))) > room:
        return ", ".join(map(_braced, figures))
    room -= len(", ".join((count, *figures)))
    words = name.split()
    while words and len(" ".join(words)) + 1 > room:
        words.pop()
    shown = " ".join(words).rstrip(",;:")
    room -= len(shown) + 1 if shown else 0
    parts = [_braced(figure) for figure in figures]
    for part, example in ((_LEFT, left), *((_braced(each), each) for each in more)):
        if len(example) + 2 <= room:
            parts.append(part)
            room -= len(example) + 2
    head = f"{_braced(shown)} {_COUNT}".lstrip()
    # A blank, two lines and the bar between them.
    return ", ".join((f"{head} {_BAR}" if room >= _BAR_COLUMNS + 3 else head, *parts))


def validation_text(metric: str, sides: Mapping[str, float]) -> str:
    """Quality on the validation items, by side, in the fewest words.

    >>> validation_text("HR@10", {"edge": 0.75, "cloud": 0.5})
    'val HR@10 edge 0.7500 cloud 0.5000'
    """
    return " ".join(("val", metric, *(f"{side} {value:.4f}" for side, value in sides.items())))


def _braced(text: str) -> str:
    """Text that tqdm formats to itself."""
    return text.replace("{", "{{").replace("}", "}}")
