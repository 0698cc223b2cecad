"""`ecct recommend`: a table at 80 columns, JSON, and what it refuses."""

import json

import pytest
from click.testing import CliRunner

import ecct_tf as ecct
from ecct_tf.commands.recommend import _print
from ecct_tf.commands.root import cli
from ecct_tf.runs.recommendations import Recommendations, TouchedItem


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of data that a command can load, of films with titles."""
    folder = tmp_path_factory.mktemp("films")
    rows = [
        f"u{user},f{(7 * user + 3 * step) % 40},{step}" for user in range(9) for step in range(6)
    ]
    (folder / "clicks.csv").write_text("\n".join(["user,item,timestamp", *rows]), encoding="utf-8")
    films = [f'f{film},"The long way home, {"part " * 8}{film}"' for film in range(40)]
    (folder / "films.csv").write_text("\n".join(["item,title", *films]), encoding="utf-8")
    (folder / "schema.yaml").write_text(
        "name: films\ninteractions: {path: clicks.csv}\n"
        "items: {path: films.csv, id: item, title: title, columns: {}}\n",
        encoding="utf-8",
    )
    settings = {"baselines": False, "evaluation.negatives": 20}
    return ecct.simulate(
        folder / "schema.yaml", method="popularity", out=folder / "run", settings=settings
    )


def _ecct(*words, columns="80"):
    return CliRunner(env={"COLUMNS": columns}).invoke(cli, [*map(str, words)])


def test_a_table_has_titles_and_the_history_beside_it_at_80_columns(run):
    printed = _ecct("recommend", run.path, "--user", "u4", "--k", 3).output
    expected = run.recommend("u4", k=3)
    assert max(map(len, printed.splitlines())) <= 80
    assert all(item in printed for item in expected.items)
    assert "The long way home" in printed
    assert "5 items met before, which are left out; the newest 3 are shown." in printed
    assert printed.splitlines()[0].strip() == "popularity, after 0 rounds: user u4"


def test_json_has_all_that_a_program_gets(run):
    result = _ecct("recommend", run.path, "--user", "u4", "--json")
    assert json.loads(result.output) == json.loads(json.dumps(run.recommend("u4").as_dict()))


@pytest.mark.parametrize(
    ("met", "words"),
    [
        (0, "Nothing met before."),
        (1, "1 item met before, which is left out."),
        (2, "2 items met before, which are left out; the newest 1 is shown."),
    ],
)
def test_the_history_is_counted_in_words(met, words, capsys):
    history = (TouchedItem("[red]a[/red]", "", 1),) * met
    _print(Recommendations("u", "edge", "ECCT edge", 1, ("[b]c[/b]",), (0.5,), ("",), history))
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == words
    # Ids are no markup.
    assert "[b]c[/b]" in printed


def test_what_serves_a_user_without_a_device_stands_below(capsys):
    _print(Recommendations("u", "edge", "ECCT edge", 1, ("c",), (0.5,), ("",), (), note="A note."))
    assert capsys.readouterr().out.splitlines()[-2:] == ["Nothing met before.", "A note."]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--user", "u44"), "user 'u44': expected .*did you mean u4"),
        (("--user", "u4", "--side", "edge"), "side: expected one of everything"),
    ],
)
def test_what_it_refuses_is_one_of_the_library_s_errors(run, words, told):
    result = _ecct("recommend", run.path, *words)
    with pytest.raises(ecct.EcctError, match=told):
        raise result.exception


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--k", "0"), "Invalid value for '--k': 0 is not in the range x>=1"),
        (("--side", "clod"), "Invalid value for '--side': 'clod' is not one of 'edge', 'cloud'"),
    ],
)
def test_what_was_mistyped_is_told_before_the_run_is_opened(tmp_path, words, told):
    result = _ecct("recommend", tmp_path, "--user", "u4", *words, columns="200")
    assert result.exit_code == 2
    assert told in result.output
