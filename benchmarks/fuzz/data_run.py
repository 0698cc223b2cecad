"""A data set through `ecct data check` and `ecct simulate`, and what they must make of it."""

import csv
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.command import Ran, Step, run
from benchmarks.fuzz.data_alterations import DATA_ALTERATIONS
from benchmarks.fuzz.data_case import NEGATIVES, DataCase, plain_case, same_id
from benchmarks.fuzz.data_files import INTERACTIONS, path_of, write_case
from benchmarks.fuzz.data_truth import Truth, truth_of
from benchmarks.fuzz.file_alterations import FILE_ALTERATIONS
from benchmarks.fuzz.schema_alterations import SCHEMA_ALTERATIONS
from benchmarks.fuzz.settings import odd_setting
from benchmarks.fuzz.verdict import Fault, Outcome

__all__ = ["DATA_KINDS", "run_data"]

_CHECK_SECONDS, _SIMULATE_SECONDS = 30.0, 240.0
_SETTINGS = "settings"
DATA_KINDS = (*DATA_ALTERATIONS, *SCHEMA_ALTERATIONS, *FILE_ALTERATIONS, *[_SETTINGS] * 6)
_COUNTS = re.compile(r"([\d,]+) interactions? of ([\d,]+) users? with ([\d,]+) items?")

_TINY = (
    "baselines=false", "evaluation.k=5", "edge.tiers={linear: 1.0}", "cloud.rank=2",
    "cloud.free_dim=1", "cloud.hidden_dim=4", "cloud.fit_epochs=1", "cloud.update_epochs=1",
    "cloud.next_item.epochs=0", "exchange.queries=4", "exchange.stage_1_rounds=0",
)  # fmt: skip
_CHEAP = ("popularity", "ease", "ease-recency")


def run_data(
    folder: Path, kind: str, rng: np.random.Generator, step: Step, note: dict[str, str]
) -> Outcome:
    """Makes a case in `folder` and runs it.

    Args:
      folder: to work in.
      kind: what is altered, out of `DATA_KINDS`.
      rng: of the case.
      step: announces each command.
      note: takes what is worth keeping of a fault.
    """
    import tensorflow as tf

    # Tracing is what takes the time of runs as small as these.
    tf.config.run_functions_eagerly(True)
    case = plain_case(rng)
    if kind in DATA_ALTERATIONS:
        DATA_ALTERATIONS[kind](case, rng)
    elif kind in SCHEMA_ALTERATIONS:
        SCHEMA_ALTERATIONS[kind](case, rng)
    schema = write_case(case, folder)
    if kind in FILE_ALTERATIONS:
        FILE_ALTERATIONS[kind](case, path_of(folder, INTERACTIONS, case.style), rng)
    settings = [*_TINY, f"evaluation.negatives={NEGATIVES}", f"data.split={case.split}"]
    if case.split == "temporal":
        settings.append("data.test_fraction=0.2")
    options = [word for setting in settings for word in ("--set", setting)]
    step("data check", _CHECK_SECONDS)
    checked = run("data", "check", str(schema), *options)
    note["check"] = f"{checked.command}\n{checked.out}\n{checked.error}"
    truth = None if case.schema_text is not None else _truth(case)
    _judge(case, truth, checked)
    if checked.code:
        return "refused"
    _compare(case, truth, schema, checked, step)
    changed = odd_setting(rng) if kind == _SETTINGS else None
    method = "ecct" if rng.random() < (0.4 if changed else 0.1) else str(rng.choice(_CHEAP))
    if changed is not None:
        options += ["--set", changed]
    if method not in _CHEAP:  # which have no rounds
        options += ["--rounds", "1"]
    out = folder / "run"
    step(f"simulate {method} {changed or ''}", _SIMULATE_SECONDS)
    ran = run(
        "simulate", "--dataset", "files", "--set", f"data.schema={schema}", "--method", method,
        "--out", str(out), *options,
    )  # fmt: skip
    note["simulate"] = f"{ran.command}\n{ran.out}\n{ran.error}"
    if ran.code:
        words = ran.reason()
        if changed is None:
            raise Fault(f"{method}: the check accepts it and the run does not: {words}")
        return "refused"
    _check_results(out)
    if changed is not None:
        _check_setting(out, changed)
    elif truth is not None and not case.unknown_meaning and case.split != "temporal":
        _check_tested(out, schema, truth)
    return "accepted"


def _truth(case: DataCase) -> Truth | None:
    try:
        return truth_of(case)
    except (TypeError, AttributeError, KeyError):
        return None  # the schema says something that has no meaning


def _judge(case: DataCase, truth: Truth | None, checked: Ran) -> None:
    """Whether the check accepts what it must and refuses what it must."""
    if checked.code:
        words = checked.reason()
        sound = truth is not None and truth.feasible and not case.unknown_meaning
        if case.expect == "accept" and sound:
            raise Fault(f"expected to accept a sound data set, got: {words}")
        return
    if case.expect == "refuse":
        raise Fault(f"expected a refusal, got exit code 0:\n{checked.out}")


def _compare(case: DataCase, truth: Truth | None, schema: Path, checked: Ran, step: Step) -> None:
    """Whether what was read is what the files say, and the report says so."""
    from ecct_tf.data import load_files

    step("load_files", _CHECK_SECONDS)
    dataset, report = load_files(schema)
    told = _COUNTS.search(checked.out)
    read = (dataset.num_interactions, dataset.num_users, dataset.num_items)
    if told is None or tuple(int(n.replace(",", "")) for n in told.groups()) != read:
        raise Fault(f"expected the check to report {read}, got {told and told.group()!r}")
    rows = next(file.rows for file in report.files if file.section == "interactions")
    removed = sum(count.rows for count in report.filters)
    if rows != removed + dataset.num_interactions:
        raise Fault(f"{rows} rows, {removed} left out by filters, {read[0]} read: rows are lost")
    if truth is None or case.unknown_meaning:
        return
    users = [same_id(token) for token in dataset.user_tokens]
    items = [same_id(token) for token in dataset.item_tokens]
    found = Counter(
        (users[u], items[i - 1], int(second))
        for u, i, second in zip(dataset.users, dataset.items, dataset.timestamps, strict=True)
    )
    for what, expected, got in (
        ("users", truth.users, users),
        ("items", truth.items, items),
    ):
        if len(got) != len(set(got)) or expected != set(got):
            different = sorted(expected ^ set(got))[:5]
            raise Fault(f"{what}: expected {len(expected)}, got {len(got)}; differing {different}")
    if found != truth.rows:
        missing, more = list(truth.rows - found)[:3], list(found - truth.rows)[:3]
        raise Fault(f"interactions differ: missing {missing}, too many {more}")


def _check_results(out: Path) -> None:
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise Fault("expected a row of results, got none")
    for row in rows:
        for name, text in row.items():
            share = name in ("hr", "ndcg", "mrr")
            if share and not 0 <= _number(text) <= 1:
                raise Fault(f"exit code 0 with {name} {text!r} in {row}")
            # What a method does not give is left blank.
            if name in ("auc", "gauc", "log_loss") and text and not math.isfinite(_number(text)):
                raise Fault(f"exit code 0 with {name} {text!r} in {row}")


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _equal(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return False


def _check_tested(out: Path, schema: Path, truth: Truth) -> None:
    """The tested users and items are the last of each history, as the files say."""
    from ecct_tf.data import Candidates, load_files

    dataset, _ = load_files(schema)
    found = Candidates.load(out / "candidates_test.npz")
    tested = {
        same_id(dataset.user_tokens[user]): same_id(dataset.item_tokens[row[0] - 1])
        for user, row in zip(found.users.tolist(), found.items.tolist(), strict=True)
    }
    if tested != truth.tested:
        different = sorted(set(tested.items()) ^ set(truth.tested.items()))[:4]
        raise Fault(f"tested items: expected {len(truth.tested)}, differing {different}")


def _check_setting(out: Path, changed: str) -> None:
    """What was set is what the run says that it ran with."""
    import yaml

    name, _, text = changed.partition("=")
    values: Any = yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))
    for part in name.split("."):
        values = values[part]
    wanted = yaml.safe_load(text)
    same = values == wanted or str(values).endswith(text.strip("'")) or _equal(values, text)
    if not same:
        raise Fault(f"set {changed}, but config.yaml has {values!r}")
