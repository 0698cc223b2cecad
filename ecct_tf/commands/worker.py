"""`ecct worker`."""

from pathlib import Path

import click

from ecct_tf.commands.options import examples

__all__ = ["worker"]


@click.command(
    epilog=examples(
        "ecct worker",
        "ecct worker --host 10.0.0.7 --tls certificates",
        "ecct worker --check 10.0.0.7:8470 --tls certificates",
    )
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8470,
    show_default=True,
    help="Port to listen at; 0 takes a free one.",
)
@click.option(
    "--tls",
    type=click.Path(path_type=Path),
    help="Folder with ca.pem, cert.pem and key.pem for mutual TLS; by default none.",
)
@click.option(
    "--private-network",
    is_flag=True,
    help="Listen beyond this machine without TLS, where nobody else reads or reaches the network.",
)
@click.option(
    "--same-network",
    is_flag=True,
    help="Let TFF's worker listen on all interfaces, where it may have no network of its own.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Intra-op threads of TensorFlow.",
)
@click.option(
    "--concurrent-calls",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Client values that are computed at once.",
)
@click.option(
    "--check",
    metavar="HOST:PORT",
    help="Only check whether a worker answers there, with exit code 0 or 1; by default serve one.",
)
def worker(
    host: str,
    port: int,
    tls: Path | None,
    private_network: bool,
    same_network: bool,
    threads: int,
    concurrent_calls: int,
    check: str | None,
) -> int:
    """Compute rounds of `ecct simulate --workers` that runs elsewhere.

    TFF's worker runs behind the port, is started again when it ends or hangs, and ends with this
    command (Ctrl-C or SIGTERM). `ecct -v worker` shows what it prints.
    """
    from ecct_tf.workers import WorkerSettings, serve_worker

    if check is not None:
        return _check(check, None if tls is None else str(tls))
    settings = WorkerSettings(
        host=host,
        port=port,
        tls=tls,
        private_network=private_network,
        same_network=same_network,
        threads=threads,
        concurrent_calls=concurrent_calls,
    )
    from ecct_tf.stopping import going_on

    with going_on(lambda: "The worker has ended."):
        serve_worker(settings, ready=lambda address: click.echo(f"Worker ready at {address}"))
    return 0


def _check(where: str, tls: str | None) -> int:
    from ecct_tf.config.worker_addresses import worker_address
    from ecct_tf.workers import answers, channel_to

    address = worker_address(where, setting="--check")
    said = answers(channel_to(address, tls=tls), within_seconds=5.0)
    if said is None:
        click.echo(f"{address.target}: a worker answers")
        return 0
    click.echo(f"{address.target}: no worker answers: {said}", err=True)
    return 1
