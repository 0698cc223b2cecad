"""Writes `commands.md` from the help of the `ecct` commands.

Run it after a change of a command: `python docs/generate_commands.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from ecct_tf.cli import cli

PAGE = Path(__file__).with_name("commands.md")

_HEAD = """\
# Command line

`ecct` is `.venv/bin/ecct` after `make install`. Every command has `--help` with examples. A
refusal goes to stderr with exit code 2. Ctrl-C and SIGTERM are acknowledged at once and stop a
run after its round, with 130 or 143 and the command that resumes it; a second one stops it at once.

Options that are short for a setting show the setting's default; a file given with `--config` takes
precedence over it.

## Completion

To let the shell complete commands, options, files and option values, load the completion script
of `ecct`:

```sh
eval "$(_ECCT_COMPLETE=bash_source ecct)"   # in ~/.bashrc; needs bash 4.4 or newer
eval "$(_ECCT_COMPLETE=zsh_source ecct)"    # in ~/.zshrc
_ECCT_COMPLETE=fish_source ecct | source    # in ~/.config/fish/completions/ecct.fish
```

This page is generated: `python docs/generate_commands.py`.
"""


def render() -> str:
    """The whole page."""
    pages = [_options(cli, click.Context(cli, info_name="ecct"), title="Options of all commands")]
    pages += [_page(name, command) for name, command in commands(cli, "ecct")]
    return "\n\n".join([_HEAD.rstrip(), *(page for page in pages if page)]) + "\n"


def commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    """Every command by its whole name, in the order of `--help`."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        elif not command.hidden:
            yield f"{prefix} {name}", command


def _page(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"## `{name}`", _prose(command.help or ""), f"```text\n{name} {usage}\n```"]
    if lines := [line[2:] for line in (command.epilog or "").splitlines() if line.startswith("  ")]:
        parts.append("\n".join(["```sh", *lines, "```"]))
    options = _options(command, context)
    return "\n\n".join([*parts, options] if options else parts)


def _options(command: click.Command, context: click.Context, *, title: str = "") -> str:
    records = [
        record
        for option in command.params
        if isinstance(option, click.Option) and (record := option.get_help_record(context))
    ]
    if not records:
        return ""
    lines = ["| option | meaning |", "|---|---|"]
    for names, meaning in records:
        cells = (f"`{names}`", _prose(meaning))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([f"## {title}\n", *lines] if title else lines)


def _prose(text: str) -> str:
    r"""One line for each paragraph, and no `\b` of click; `--x` would become a dash."""
    paragraphs = text.replace("\b", "").split("\n\n")
    joined = (" ".join(paragraph.split()) for paragraph in paragraphs)
    return "\n\n".join(paragraph for paragraph in joined if paragraph)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
