"""`ecct cloud log check`, `compact`, `export` and `reingest`."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecct_tf.commands.groups import Group
from ecct_tf.commands.options import counted, examples, prepare, set_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from cloud.retraining.log_survey import Survey
    from cloud.uplink_log import Quarantine, UplinkBatch

__all__ = ["log"]

_REFUSED = 1
_MOST_LEFT_OUT = 20


def _asked(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands take: the log, and the job that says what is sound in it."""
    path = click.Path(path_type=Path)
    command = click.option(
        "--all", "everything", is_flag=True, help="Include what the version in force has read."
    )(command)
    command = click.option(
        "--config", "config_path", type=path, required=True, help="YAML file of the reading job."
    )(set_option(command))
    return click.argument("log_folder", metavar="[LOG]", required=False, type=path)(command)


@click.group(cls=Group)
def log() -> None:
    """Look into an uplink log without consuming it, join its small files, take records back."""


@log.command(
    epilog=examples(
        "ecct cloud log check --config job.yaml",
        "ecct cloud log check uplinks --config job.yaml --all --quarantine refused",
    )
)
@_asked
@click.option(
    "--quarantine",
    type=click.Path(path_type=Path),
    help="Keep what is refused in this folder; by default it is only counted.",
)
def check(
    log_folder: Path | None,
    config_path: Path,
    overrides: tuple[str, ...],
    everything: bool,
    quarantine: Path | None,
) -> None:
    """Show what the next job would accept and refuse from LOG, by default the job's own.

    Nothing counts as read afterwards. The exit code is 1 if a record would be refused.
    """
    with (
        tempfile.TemporaryDirectory() as temporary,
        _survey(
            log_folder, config_path, overrides, everything, quarantine or Path(temporary)
        ) as opened,
    ):
        seen = _Seen(opened.batches)
        for _ in seen:
            pass
        from cloud.uplink_log import Quarantine

        _print(opened, seen, Quarantine(quarantine or Path(temporary)))
    if quarantine is not None and seen.refused:
        click.echo(f"Refused records: {Quarantine(quarantine).path}")
    if seen.refused:
        click.get_current_context().exit(_REFUSED)


@log.command(epilog=examples("ecct cloud log export --config job.yaml --out uplinks.parquet"))
@_asked
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A file that ends in .parquet, or a folder for one file of each file of the log.",
)
def export(
    log_folder: Path | None,
    config_path: Path,
    overrides: tuple[str, ...],
    everything: bool,
    out: Path,
) -> None:
    """Write the valid uplinks of LOG, by default the job's own, as Parquet.

    It writes what the next job would read, with --all the whole log; nothing counts as read.
    """
    prepare("cloud")
    from cloud.uplink_log import export_one_parquet, export_parquet

    with (
        tempfile.TemporaryDirectory() as temporary,
        _survey(log_folder, config_path, overrides, everything, Path(temporary)) as opened,
    ):
        seen = _Seen(opened.batches)
        if out.suffix == ".parquet":
            export_one_parquet(seen, out)
            told = str(out)
        else:
            told = f"{counted(len(export_parquet(seen, out)), 'file')} in {out}"
    refused = (
        f"; {seen.refused.total():,} refused, see ecct cloud log check" if seen.refused else ""
    )
    click.echo(
        f"{counted(seen.sound, 'uplink')} of {counted(len(opened.files), 'file')}: {told}{refused}"
    )


@log.command(epilog=examples("ecct cloud log reingest jobs/2026-11-25 --config job.yaml"))
@click.argument("refused", metavar="JOB", type=click.Path(path_type=Path))
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    required=True,
    help="YAML file of the reading job, with the corrected settings.",
)
@set_option
def reingest(refused: Path, config_path: Path, overrides: tuple[str, ...]) -> None:
    """Take back refused records that are valid under the current settings, each once.

    JOB is the folder of the job that refused them. They are appended to the log as a separate file,
    which the next job reads. Records of files that the version in force has not read are left: the
    next job reads those files anyway.
    """
    prepare("cloud")
    from cloud.retraining import load_job_config
    from cloud.retraining.log_survey import reading
    from cloud.uplink_log import Quarantine
    from cloud.uplink_log import reingest as take_back

    config = load_job_config(config_path, overrides=overrides)
    found = reading(config, log=None, show=True)
    inner = refused / "quarantine"
    done = take_back(
        Quarantine(inner if inner.is_dir() else refused),
        found.folder,
        contract=found.contract,
        window=found.window,
        consumed={file.name for file in found.consumed},
    )
    click.echo(f"Taken back: {counted(done.taken, 'record')}; the next job reads them")
    for path in done.files:
        click.echo(f"  {path}")
    if done.before:
        click.echo(f"Taken back before: {done.before:,}")
    if done.unread:
        click.echo(f"Of files that no version in force has read: {done.unread:,}; left to the job")
    for reason, count in sorted(done.refused.items()):
        click.echo(f"Refused still: {count:,} {reason.value}")


@log.command(epilog=examples("ecct cloud log compact --config job.yaml"))
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    required=True,
    help="YAML file of the reading job, for its log and its registry.",
)
@set_option
@click.option(
    "--small-bytes",
    type=click.IntRange(min=1),
    default=1 << 20,
    show_default=True,
    help="Files of at most this size are joined.",
)
def compact(config_path: Path, overrides: tuple[str, ...], small_bytes: int) -> None:
    """Join small files of the log that no job has read yet; records keep their bytes and order.

    Files that a version has read, or that `ecct cloud forget` has noted, stay as they are, and so
    do damaged ones. It waits at most a minute for a job, or a command, that reads the log; the
    same command resumes an interrupted one.
    """
    prepare("cloud")
    from cloud.registry import Registry
    from cloud.retraining import load_job_config
    from cloud.retraining.log_reading import files_referred_to
    from cloud.uplink_log import compact as join

    config = load_job_config(config_path, overrides=overrides)
    if config.uplinks is None:
        raise click.UsageError(f"expected `uplinks`, the folder of a log, in {config_path}")
    registry = Registry(config.registry)
    if not registry.path.is_dir():
        raise click.UsageError(
            f"expected the registry of the job at {registry.path}, there is none: its versions say "
            "which files were read, and those must not be joined"
        )
    done = join(
        Path(config.uplinks),
        kept=lambda: files_referred_to(registry),
        small_bytes=small_bytes,
    )
    click.echo(f"Joined: {counted(done.joined, 'file')} into {len(done.files):,}")
    for name in done.damaged:
        click.echo(f"Left as it is, since parts of it are damaged: {name}")


class _Seen:
    """Batches that go by, counted."""

    def __init__(self, batches: Iterator[UplinkBatch]) -> None:
        self._batches = batches
        self.sound = 0
        self.with_logits = 0
        self.refused: Counter[str] = Counter()
        self.rounds: set[int] = set()

    def __iter__(self) -> Iterator[UplinkBatch]:
        for batch in self._batches:
            self.sound += len(batch)
            self.with_logits += int(batch.with_logits.sum())
            self.refused.update({reason.value: n for reason, n in batch.rejected.items()})
            if len(batch):
                self.rounds |= {int(batch.rounds.min()), int(batch.rounds.max())}
            yield batch


def _survey(
    log_folder: Path | None,
    config_path: Path,
    overrides: tuple[str, ...],
    everything: bool,
    quarantine: Path,
) -> AbstractContextManager[Survey]:
    prepare("cloud")
    from cloud.retraining import load_job_config
    from cloud.retraining.log_survey import survey

    config = load_job_config(config_path, overrides=overrides)
    return survey(config, log=log_folder, everything=everything, quarantine=quarantine, show=True)


def _print(opened: Survey, seen: _Seen, quarantine: Quarantine) -> None:
    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table

    before = ""
    if opened.read_before:
        before = f", without {opened.read_before:,} that version {opened.version} knows already"
    click.echo(f"{opened.folder}: {counted(len(opened.files), 'file')} to read{before}")
    rounds = f", rounds {min(seen.rounds)} to {max(seen.rounds)}" if seen.rounds else ""
    click.echo(f"Sound: {counted(seen.sound, 'uplink')}, {seen.with_logits:,} with logits{rounds}")
    for left in opened.left_out[:_MOST_LEFT_OUT]:
        click.echo(f"Left out: {left.name}: {left.why}")
    if len(opened.left_out) > _MOST_LEFT_OUT:
        click.echo(f"Left out: {len(opened.left_out) - _MOST_LEFT_OUT:,} more")
    click.echo(f"Refused: {seen.refused.total():,}")
    if not seen.refused:
        return
    first: dict[str, tuple[str, str]] = {}
    for entry in quarantine.entries():
        first.setdefault(entry.reason.value, (f"{entry.file}:{entry.offset}", entry.message))
        if len(first) == len(seen.refused):
            break
    table = Table("reason", "records", "the first of them")
    for reason, count in seen.refused.most_common():
        place, message = first[reason]
        table.add_row(reason, f"{count:,}", f"{message} ({place})")
    print_table(table, open_console())
