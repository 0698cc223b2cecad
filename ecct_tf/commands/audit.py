"""`ecct audit`."""

from pathlib import Path

import click

from ecct_tf.commands.options import examples, existing_run, prepare

__all__ = ["audit"]


@click.command(epilog=examples("ecct audit runs/mine", "ecct audit runs/mine --seeds 3"))
@click.argument("run", type=existing_run)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Partitions of the users into folds, whose predictions are averaged.",
)
@click.option(
    "--labels",
    is_flag=True,
    help="Let the cloud of the comparison, which has no uplinks, learn on from its own labels.",
)
def audit(run: Path, seeds: int, labels: bool) -> None:
    """Measure what a curious cloud learns from the uplinks of RUN.

    Attackers guess each private column, which items are among a device's newest interactions,
    and these items out of the whole catalog: once from what the cloud knew anyway, once with
    what it received. The figures go to audit.json and audit.csv in the run folder, and into the
    page of `ecct report`.
    """
    prepare("cloud")
    from ecct_tf.audit import audit_run, write_audit
    from ecct_tf.audit.table import print_audit

    found = audit_run(run, seeds=seeds, labels=labels)
    print_audit(found, files=write_audit(found, run))
