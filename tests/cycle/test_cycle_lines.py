"""What a chain of cycles says without a terminal."""

import pytest

from ecct_tf.cycle.lines import CycleLines


def _row(version, *, promoted, edge="0.5"):
    quality = {f"{side}_validation_{name}": edge for side in ("edge", "cloud") for name in _NAMES}
    return {"version": version, "promoted": promoted, "uplinks_read": 40, **quality}


_NAMES = ("hr", "ndcg")
_QUALITY = "edge validation HR@5 0.5000 NDCG@5 0.5000, cloud validation HR@5 0.5000 NDCG@5 0.5000"


def _lines(cycles, *, seconds=1.0, rounds=4, show=True):
    """Lines of a chain whose every call comes `seconds` after the one before."""
    now = iter(number * seconds for number in range(1_000))
    clock = now.__next__
    lines = CycleLines(cycles, rounds=rounds, tiers=1, k=5, show=show, clock=clock)
    for cycle in cycles:
        for number in range(1, rounds + 1 if cycle else 1):
            lines.round(cycle, "mlp", number=number, devices=40)
        lines.ended(cycle, _row(cycle + 1, promoted=cycle != 2))


def test_each_cycle_has_a_line_and_its_rounds_have_some(capsys):
    _lines(range(4))
    assert capsys.readouterr().err.splitlines() == [
        f"cycle 0 of 3: version 1 in force, 40 uplinks read, {_QUALITY}, 1.0 s",
        # The first cycle also prepares the others: nothing is said of the time left.
        *(f"cycle 1 of 3: mlp, local round {number} of 4, 40 devices" for number in (1, 2, 4)),
        f"cycle 1 of 3: version 2 in force, 40 uplinks read, {_QUALITY}, 5.0 s",
        *(f"cycle 2 of 3: mlp, local round {number} of 4, 40 devices" for number in (2, 4)),
        f"cycle 2 of 3: version 3 in force (kept), 40 uplinks read, {_QUALITY}, 5.0 s, "
        "about 5.0 s left",
        *(f"cycle 3 of 3: mlp, local round {number} of 4, 40 devices" for number in (2, 4)),
        f"cycle 3 of 3: version 4 in force, 40 uplinks read, {_QUALITY}, 5.0 s",
    ]


@pytest.mark.parametrize(("seconds", "expected"), [(0.01, 11), (10.0, 80)])
def test_about_ten_lines_in_all_are_of_quick_rounds_and_one_of_each_slow_one(
    capsys, seconds, expected
):
    _lines(range(1, 5), seconds=seconds, rounds=20)
    said = capsys.readouterr().err.splitlines()
    assert sum("local round" in line for line in said) == expected


def test_a_resumed_chain_counts_what_is_left_and_quality_is_left_out_where_none_is(capsys):
    lines = CycleLines(range(3, 4), rounds=1, tiers=1, k=5, show=True)
    lines.over_http(3, devices=1)
    lines.ended(3, _row(2, promoted=True, edge=""))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "cycle 3 of 3: fetching, training and answers of 1 device over HTTP"
    assert second.startswith("cycle 3 of 3: version 2 in force, 40 uplinks read, ")
    assert "HR@" not in second
    _lines(range(3), show=False)
    assert capsys.readouterr().err == ""
