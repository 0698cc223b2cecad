"""`ecct data check` in this process: what it prints and with which code it ends."""

from types import SimpleNamespace

import pytest

from ecct_tf.cli import main
from ecct_tf.commands.data import _print_files
from ecct_tf.terminal import open_console

SCHEMA = """
name: shop
interactions: {path: r.csv, user: who, item: sku, timestamp: when}
users:
  path: u.csv
  id: who
  columns: {town: {kind: categorical}, plan: {kind: categorical, side: centralized}}
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Runs the command and returns its exit code and what it printed, blanks joined."""
    monkeypatch.setenv("COLUMNS", "200")

    def check(*options, rows, schema=SCHEMA, headers=""):
        users = "".join(f"[u{n}],a,b\n" for n in range(9))
        (tmp_path / "u.csv").write_text(f"who,town,plan\n{users}")
        (tmp_path / "r.csv").write_text(f"who,sku,when{headers and ','}{headers}\n{rows}")
        (tmp_path / "schema.yaml").write_text(schema)
        small = ("--set", "cloud.rank=4", "--set", "evaluation.k=1", "--set", "edge.start=random")
        argv = ["ecct", "data", "check", str(tmp_path / "schema.yaml"), *small, *options]
        monkeypatch.setattr("sys.argv", argv)
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        printed = capsys.readouterr()
        return code or 0, " ".join(printed.out.split()), printed.err

    return check


# Users 0 and 1 have five interactions each, user 2 has two.
ROWS = "".join(f"[u{u}],i{u}{n},{100 * n + u}\n" for u in range(2) for n in range(5))
ROWS += "[u2],i00,1\n[u2],i01,2\n"


def test_what_is_read_and_who_sees_it(check):
    code, out, _ = check("--negatives", "3", rows=ROWS)
    assert code == 0
    for expected in (
        "│ interactions │ 12 │",
        "│ users │ 9 │",
        "│ town │ user │ categorical │ 1 │ 0 │ federated │ only the user's own device │",
        "│ plan │ user │ categorical │ 1 │ 0 │ centralized │ the cloud │",
        "12 interactions of 9 users with 10 items, from 1970-01-01 00:00:00 UTC to 1970-01-01 "
        "00:06:41 UTC",
        "6 users and 0 items of the tables have no interaction",
        "2 devices can take part. Each needs 4 interactions; 7 users have fewer and are excluded",
        "with all their 2 interactions: [u2] (2), [u3] (0)",
        "4 older interactions of 2 users",
        "user columns: plan A device will see",
        "(3.0 on average) its own user's columns: town",
        "ecct simulate --dataset files --set data.schema=",
    ):
        assert expected in out
    assert "data.split" not in out


def test_temporal_split(check):
    options = ("--split", "temporal", "--test-fraction", "0.2", "--validation-fraction", "0.2")
    code, out, _ = check(*options, "--negatives", "3", rows=ROWS)
    assert code == 0
    # 12 rows: two after second 301 and two between: 300 and 301.
    assert "Training ends 1970-01-01 00:03:21 UTC, validation ends 1970-01-01 00:05:01 UTC" in out
    assert "3 devices can take part. Each needs 2 interactions before the first cut; 6" in out
    assert "are not evaluated" in out
    assert "--set data.split=temporal" in out


def test_filters_are_listed(check):
    schema = SCHEMA + "filters: {min_user_interactions: 4}\n"
    code, out, _ = check("--negatives", "3", rows=ROWS, schema=schema)
    assert code == 0
    assert "│ user with fewer than 4 interactions │ 2 │ 1 │ 0 │" in out
    assert "7 table rows were removed by a minimum" in out


def test_short_histories_are_counted(check):
    rows = ROWS + "[u0],i05,900\n[u1],i15,901\n"
    code, out, _ = check("--negatives", "3", "--keep-first", "5", rows=rows)
    assert code == 0
    assert "│ repeated item of a user (keep_first) │ 0 │ 0 │ 0 │" in out
    assert "│ all but the first 5 of each user (data.keep_first) │ 2 │ 0 │ 2 │" in out
    assert "12 interactions of 9 users with 12 items" in out
    assert "6 users and 2 items of the tables have no interaction" in out
    assert "--set data.keep_first=5" in out
    code, _, error = check("--keep-last", "3", rows=ROWS)
    assert code == 2
    assert "--keep-last 3: expected at least 4" in error


def test_users_without_a_row_are_counted(check):
    rows = ROWS + "".join(f"[new],i{n}0,{n}\n" for n in range(2))
    code, out, _ = check("--negatives", "3", rows=rows)
    assert code == 0
    assert "│ town │ user │ categorical │ 1 │ 1 │ federated │" in out
    assert "u.csv: 1 of the 4 users with interactions has no row ('[new]'); its columns are" in out
    required = SCHEMA.replace("id: who", "id: who\n  required: true")
    code, _, error = check("--negatives", "3", rows=rows, schema=required)
    assert code == 2
    assert "r.csv: line 14, column 'who': expected an id of" in error


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("u0,i,1\n", (), "r.csv: column 'who': expected ids of"),
        ("[u0],i,soon\n", (), "line 2, column 'when': expected whole seconds"),
        (ROWS, (), "Ways out: lower evaluation.negatives to 5 or less"),
        (ROWS, ("--negatives", "5", "--k", "6"), "--k 6: expected less than the 6"),
        ("[u0],i,1\n", ("--negatives", "1"), "0 of 9 users have the 4 interactions"),
        (ROWS, ("--test-fraction", "0.95"), "--test-fraction 0.95: expected less than 1"),
        (ROWS, ("--split", "random"), "'random' is not one of"),
    ],
)
def test_code_2_and_the_reason(check, rows, options, message):
    code, _, error = check(*options, rows=rows)
    assert code == 2
    assert message in error


def test_data_that_does_not_fit_into_memory_is_refused_with_the_numbers(check, monkeypatch):
    monkeypatch.setattr("ecct_tf.budget.available_bytes", lambda: 50_000_000)
    code, _, err = check("--negatives", "3", rows=ROWS)
    assert code == 2
    assert "this run would need about 0.9 GB of memory, 50 MB are available" in err
    assert "Traceback" not in err


def test_columns_of_interactions_stay_on_the_device(check):
    columns = "timestamp: when, columns: {network: {kind: categorical}, stars: {kind: categorical}}"
    schema = SCHEMA.replace("timestamp: when", columns)
    rows = "".join(f"{row},wifi,{row[2]}\n" for row in ROWS.split())
    code, out, _ = check("--negatives", "3", rows=rows, schema=schema, headers="network,stars")
    assert code == 0
    for expected in (
        "│ network │ interaction │ categorical │ 1 │ 0 │ federated │ only the user's own device │",
        "│ stars │ interaction │ categorical │ 3 │ 0 │ federated │ only the user's own device │",
        "columns of its own user's interactions: network, stars",
    ):
        assert expected in out
    assert "columns of its" not in check("--negatives", "3", rows=ROWS)[1]


def test_at_80_columns_each_feature_is_one_line_and_who_sees_it_stands_below(capsys, monkeypatch):
    seen = [("user", "federated"), ("item", "centralized"), ("user", "federated")]
    columns = [
        SimpleNamespace(
            name=f"column{number}", table=table, kind="categorical", rule="", vocabulary=1_234,
            missing=5, side=side,
        )
        for number, (table, side) in enumerate(seen)
    ]  # fmt: skip
    report = SimpleNamespace(
        name="shop", schema="schema.yaml", files=(), columns=columns, filters=(), notes=(),
        interactions=9, users=3, items=3, first_second=0, last_second=9,
    )  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    _print_files(open_console(), report)
    out = capsys.readouterr().out
    lines = out.splitlines()
    begin = next(number for number, line in enumerate(lines) if "column0" in line)
    assert ["column" in line for line in lines[begin : begin + 3]] == [True] * 3
    assert out.count("Who sees ") == 2
    assert "Who sees user columns, federated: only the user's own device." in lines
