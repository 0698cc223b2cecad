"""`ecct cloud serve`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ecct_tf.commands.options import examples, prepare

__all__ = ["serve"]


@click.command(
    epilog=examples(
        "ecct cloud serve published --log uplinks --tokens tokens.sqlite",
        "ecct cloud serve public --log log --tokens t.db --tls-cert c.pem --tls-key k",
    )
)
@click.argument("publication", type=click.Path(path_type=Path))
@click.option(
    "--log",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the uplink log that answers are appended to.",
)
@click.option(
    "--tokens",
    required=True,
    type=click.Path(path_type=Path),
    help="File of the tokens, as `ecct cloud token` writes it.",
)
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    help="Folder of `ecct export` to offer too; by default none.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8443,
    show_default=True,
    help="Port to listen at; 0 takes a free one.",
)
@click.option(
    "--tls-cert",
    "certificate",
    type=click.Path(path_type=Path),
    help="Certificate of TLS with its chain, in PEM; by default none.",
)
@click.option(
    "--tls-key", "key", type=click.Path(path_type=Path), help="Its key, in PEM; by default none."
)
@click.option(
    "--plain",
    is_flag=True,
    help="Listen beyond this machine without TLS, behind a proxy that has it.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Web page whose devices may ask, such as https://shop.example; repeatable, by default "
    "none: browsers keep answers from pages of other origins.",
)
@click.option(
    "--requests-per-minute",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Requests of one device; more are answered with 429.",
)
@click.option(
    "--burst",
    type=click.IntRange(min=1, max=1_000_000),
    default=30,
    show_default=True,
    help="Requests of one device at once.",
)
@click.option(
    "--max-request-bytes",
    type=click.IntRange(min=1),
    default=1 << 20,
    show_default=True,
    help="Bytes of answers in one request.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Answers that may wait for the disk; more are answered with 503.",
)
@click.option(
    "--max-age-days",
    type=click.IntRange(min=1, max=36_500),
    default=90,
    show_default=True,
    help="How long ago an answer may have been made, by the device's clock.",
)
def serve(
    publication: Path,
    log: Path,
    tokens: Path,
    models: Path | None,
    host: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    plain: bool,
    origins: tuple[str, ...],
    requests_per_minute: float,
    burst: int,
    max_request_bytes: int,
    max_waiting: int,
    max_age_days: int,
) -> None:
    """Serve PUBLICATION to devices, and append their answers to an uplink log.

    Ends with Ctrl-C or SIGTERM. A confirmed answer is on disk, however the service ends.
    """
    prepare("serve")
    from cloud.service.answers import Limits
    from cloud.service.running import ServiceSettings
    from cloud.service.running import serve as run
    from ecct_tf.plain_text import fold

    settings = ServiceSettings(
        publication=publication,
        log=log,
        tokens=tokens,
        models=models,
        host=host,
        port=port,
        certificate=certificate,
        key=key,
        plain=plain,
        origins=origins,
        requests_per_minute=requests_per_minute,
        burst=burst,
        most_waiting=max_waiting,
        limits=Limits(most_bytes=max_request_bytes, oldest_days=max_age_days),
    )
    if not tokens.exists():
        # It may be made while the service runs; a mistyped name would refuse everybody in silence.
        missing = (
            f"{tokens}: there is no such file yet, so every device is refused until "
            f"`ecct cloud token issue {tokens} --user NUMBER` makes it."
        )
        click.echo(fold(missing, sys.stderr), err=True)
    run(settings, ready=lambda address: click.echo(f"Serving {publication} at {address}"))
