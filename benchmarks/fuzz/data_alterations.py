"""What is done to a data set before it is written: ids, repetition, times, shapes, wrong cells."""

from collections.abc import Callable

import numpy as np

from benchmarks.fuzz.data_case import DataCase, Event, same_id

__all__ = ["DATA_ALTERATIONS"]

Alteration = Callable[[DataCase, np.random.Generator], None]

_IDS = (
    "0017", "17.0", "1e5", "-1", "+7", "true", "on", "[red]", "a,b", 'say "x"', "a;b|c", "a b",
    "ü", "e\u0301", "日本", "😀", "שלום", "x\u200by", "\ufeffz", "Ａ", "ﬁ", "İ", "=1+1",
    "../../etc", "%s{0}", "#1", "'", "\\", "\\n", "a\tb", "x" * 5000, "NaN.", "none?", "-", "~",
    "9" * 40, "\u00adq",
)  # fmt: skip
_NO_IDS = ("", "  ", "nan", "NULL", "None", "<NA>")
# An id with one of these reads as two lines somewhere.
_BROKEN_IDS = ("a\nb", "a\rb", "a\u2028b", "a\x85b", "a\x00b", "a\x1fb", "a\x0cb", "a\ud800b")
_TIMES = (
    "soon", "", "-1", "1.5", "1e9", "nan", "inf", "٣", "0x10", "1_000", "253402300800", "9" * 30,
    "1e400", "0000-00-00", "2024-13-01", "1969-12-31", "10000-01-01", "2024-01-01T25:00:00",
)  # fmt: skip


def _nothing(case: DataCase, rng: np.random.Generator) -> None:
    """As it is."""


def _hostile_ids(case: DataCase, rng: np.random.Generator) -> None:
    case.style.encoding, case.style.separator = "utf-8", ","
    case.style.mark = False
    for side in ("user", "item"):
        known = sorted({getattr(event, side) for event in case.events})
        chosen = rng.choice(len(_IDS), rng.integers(1, 6), replace=False)
        for old, place in zip(rng.permutation(known), chosen, strict=False):
            case.rename(str(old), _IDS[place], side=side)
    if case.style.format == "csv" and "\ufeffz" in {case.events[0].user}:
        case.expect = "either"


def _padded_ids(case: DataCase, rng: np.random.Generator) -> None:
    """Blanks around ids are none of theirs."""
    for event in case.events:
        if rng.random() < 0.2:
            event.user = str(rng.choice([f" {event.user}", f"{event.user}  ", f"\t{event.user}"]))


def _twin_ids(case: DataCase, rng: np.random.Generator) -> None:
    """One user spelled in two unicode forms, one item in two cases."""
    case.style.encoding, case.style.mark = "utf-8", False
    case.users = case.items = None
    case.sections.pop("users", None)
    case.sections.pop("items", None)
    for event in case.events:
        if event.user == "u1":
            event.user = "Zoe\u0301" if rng.random() < 0.5 else "Zoé"
        if event.item == "i1":
            event.item = "I2"
    # Two spellings may make a user's repetitions: what is expected is one user either way.
    case.expect = "either"


def _broken_ids(case: DataCase, rng: np.random.Generator) -> None:
    case.style.encoding = "utf-8"
    text = str(rng.choice(list(_BROKEN_IDS[:-1])))
    case.rename(case.events[0].user, text, side="user")
    case.expect = "either"


def _missing_id(case: DataCase, rng: np.random.Generator) -> None:
    column = int(rng.integers(2))
    case.cells[int(rng.integers(len(case.events))), column] = str(rng.choice(_NO_IDS))
    case.expect = "refuse"


def _repeated_rows(case: DataCase, rng: np.random.Generator) -> None:
    rule = str(rng.choice(["keep_first", "keep_last", "keep_all", "refuse"]))
    case.filters["duplicates"] = rule
    for _ in range(rng.integers(1, 20)):
        event = case.events[rng.integers(len(case.events))]
        later = event.micros + 1_000_000 * int(rng.integers(0, 5))
        case.events.append(Event(event.user, event.item, later, event.rating))
    if rule == "refuse":
        case.expect = "refuse"


def _minima(case: DataCase, rng: np.random.Generator) -> None:
    case.filters["min_user_interactions"] = int(rng.integers(0, 8))
    case.filters["min_item_interactions"] = int(rng.integers(0, 4))
    case.expect = "either"


def _ratings(case: DataCase, rng: np.random.Generator) -> None:
    case.sections["interactions"] |= {"rating": "rating", "min_rating": float(rng.integers(1, 5))}
    case.expect = "either"
    if rng.random() < 0.3:
        text = str(rng.choice(["nan", "inf", "", "good", "1,5", "--2"]))
        case.cells[int(rng.integers(len(case.events))), 3] = text
        case.expect = "refuse"


def _tied_times(case: DataCase, rng: np.random.Generator) -> None:
    moment = 1_000_000 * int(rng.integers(1, 2_000_000_000))
    for event in case.events:
        event.micros = moment
    case.expect = "either"


def _far_times(case: DataCase, rng: np.random.Generator) -> None:
    """The ends of what a calendar can tell, and 1970 itself."""
    event = case.events[rng.integers(len(case.events))]
    event.micros = 1_000_000 * int(rng.choice([0, 1, 2**31, 4 * 10**9, 253_402_300_799]))
    case.expect = "either"


def _no_times(case: DataCase, rng: np.random.Generator) -> None:
    for event in case.events:
        event.micros = 0
    case.expect = "either"


def _wrong_time(case: DataCase, rng: np.random.Generator) -> None:
    case.cells[int(rng.integers(len(case.events))), 2] = str(rng.choice(_TIMES))
    case.expect = "refuse" if case.unit == "s" else "either"
    case.unknown_meaning = True


def _wrong_unit(case: DataCase, rng: np.random.Generator) -> None:
    """Times of one unit declared as another."""
    units = ["s", "ms", "iso8601", "us", "minutes"]
    declared = str(rng.choice([unit for unit in units if unit != case.unit]))
    case.sections["interactions"]["timestamp_unit"] = declared
    # Seconds that are declared as milliseconds are sound numbers, of January 1970.
    case.expect = "either" if (case.unit, declared) == ("s", "ms") else "refuse"
    case.unknown_meaning = True


def _power_user(case: DataCase, rng: np.random.Generator) -> None:
    items = sorted({event.item for event in case.events})
    for place, item in enumerate(items[: len(items) - int(rng.integers(0, 3))]):
        case.events.append(Event("everything", item, 1_000_000 * (1_700_100_000 + place)))
    if case.users is not None:
        case.users["everything"] = dict.fromkeys(next(iter(case.users.values())), "1")
    # In the temporal split so late a user may have nothing to train on, and is left out.
    case.expect = "either" if case.split == "temporal" else "refuse"


def _one_user(case: DataCase, rng: np.random.Generator) -> None:
    only = case.events[0].user
    case.events = [event for event in case.events if event.user == only]
    case.expect = "either"


def _one_item(case: DataCase, rng: np.random.Generator) -> None:
    for event in case.events:
        event.item = "i0"
    case.filters["duplicates"] = str(rng.choice(["keep_first", "keep_all"]))
    case.expect = "either"


def _short_histories(case: DataCase, rng: np.random.Generator) -> None:
    kept = int(rng.integers(1, 5))
    seen: dict[str, int] = {}
    for event in list(case.events):
        seen[event.user] = seen.get(event.user, 0) + 1
        if seen[event.user] > kept:
            case.events.remove(event)
    case.expect = "either"


def _many_idle(case: DataCase, rng: np.random.Generator) -> None:
    """A catalogue most of which nobody touched."""
    if case.items is not None:
        row = next(iter(case.items.values()))
        case.items |= {f"idle {n}": dict(row) for n in range(int(rng.integers(100, 1500)))}


def _stranger(case: DataCase, rng: np.random.Generator) -> None:
    """An interaction of a user, or with an item, that the table does not have."""
    section = "users" if rng.random() < 0.5 else "items"
    table = case.users if section == "users" else case.items
    named = {event.user if section == "users" else event.item for event in case.events}
    known = [row for row in table or () if row in named]
    if table is None or not known:
        return
    del table[known[0]]
    if same_id("idle") in table and len(table) == 1:
        case.expect = "either"
    elif rng.random() < 0.5:
        case.sections[section]["required"] = True
        case.expect = "refuse"


def _wrong_feature(case: DataCase, rng: np.random.Generator) -> None:
    if case.users is None or case.items is None:
        return
    if rng.random() < 0.5:
        text = str(rng.choice(["inf", "-inf", "1e999", "12 years", "1,5", "0x1F"]))
        next(iter(case.items.values()))["year"] = text
        case.expect = "refuse"
    else:
        next(iter(case.users.values()))["town"] = str(rng.choice(["\x00", "a\nb", "x" * 200_000]))
        case.expect = "either"


DATA_ALTERATIONS: dict[str, Alteration] = {
    "sound": _nothing,
    "hostile ids": _hostile_ids,
    "padded ids": _padded_ids,
    "twin ids": _twin_ids,
    "broken ids": _broken_ids,
    "missing id": _missing_id,
    "repeated rows": _repeated_rows,
    "minima": _minima,
    "ratings": _ratings,
    "tied times": _tied_times,
    "far times": _far_times,
    "no times": _no_times,
    "wrong time": _wrong_time,
    "wrong unit": _wrong_unit,
    "power user": _power_user,
    "one user": _one_user,
    "one item": _one_item,
    "short histories": _short_histories,
    "many idle items": _many_idle,
    "stranger": _stranger,
    "wrong feature": _wrong_feature,
}
