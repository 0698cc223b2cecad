"""`ecct cloud keys`."""

from __future__ import annotations

from pathlib import Path

import click

from ecct_tf.commands.groups import Group
from ecct_tf.commands.options import counted, examples
from ecct_tf.plain_text import day_text

__all__ = ["keys"]

_path = click.Path(path_type=Path)


@click.group(cls=Group)
def keys() -> None:
    """Make keys that sign publications, and check what is signed."""


@keys.command(epilog=examples("ecct cloud keys new publisher.pem"))
@click.argument("file", type=_path)
def new(file: Path) -> None:
    """Write a new key into FILE, for its owner alone, and the public key into FILE.pub.

    FILE signs (`ecct cloud publish --sign`); keep it where publications are made. FILE.pub
    verifies signatures; include it in apps.
    """
    from ecct_tf.files import write_text
    from ecct_tf.wire.signing import SigningKey

    key = SigningKey.new()
    key.write(file)
    public = file.with_name(f"{file.name}.pub")
    write_text(public, key.public.to_text())
    click.echo(f"{file}: signs; {public}: checks. Fingerprint {key.public.fingerprint}")


@keys.command(epilog=examples("ecct cloud keys check published --key publisher.pem.pub"))
@click.argument("public", type=_path)
@click.option(
    "--key",
    "key_files",
    type=_path,
    multiple=True,
    required=True,
    help="Public key that may have signed, repeatable.",
)
def check(public: Path, key_files: tuple[Path, ...]) -> None:
    """Check that the publication in the folder PUBLIC is signed, and all its files with it."""
    from ecct_tf.wire.signed_files import check_publication
    from ecct_tf.wire.signing import PublicKey

    checked = check_publication(public, [PublicKey.read(path) for path in key_files])
    click.echo(
        f"{public}: signed by {checked.signature.fingerprint}, with "
        f"{counted(checked.files, 'file')} that are as it says; valid until "
        f"{day_text(checked.signature.expires_at)} UTC"
    )


@keys.command(epilog=examples("ecct cloud keys renew published --sign publisher.pem"))
@click.argument("public", type=_path)
@click.option("--sign", "key", type=_path, required=True, help="Key that signed it.")
@click.option(
    "--valid-days",
    "valid_days",
    type=click.IntRange(min=1, max=36_500),
    default=90,
    show_default=True,
    help="How long devices accept it from now on.",
)
def renew(public: Path, key: Path, valid_days: int) -> None:
    """Sign the publication in the folder PUBLIC again before it expires; its content stays."""
    from cloud.published_files import renew as sign_again
    from ecct_tf.wire.signing import SigningKey

    signature = sign_again(public, SigningKey.read(key), valid_days=valid_days)
    click.echo(
        f"{public}: signed by {signature.fingerprint}, valid until "
        f"{day_text(signature.expires_at)} UTC"
    )
