"""What a data set says, worked out in plain Python and without the library."""

import dataclasses
from collections import Counter

from benchmarks.fuzz.data_case import NEGATIVES, DataCase, Event, same_id

__all__ = ["Truth", "truth_of"]

_NEEDED = 4


@dataclasses.dataclass(frozen=True)
class Truth:
    """What must be read.

    Attributes:
      rows: (user, item, second), each as often as it counts.
      users: all ids, those of a table included.
      items: all ids.
      histories: the items of each user, oldest first.
      feasible: whether leave-one-out can test somebody, and everybody it tests.
    """

    rows: Counter[tuple[str, str, int]]
    users: frozenset[str]
    items: frozenset[str]
    histories: dict[str, list[str]]
    feasible: bool

    @property
    def tested(self) -> dict[str, str]:
        """The item that leave-one-out tests each user with."""
        return {u: items[-1] for u, items in self.histories.items() if len(items) >= _NEEDED}


def truth_of(case: DataCase) -> Truth:
    """What `case` says after its filters."""
    filters = case.sections.get("filters", {})
    least_rating = case.sections["interactions"].get("min_rating")
    events = [
        dataclasses.replace(event, user=same_id(event.user), item=same_id(event.item))
        for event in case.events
        if least_rating is None or event.rating >= least_rating
    ]
    events.sort(key=lambda event: event.micros)
    events = _distinct(events, filters.get("duplicates", "keep_first"))
    least = {
        "user": filters.get("min_user_interactions", 0),
        "item": filters.get("min_item_interactions", 0),
    }
    before = -1
    while before != len(events):
        before = len(events)
        for side, number in least.items():
            sizes = Counter(getattr(event, side) for event in events)
            events = [event for event in events if sizes[getattr(event, side)] >= number]
    users, items = {event.user for event in events}, {event.item for event in events}
    if case.users is not None and not least["user"]:
        users |= set(map(same_id, case.users))
    if case.items is not None and not least["item"]:
        items |= set(map(same_id, case.items))
    histories: dict[str, list[str]] = {}
    # What is read are whole seconds, but the order within one stays that of the microseconds.
    for event in events:
        histories.setdefault(event.user, []).append(event.item)
    tested = [touched for touched in histories.values() if len(touched) >= _NEEDED]
    return Truth(
        rows=Counter((e.user, e.item, e.micros // 1_000_000) for e in events),
        users=frozenset(users),
        items=frozenset(items),
        histories=histories,
        feasible=bool(tested) and all(len(items - set(own)) >= NEGATIVES for own in tested),
    )


def _distinct(events: list[Event], rule: str) -> list[Event]:
    if rule not in ("keep_first", "keep_last"):
        return events
    ordered = events if rule == "keep_first" else events[::-1]
    kept = list({(event.user, event.item): event for event in reversed(ordered)}.values())
    places = {id(event): place for place, event in enumerate(events)}
    return sorted(kept, key=lambda event: places[id(event)])
