"""What a user is recommended, and what of their history it answers."""

import dataclasses
import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Recommendations", "TouchedItem"]

_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class TouchedItem:
    """An item of a user's history.

    Attributes:
      item: its id.
      title: what people call it; empty where nobody named it.
      timestamp: when the user met it, second.
    """

    item: str
    title: str
    timestamp: int


@dataclasses.dataclass(frozen=True)
class Recommendations:
    """The best items for a user, by one model.

    Iterating yields pairs of item and score.

    Attributes:
      user: their id.
      side: whose model: `edge` for the one on the user's device, `cloud` for the cloud's.
      model: what the run calls it.
      rounds: how many rounds it has behind it.
      items: ids, the best first; fewer than asked for where the catalog has no more.
      scores: the model's score of each, as in the evaluation; only their order means something.
      titles: what people call each; empty texts where nobody named it.
      history: what the user had met, the newest first; none of it is recommended.
      note: for a user without a device in the run, why, and what serves instead; else empty.

    Example:
      >>> found = Recommendations(
      ...     user="u17", side="edge", model="ECCT edge", rounds=10,
      ...     items=("i3", "i1"), scores=(0.25, -1.5), titles=("Tea", ""),
      ...     history=(TouchedItem("i2", "Coffee", 1700000000),),
      ... )
      >>> dict(found), len(found)
      ({'i3': 0.25, 'i1': -1.5}, 2)
      >>> found
      ECCT edge, 10 rounds, for 'u17':
       1. i3  0.250  Tea
       2. i1 -1.500
      after i2 (Coffee)
    """

    user: str
    side: str
    model: str
    rounds: int
    items: tuple[str, ...]
    scores: tuple[float, ...]
    titles: tuple[str, ...]
    history: tuple[TouchedItem, ...]
    note: str = ""

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self.items, self.scores, strict=True)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def frame(self) -> "pd.DataFrame":
        """The items as a pandas frame: `item`, `title`, `score`, indexed by rank from 1."""
        import pandas as pd

        columns = {"item": self.items, "title": self.titles, "score": self.scores}
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(self) + 1, name="rank"))

    @property
    def history_frame(self) -> "pd.DataFrame":
        """The history as a pandas frame: `item`, `title`, `timestamp`, the newest first."""
        import pandas as pd

        names = [field.name for field in dataclasses.fields(TouchedItem)]
        return pd.DataFrame([dataclasses.asdict(each) for each in self.history], columns=names)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON; the items as a list of mappings."""
        values = dataclasses.asdict(self)
        columns = (values.pop("items"), values.pop("scores"), values.pop("titles"))
        history = values.pop("history")
        values["items"] = [
            {"item": item, "title": title, "score": score}
            for item, score, title in zip(*columns, strict=True)
        ]
        return {**values, "history": list(history)}

    def __repr__(self) -> str:
        rows = list(zip(self.items, self.scores, self.titles, strict=True))
        width = max((len(item) for item in self.items), default=0)
        lines = [f"{self._heading}:"]
        for rank, (item, score, title) in enumerate(rows, start=1):
            lines.append(f"{rank:2}. {item:<{width}} {score:6.3f}  {title}".rstrip())
        newest = [
            f"{each.item} ({each.title})" if each.title else each.item for each in self.history[:3]
        ]
        lines.append(f"after {', '.join(newest) or 'nothing'}")
        return "\n".join([*lines, self.note] if self.note else lines)

    def _repr_html_(self) -> str:
        """Two tables side by side for a notebook: what is recommended, and after what."""
        best = self.frame.to_html(float_format="{:.3f}".format, border=0)
        names = ["item", "title"]
        newest = self.history_frame.head(_SHOWN)[names].to_html(index=False, border=0)
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return (
            f"<p>{html.escape(self._heading)}</p>{note}"
            '<div style="display:flex;gap:3em;align-items:flex-start">'
            f"<div>{best}</div><div>after{newest}</div></div>"
        )

    @property
    def _heading(self) -> str:
        rounds = "1 round" if self.rounds == 1 else f"{self.rounds:,} rounds"
        return f"{self.model}, {rounds}, for {self.user!r}"
