"""The documentation says what the code does, and its links lead somewhere.

The site itself is built strictly by `make docs`, which `.ci/run` calls.
"""

import contextlib
import dataclasses
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml
from module_files import load_file

from cloud.retraining.config import load_job_config
from ecct_tf.cli import cli
from ecct_tf.config import METHODS, RunConfig, load_config
from ecct_tf.config.flat import flat_config

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
_FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)


def _module(name: str) -> ModuleType:
    return load_file(f"docs/{name}.py")


def _name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [code for _, found, code in _FENCE.findall(text) if found == language]


class _MkdocsLoader(yaml.SafeLoader):
    """Reads `mkdocs.yml`, whose `!!python/name:` tags need packages that are not here."""


_MkdocsLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda *_: None)


@pytest.fixture(scope="module")
def generated_pages():
    return _module("site_hooks").PAGES


@pytest.fixture(scope="module")
def site():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return yaml.load(text, _MkdocsLoader)


@pytest.mark.parametrize("name", ["generate_configuration", "generate_commands"])
def test_a_generated_page_is_what_its_script_generates(name):
    generator = _module(name)
    committed = generator.PAGE.read_text(encoding="utf-8")
    assert committed == generator.render(), f"run `python docs/{name}.py`"


def test_the_defaults_on_the_page_are_those_of_a_run():
    """Of each place: the server of a baseline has other rates than that of the exchange."""
    run, _, _ = _module("generate_configuration").render().partition("## A retraining job")
    told = dict(re.findall(r"^\| `([\w.]+)` \|.*?\| `([^`]*)` \|", run, flags=re.MULTILINE))
    values = flat_config(dataclasses.asdict(RunConfig()))
    assert told.keys() == values.keys()
    wrong = {name: text for name, text in told.items() if _read(text) != values[name]}
    assert not wrong


def _read(text):
    """A default of the page: JSON, or a text without its quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_each_fault_of_the_list_has_its_test():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = text.partition("## Faults and their tests")[2]
    # A row without a fault continues the one above.
    rows = re.findall(r"^\|.*\|$", listed, flags=re.MULTILINE)[2:]
    assert len({row.split("|")[1].strip() for row in rows} - {""}) == 9
    assert all("::test_" in row for row in rows)
    for path, name in re.findall(r"`(tests/[\w/.]+)::(\w+)`", listed):
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", source, flags=re.MULTILINE), f"{path}::{name}"


def test_the_sizes_of_the_exchange_are_what_their_command_prints():
    text = (DOCS / "exchange.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, flags=re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block[0], "docs/exchange.md", "exec"), {})
    assert printed.getvalue() == block[1]


def _nav_pages(entries: object) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
        return
    for entry in entries.values() if isinstance(entries, dict) else entries:
        yield from _nav_pages(entry)


def test_the_navigation_and_the_pages_are_the_same_set(site, generated_pages):
    listed = list(_nav_pages(site["nav"]))
    assert len(listed) == len(set(listed))
    assert set(listed) == {_name(page) for page in PAGES} | set(generated_pages)
    for source in generated_pages.values():
        assert (ROOT / source).is_file()


def _slugs(text: str) -> set[str]:
    """Anchors of the headings, as the site's table of contents makes them."""
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+?)\s*$", prose, flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


def _links(text: str) -> list[str]:
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_internal_links_lead_to_pages_and_headings(page, generated_pages):
    for link in _links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target.is_relative_to(DOCS) and _name(target) in generated_pages:
            target = ROOT / generated_pages[_name(target)]
        assert target.is_file(), f"{_name(page)}: {link}"
        if anchor and target.parent != DOCS / "api":
            assert anchor in _slugs(target.read_text(encoding="utf-8")), f"{_name(page)}: {link}"


def test_the_readme_links_to_files_that_exist():
    for link in _links((ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / link.partition("#")[0]).exists(), link


def test_the_job_of_the_cloud_s_page_is_one(tmp_path):
    (job,) = _blocks(DOCS / "cloud.md", "yaml")
    (tmp_path / "job.yaml").write_text(job, encoding="utf-8")
    assert load_job_config(tmp_path / "job.yaml").uplinks == str(tmp_path / "uplinks")


def test_the_readme_is_short_and_its_table_is_the_quickstart_s():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"[a-zA-Z][\w'-]*", re.sub(r"\]\([^)]*\)", "]", text))) < 700
    (table,), (whole,) = (
        _blocks(page, "text") for page in (ROOT / "README.md", DOCS / "quickstart.md")
    )
    assert set(table.splitlines()) <= set(whole.splitlines())


def test_the_readme_s_code_compiles_and_the_quickstart_s_commands_are_accepted_as_typed():
    (code,) = _blocks(ROOT / "README.md", "python")
    compile(code, "README.md", "exec")
    lines = _command_lines(DOCS / "quickstart.md")
    assert len(lines) >= 25
    for words in lines:
        command, context = cli, click.Context(cli)
        while isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        command.make_context(command.name, list(words))


def test_links_of_repository_pages_are_mended_for_the_site(tmp_path, monkeypatch):
    hooks = _module("site_hooks")
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    links = ("../docs/results.md#x", "memory.py", "https://x.org", "#here", "../CHANGELOG.md")
    text = " ".join(f"[{name}]({link})" for name, link in zip("abcde", links, strict=True))
    (tmp_path / "benchmarks/README.md").write_text(text, encoding="utf-8")
    expected = "[a](results.md#x) b [c](https://x.org) [d](#here) [e](changelog.md)"
    assert hooks.render("benchmarks/README.md") == expected


def test_links_of_pages_lead_to_files_of_the_repository_and_to_pages_of_the_site():
    hooks = _module("site_hooks")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in hooks.PAGES:
            assert f"]({name}" not in text, f"{page}: {name} is no file of the repository"
    linked = "[a](../benchmarks/README.md#x), [b](concepts.md)"
    assert hooks.on_page_markdown(linked) == "[a](benchmarks.md#x), [b](concepts.md)"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_python_blocks_compile(page):
    for code in _blocks(page, "python"):
        compile(code, str(page), "exec")


def test_the_python_block_of_the_quickstart_runs(capsys):
    (code,) = _blocks(DOCS / "quickstart.md", "python")
    exec(compile(code, "docs/quickstart.md", "exec"), {})
    assert capsys.readouterr().out == "5 backbone\n"


@pytest.mark.slow
def test_the_loop_of_the_architecture_runs(capsys):
    code = _blocks(DOCS / "architecture.md", "python")[0]
    exec(compile(code, "docs/architecture.md", "exec"), {})
    rounds = [line.split() for line in capsys.readouterr().out.splitlines()]
    # An uplink with logits has 466 bytes for each user (docs/exchange.md).
    assert rounds == [["1", "64", str(64 * 466)], ["2", "64", str(64 * 466)]]


def _command_lines(page: Path) -> list[list[str]]:
    lines = "\n".join(_blocks(page, "sh")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line and line[0] in ("ecct", ".venv/bin/ecct")]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_command_lines_are_accepted(page):
    """Their commands, options and settings exist; nothing is run."""
    short = {"dataset": "data.dataset", "method": "method", "rounds": "rounds", "seed": "seed"}
    for words in _command_lines(page):
        line = " ".join(words)
        command, context = cli, click.Context(cli)
        while isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        assert command is not None, f"{_name(page)}: no command ecct {line}"
        parsed, _, _ = command.make_parser(click.Context(command)).parse_args(list(words))
        given = [f"{key}={parsed[name]}" for name, key in short.items() if name in parsed]
        settings = [*parsed.get("overrides", []), *given]
        if command.name == "retrain":
            load_job_config(None, overrides=settings)
        else:
            load_config(overrides=settings)


def test_all_methods_are_told_on_their_page():
    text = (DOCS / "baselines.md").read_text(encoding="utf-8")
    table = text.partition("## What each method sees")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, flags=re.MULTILINE) == list(METHODS)


def test_the_site_loads_nothing_from_another_host(site):
    assert site["theme"]["font"] is False
    assert not any(style.startswith(("http", "//")) for style in site["extra_css"])
    assert "extra_javascript" not in site
    for asset in (DOCS / "assets").iterdir():
        text = asset.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("/*", ""), asset.name
