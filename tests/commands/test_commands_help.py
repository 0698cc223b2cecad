"""The help of every command: examples that parse, options with their defaults or choices."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ecct_tf.cli import cli
from ecct_tf.commands import options, simulate
from ecct_tf.config import DATASETS, METHODS


def _leaves(group, prefix):
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _leaves(command, (*prefix, name))
        else:
            yield (*prefix, name), command


def _groups(group, prefix):
    yield prefix, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _groups(command, (*prefix, name))


COMMANDS = dict(_leaves(cli, ()))
GROUPS = dict(_groups(cli, ()))
OPTIONS = [
    (path, option)
    for path, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option)
]


def _context(path):
    return click.Context(COMMANDS[path], info_name=" ".join(("ecct", *path)))


def _example_lines(path):
    text = COMMANDS[path].epilog or ""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_each_command_shows_examples_that_it_accepts(path):
    lines = _example_lines(path)
    assert lines
    own = [line for line in lines if line.startswith(" ".join(("ecct", *path)))]
    assert own
    for line in own:
        words = shlex.split(line)[1 + len(path) :]
        # Types, choices and required options are checked; nothing is run.
        COMMANDS[path].make_context(path[-1], words)
    printed = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).output
    assert all(f"\n    {line}" in printed for line in lines)


@pytest.mark.parametrize(
    ("path", "option"), OPTIONS, ids=[f"{' '.join(p)} {o.opts[0]}" for p, o in OPTIONS]
)
def test_each_option_says_what_holds_without_it(path, option):
    names, meaning = option.get_help_record(_context(path))
    assert meaning.partition("[")[0].strip(), "no description"
    said = option.is_flag or option.required or "[default: " in meaning or "by default" in meaning
    assert said, f"{names}: neither default, nor required, nor 'by default'"
    if isinstance(option.type, click.Choice):
        assert all(choice in names + meaning for choice in option.type.choices)


@pytest.mark.parametrize("command", ["simulate", "baselines"])
def test_datasets_and_methods_are_listed(command):
    text = "".join(CliRunner().invoke(cli, [command, "--help"]).output.split())
    for name in (*DATASETS, *METHODS):
        assert name in text


def test_no_help_is_wider_than_a_terminal():
    for path in (*COMMANDS, *GROUPS):
        printed = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).output
        assert max(map(len, printed.splitlines())) <= 80, path


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_a_group_lists_its_commands_by_whole_sentences(path):
    printed = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).output
    assert "..." not in printed.partition("Commands:")[2]
    listed = " ".join(printed.split())
    for name, command in GROUPS[path].commands.items():
        sentence, _, _ = " ".join((command.help or "").split()).partition(". ")
        assert f"{name} {sentence.removesuffix('.')}" in listed


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ecct simul", "simulate"),
        ("ecct simulate --dataset mov", "movielens-100k"),
        ("ecct baselines --method fedp", "fedprox"),
    ],
)
def test_the_shell_completes_commands_and_values(typed, expected):
    words = shlex.split(typed)
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'ecct'; from ecct_tf.cli import main; main()",
        ],
        env={
            **os.environ,
            "_ECCT_COMPLETE": "bash_complete",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"plain,{expected}" in found.stdout.splitlines(), found.stderr


MISTAKES = {
    "simulate --dataset movilens": (
        "--dataset movilens: expected a data set out of",
        "did you mean movielens-",
    ),
    "simulate --method fedavgg": (
        "--method fedavgg: expected a method out of",
        "did you mean fedavg?",
    ),
    "simulate --rounds -3": ("--rounds -3: expected at least 1",),
    "simulate --real-devices -1": ("--real-devices -1: expected at least 0",),
    "simulate --set edge.shared=bakbone": (
        "--set edge.shared=bakbone: edge.shared:",
        "did you mean backbone?",
    ),
    "simulate --set training.optimizer=addam": ("did you mean adam?",),
    "simulate --set 'edge.tiers={mpl: 1.0}'": ("did you mean mlp?",),
    "baselines --dataset sintetic": (
        "--dataset sintetic: expected a data set out of",
        "did you mean synthetic?",
    ),
    "baselines --rounds 0": ("--rounds 0: expected at least 1",),
    "data check s.yaml --recent-fraction 7": ("--recent-fraction 7.0: expected",),
    "export run --out o --tier mpl": ("--tier", "mlp"),
    "export run --out o --variant trainable-int": ("--variant", "trainable-int8"),
    "cloud cycle --out c --seed x": ("--seed", "x"),
    "cloud cycle --out c --dataset movilens": (
        "--dataset movilens: expected a data set out of",
        "did you mean movielens-",
    ),
    "cloud cycle --out c --dataset files": ("--dataset files: data.schema: expected the path of",),
    "study ablation --dataset files": ("--dataset files: data.schema: expected the path of",),
    **{
        f"cloud token {command} t.sqlite --user u17": ("number of a user, got 'u17'", "vocabulary")
        for command in ("issue", "rotate", "revoke")
    },
    "cloud token issue t.sqlite --user -1": ("--user", "-1 is not in the range"),
    "simulat": ("simulate",),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_as_it_was_typed(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, shlex.split(line))
    told = f"{result.exception} {result.output}"
    assert result.exit_code
    assert all(text in told for text in MISTAKES[line]), told
    assert not told.startswith("--set") or "--set" in line
    assert list(tmp_path.iterdir()) == []


def test_the_data_of_cycles_are_chosen_as_those_of_a_run(monkeypatch, tmp_path):
    taken = []

    def run(config, out, **options):
        del out, options
        taken.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("ecct_tf.cycle.run_cycles", run)
    words = ["cloud", "cycle", "--out", str(tmp_path / "chain"), "--dataset", "synthetic"]
    CliRunner().invoke(cli, [*words, "--set", "data.dataset=complete-journey"])
    assert [config.data.dataset for config in taken] == ["synthetic"]


def test_the_variants_that_help_lists_are_those_that_there_are():
    from mobile_export.making.variants import VARIANTS

    (option,) = [o for o in COMMANDS["export",].params if "--variant" in o.opts]
    assert list(option.type.choices) == ["all", *VARIANTS]


def test_methods_of_baselines_are_named_by_the_option_that_was_typed():
    from ecct_tf.config import RunConfig
    from ecct_tf.errors import ConfigError
    from ecct_tf.simulation.campaign import plan_runs

    with pytest.raises(ConfigError, match=r"^--method: unknown ect; did you mean ecct\?"):
        plan_runs(RunConfig(), methods=["ect"], seeds=[0], option="--method")
    assert list(plan_runs(RunConfig(), methods=["ecct", "fedavg"], seeds=[0])) == [
        "ecct-seed0",
        "fedavg-seed0",
    ]


@pytest.mark.parametrize(
    ("typed", "found", "expected"),
    [
        (".venv/bin/ecct", None, ".venv/bin/ecct"),
        (".venv/bin/ecct", "here", "ecct"),
        ("/opt/tools/ecct", None, "/opt/tools/ecct"),
        ("/opt/my tools/ecct", None, "'/opt/my tools/ecct'"),
        ("-c", None, "ecct"),
    ],
)
def test_a_command_to_copy_is_the_one_that_was_typed(monkeypatch, tmp_path, typed, found, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setattr(
        options.shutil, "which", lambda _: str(tmp_path / typed) if found else "/usr/bin/ecct"
    )
    assert options.shown_command() == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (".venv/bin/ecct", "../.venv/bin/ecct"),
        ("shop/.venv/bin/ecct", ".venv/bin/ecct"),
        ("/opt/tools/ecct", "/opt/tools/ecct"),
    ],
)
def test_a_new_project_names_the_command_as_it_is_found_inside(
    monkeypatch, tmp_path, typed, expected
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setattr(options.shutil, "which", lambda _: None)
    printed = CliRunner().invoke(cli, ["new", "shop"]).output
    _, _, told = printed.partition("Next:\n")
    change, check, train, _ = told.splitlines()
    assert change == "  cd shop"
    assert shlex.split(check, comments=True) == [expected, "data", "check", "schema.yaml"]
    assert shlex.split(train, comments=True)[:2] == [expected, "simulate"]
    assert max(map(len, printed.splitlines())) <= 80


def test_a_run_ends_with_commands_that_exist(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ecct"])
    simulate._say_next(Path("runs/my run"), user="Ann O'Hara", exports=True, own_data=False)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "Next:"
    lines = [line for line in lines if not line.startswith("  #")]
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "ecct"
        COMMANDS[words[1],].make_context(words[1], words[2:])
    assert "'runs/my run'" in lines[0]


@pytest.mark.parametrize("own_data", [False, True])
def test_who_has_own_data_is_proposed_no_project(own_data, capsys):
    simulate._say_next(Path("run"), user="17", exports=True, own_data=own_data)
    assert ("new my_project" in capsys.readouterr().out) != own_data


def test_comments_stand_above_commands_that_fill_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ecct"])
    run = "runs/" + "long" * 10
    simulate._say_next(Path(run), user="17", exports=True, own_data=False)
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 80
    assert printed[1:3] == ["  # the run as one page for a browser", f"  ecct report {run}"]
    assert f"  ecct recommend {run} --user 17" in printed


@pytest.mark.parametrize(
    ("method", "expected"), [("ecct", (3, 30)), ("edge-only", (10, 3)), (None, (3, 30))]
)
def test_rounds_are_those_of_the_method(method, expected, monkeypatch):
    taken = []
    monkeypatch.setattr(
        "ecct_tf.runs.starting.default_folder", lambda config: taken.append(config) or 1 / 0
    )
    typed = ["--method", method] if method else []
    CliRunner().invoke(cli, ["simulate", "--dataset", "synthetic", "--rounds", "3", *typed])
    assert [(config.rounds, config.edge_only.rounds) for config in taken] == [expected]


def test_rounds_of_all_methods_of_a_campaign(monkeypatch):
    taken = []
    monkeypatch.setattr(
        "ecct_tf.simulation.campaign.plan_runs", lambda config, **_: taken.append(config) or 1 / 0
    )
    CliRunner().invoke(cli, ["baselines", "--dataset", "synthetic", "--rounds", "3"])
    (config,) = taken
    federated = config.federated_baseline
    assert config.rounds == config.edge_only.rounds == 3
    assert federated.rounds == federated.pfedrec.rounds == 3
