"""`ecct cloud versions`, `promote`, `rollback` and `gc`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecct_tf.commands.options import counted, examples

if TYPE_CHECKING:
    from cloud.registry import Registry, Version
    from cloud.registry.manifest import Manifest

__all__ = ["gc", "open_registry", "promote", "registry_argument", "rollback", "versions"]

_RANKING = re.compile(r"(?<![a-z])(hr|ndcg)(?![a-z])")

registry_argument = click.argument("registry", type=click.Path(path_type=Path))

_note = click.option("--note", default="", help="Why, for the history; by default nothing.")


@click.command(
    epilog=examples(
        "ecct cloud versions registry",
        "ecct cloud versions registry --json",
    )
)
@registry_argument
@click.option("--json", "as_json", is_flag=True, help="Print whole manifests as JSON.")
def versions(registry: Path, as_json: bool) -> None:
    """List the versions in REGISTRY and which one is in force.

    `previous` is the one that a rollback returns to; `from` has the parents.
    Of the metrics it shows the one that the gate compares, and HR@K; --json has all of them.
    """
    opened = open_registry(registry)
    found, history = opened.inventory(), opened.history()
    stored = found.versions
    promoted = history[-1].version if history else None
    previous = history[-1].previous if history else None
    if as_json:
        import dataclasses
        import json

        body = {
            "promoted": promoted,
            "rollback_target": previous,
            "served": list(opened.served()),
            "damaged": found.damaged,
            "versions": [dataclasses.asdict(version.manifest) for version in stored],
            "history": [dataclasses.asdict(promotion) for promotion in history],
        }
        click.echo(json.dumps(body, indent=2))
        return
    if stored or not found.damaged:
        _print(stored, promoted=promoted, previous=previous)
    for number, message in found.damaged.items():
        state = {promoted: ", in force", previous: ", the previous one"}.get(number, "")
        click.echo(f"Version {number}{state} is damaged: {message}")
    if opened.served() != (() if promoted is None else (promoted,)):
        click.echo(
            f"{opened.serving_path} holds {list(opened.served())}: a job was stopped while it "
            "changed the promoted version. `ecct cloud gc` fixes it."
        )


@click.command(
    epilog=examples('ecct cloud promote registry 3 --expected 2 --note "better on new users"')
)
@registry_argument
@click.argument("version", type=int)
@click.option(
    "--expected",
    type=int,
    help="Promote only if this version is in force now; by default no check.",
)
@_note
def promote(registry: Path, version: int, expected: int | None, note: str) -> None:
    """Put VERSION of REGISTRY in force."""
    opened = open_registry(registry)
    if expected is None:
        history = opened.history()
        expected = history[-1].version if history else None
    promotion = opened.promote(version, expected=expected, note=note)
    click.echo(f"Version {promotion.version} is in force, from {opened.serving_path}")


@click.command(
    epilog=examples('ecct cloud rollback registry --note "version 3 broke the home page"')
)
@registry_argument
@click.option(
    "--expected",
    type=int,
    help="Roll back only if this version is in force now; by default no check.",
)
@_note
def rollback(registry: Path, expected: int | None, note: str) -> None:
    """Put the previous version back in force."""
    opened = open_registry(registry)
    promotion = opened.rollback(expected=expected, note=note)
    click.echo(f"Version {promotion.version} is in force again, from {opened.serving_path}")


@click.command(epilog=examples("ecct cloud gc registry --keep 10"))
@registry_argument
@click.option("--keep", default=5, show_default=True, help="Number of the newest versions to keep.")
@click.option(
    "--draft-hours",
    default=24.0,
    show_default=True,
    help="Hours since its last write after which a draft that no job has open is removed.",
)
def gc(registry: Path, keep: int, draft_hours: float) -> None:
    """Remove old versions, abandoned drafts and what stopped jobs left.

    The version in force, the one before it and the parents of live drafts always stay.
    """
    collected = open_registry(registry).gc(keep=keep, draft_hours=draft_hours)
    versions_gone = _listed(len(collected.versions), "version", collected.versions)
    drafts_gone = _listed(len(collected.drafts), "draft", collected.drafts)
    click.echo(f"Removed {versions_gone} and {drafts_gone}")


def open_registry(path: Path) -> Registry:
    """The registry at `path`.

    Raises:
      RegistryError: when there is none; a folder without versions would be changed into one.
    """
    from cloud.registry import Registry
    from ecct_tf.config.parsing import near_sibling
    from ecct_tf.errors import RegistryError

    found = (
        "there is no such folder"
        if not path.exists()
        else "it is a file"
        if not path.is_dir()
        else "it is another folder: it has no versions/, drafts/ or promotions/"
    )
    if not any((path / name).is_dir() for name in ("versions", "drafts", "promotions")):
        raise RegistryError(
            f"{path}: expected a registry, {found}{near_sibling(path) or '.'} Give the folder "
            "that `registry` names in job.yaml, which the first `ecct cloud retrain` makes"
        )
    return Registry(path)


def _listed(number: int, word: str, names: Iterable[object]) -> str:
    return counted(number, word) + (f" ({', '.join(map(str, names))})" if number else "")


def _print(stored: tuple[Version, ...], *, promoted: int | None, previous: int | None) -> None:
    """Few columns that fit 80 characters; `--json` has all metrics."""
    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table

    if not stored:
        click.echo("No version is stored; the first job that ends makes one (ecct cloud retrain).")
        return
    told = {version.number: _told(version.manifest) for version in stored}
    names = list(dict.fromkeys(name for values in told.values() for name in values))
    table = Table("version", "state", "created (UTC)", "from")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("MB", justify="right")
    for version in stored:
        manifest = version.manifest
        state = {promoted: "in force", previous: "previous"}.get(version.number, "")
        table.add_row(
            str(version.number),
            state,
            manifest.created_at[:16].replace("T", " "),
            ", ".join(map(str, manifest.parents)) or "none",
            *(told[version.number].get(name, "") for name in names),
            f"{manifest.num_bytes / 1e6:.1f}",
        )
    print_table(table, open_console())


def _told(manifest: Manifest) -> dict[str, str]:
    """The metric of the gate and the hit rate; of a version that no job made, two that it has."""
    of_job = manifest.config.get("validation", {})
    gate = str(of_job.get("metric", ""))
    names = {
        _title(metric, of_job): f"validation/cloud_{metric}"
        for metric in dict.fromkeys([gate, "hr"])
    }
    found = {
        title: f"{manifest.metrics[name]:.4f}"
        for title, name in names.items()
        if name in manifest.metrics
    }
    if found:
        return found
    ranking = [name for name in manifest.metrics if _RANKING.search(name.lower())]
    names_of_others = (ranking or [*manifest.metrics])[:2]
    return {name: f"{manifest.metrics[name]:.4f}" for name in names_of_others}


def _title(metric: str, validation: Mapping[str, Any]) -> str:
    return "MRR" if metric == "mrr" else f"{metric.upper()}@{validation.get('k', '')}"
