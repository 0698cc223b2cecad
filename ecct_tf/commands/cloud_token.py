"""`ecct cloud token`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecct_tf.commands.groups import Group
from ecct_tf.commands.options import counted, examples, prepare
from ecct_tf.plain_text import day_text

if TYPE_CHECKING:
    from cloud.service.tokens import TokenStore

__all__ = ["token"]

_DAY = 86_400
_MOST_DAYS = 36_500  # as `cloud.service.tokens.MOST_SECONDS`


class _UserNumber(click.IntRange):
    """The cloud's number of a user; an id of the data is refused with the way to its number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            int(value)
        except ValueError:
            self.fail(
                f"expected the cloud's number of a user, got {value!r}. Services, uplinks and "
                "tokens name users by number, ids of the data stay in the version: the number of "
                f'{value!r} is its place in the list "users" of the version\'s vocabulary.json, '
                "from 0, in REGISTRY/versions/NUMBER",
                param,
                ctx,
            )
        return int(super().convert(value, param, ctx))


_USER = _UserNumber(min=0, max=2**31 - 1)

_file = click.argument("tokens", type=click.Path(path_type=Path))
_days = click.option(
    "--days",
    type=click.IntRange(min=1, max=_MOST_DAYS),
    help="How long it is valid; by default until it is rotated or revoked.",
)


@click.group(cls=Group)
def token() -> None:
    """Issue, rotate and revoke the tokens by which devices talk to `ecct cloud serve`."""


@token.command(
    epilog=examples(
        "ecct cloud token issue tokens.sqlite --user 17",
        "ecct cloud token issue tokens.sqlite --operator",
    )
)
@_file
@click.option(
    "--user",
    "users",
    type=_USER,
    metavar="NUMBER",
    multiple=True,
    help="The cloud's number of a user, as in uplinks, not an id of the data; repeatable, by "
    "default none.",
)
@click.option("--operator", is_flag=True, help="A token that reads /metrics and nothing else.")
@_days
def issue(tokens: Path, users: tuple[int, ...], operator: bool, days: int | None) -> None:
    """Print new tokens, one a line: user and token. TOKENS keeps their hashes only."""
    if bool(users) == operator:
        raise click.UsageError("expected --user, once or more, or --operator")
    store = _store(tokens)
    seconds = None if days is None else days * _DAY
    for user in users:
        click.echo(f"{user} {store.issue(user, seconds=seconds)}")
    if operator:
        click.echo(f"operator {store.issue(None, seconds=seconds)}")


@token.command(epilog=examples("ecct cloud token rotate tokens.sqlite --user 17 --keep-hours 0"))
@_file
@click.option(
    "--user", type=_USER, metavar="NUMBER", required=True, help="The cloud's number of the user."
)
@click.option(
    "--keep-hours",
    type=click.IntRange(min=0, max=24 * _MOST_DAYS),
    default=24,
    show_default=True,
    help="How long the user's old tokens stay valid.",
)
@_days
def rotate(tokens: Path, user: int, keep_hours: int, days: int | None) -> None:
    """Print a new token for a user; the old ones expire."""
    seconds = None if days is None else days * _DAY
    new = _store(tokens).rotate(user, keep_seconds=keep_hours * 3_600, seconds=seconds)
    click.echo(f"{user} {new}")


@token.command(
    epilog=examples(
        "ecct cloud token revoke tokens.sqlite --user 17",
        "ecct cloud token revoke tokens.sqlite --id 3f6c0a1b2c3d4e5f",
    )
)
@_file
@click.option(
    "--user",
    type=_USER,
    metavar="NUMBER",
    help="All tokens of the user with this number; by default none.",
)
@click.option("--id", "token_id", help="The one with this id; by default none.")
def revoke(tokens: Path, user: int | None, token_id: str | None) -> None:
    """End tokens at once: a running service refuses them from the next request on."""
    ended = _store(tokens).revoke(user=user, token_id=token_id)
    click.echo(f"{counted(ended, 'token')} revoked")


@token.command(name="list", epilog=examples("ecct cloud token list tokens.sqlite"))
@_file
def list_tokens(tokens: Path) -> None:
    """List ids, users and times of all tokens; no token can be read from TOKENS."""
    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table

    prepare("serve")
    if not tokens.exists():
        raise click.UsageError(
            f"expected a file of tokens at {tokens}, there is none; `ecct cloud token issue` makes "
            "one"
        )
    table = Table("id", "user", "issued", "valid until", "revoked")
    for grant in _store(tokens).grants():
        user = "operator" if grant.user is None else str(grant.user)
        table.add_row(grant.id, user, _day(grant.issued), _day(grant.expires), _day(grant.revoked))
    print_table(table, open_console())


def _store(path: Path) -> TokenStore:
    prepare("serve")
    from cloud.service.tokens import TokenStore

    return TokenStore(path)


def _day(seconds: int | None) -> str:
    return "-" if seconds is None else day_text(seconds)
