"""`ecct cloud versions`, `promote`, `rollback` and `gc`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.options import wide_console

if TYPE_CHECKING:
    from cloud.registry import Registry, Version

__all__ = ["gc", "open_registry", "promote", "registry_argument", "rollback", "versions"]

registry_argument = click.argument("registry", type=click.Path(path_type=Path))

_note = click.option("--note", default="", help="Why, for the history.")


@click.command()
@registry_argument
@click.option("--json", "as_json", is_flag=True, help="Print whole manifests as JSON.")
def versions(registry: Path, as_json: bool) -> None:
    """List the versions in REGISTRY and which one is in force."""
    opened = open_registry(registry)
    stored, history = opened.versions(), opened.history()
    promoted = history[-1].version if history else None
    previous = history[-1].previous if history else None
    if as_json:
        import dataclasses
        import json

        body = {
            "promoted": promoted,
            "rollback_target": previous,
            "served": list(opened.served()),
            "versions": [dataclasses.asdict(version.manifest) for version in stored],
            "history": [dataclasses.asdict(promotion) for promotion in history],
        }
        click.echo(json.dumps(body, indent=2))
        return
    _print(stored, promoted=promoted, previous=previous)
    if opened.served() != (() if promoted is None else (promoted,)):
        click.echo(
            f"{opened.serving_path} holds {list(opened.served())}: a job was stopped while it "
            "changed the promoted version. `ecct cloud gc` mends it."
        )


@click.command()
@registry_argument
@click.argument("version", type=int)
@click.option(
    "--expected",
    type=int,
    help="Promote only if this version is in force now; by default whichever is.",
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


@click.command()
@registry_argument
@click.option("--expected", type=int, help="Roll back only if this version is in force now.")
@_note
def rollback(registry: Path, expected: int | None, note: str) -> None:
    """Put the version that was in force before back in force."""
    opened = open_registry(registry)
    promotion = opened.rollback(expected=expected, note=note)
    click.echo(f"Version {promotion.version} is in force again, from {opened.serving_path}")


@click.command()
@registry_argument
@click.option("--keep", default=5, show_default=True, help="How many of the newest versions stay.")
@click.option(
    "--draft-hours",
    default=24.0,
    show_default=True,
    help="A draft that no job has open goes when it was not written to for so long.",
)
def gc(registry: Path, keep: int, draft_hours: float) -> None:
    """Remove old versions, abandoned drafts and what stopped jobs left.

    The version in force, the one before it and what a living draft is made from always stay.
    """
    collected = open_registry(registry).gc(keep=keep, draft_hours=draft_hours)
    click.echo(
        f"Removed {len(collected.versions)} versions {list(collected.versions)} and "
        f"{len(collected.drafts)} drafts {list(collected.drafts)}"
    )


def open_registry(path: Path) -> Registry:
    """The registry at `path`.

    Raises:
      RegistryError: when there is none.
    """
    from cloud.registry import Registry
    from ecct_tf.errors import RegistryError

    if not path.is_dir():
        raise RegistryError(
            f"{path}: expected a registry, there is no such folder; the first job that commits a "
            "version makes it"
        )
    return Registry(path)


def _print(stored: tuple[Version, ...], *, promoted: int | None, previous: int | None) -> None:
    from rich.table import Table

    table = Table("version", "state", "created", "from", "metrics", "bytes")
    for version in stored:
        manifest = version.manifest
        state = {promoted: "in force", previous: "rollback target"}.get(version.number, "")
        table.add_row(
            str(version.number),
            state,
            manifest.created_at,
            ", ".join(map(str, manifest.parents)) or "scratch",
            _told(manifest.metrics),
            f"{manifest.num_bytes:,}",
        )
    wide_console().print(table)


def _told(metrics: Mapping[str, float]) -> str:
    """HR and NDCG, where there are any; `--json` has the rest."""
    ranking = {
        name: value
        for name, value in metrics.items()
        if {"hr", "ndcg"} & set(re.split(r"[^a-z]+", name.lower()))
    }
    return ", ".join(f"{name} {value:.4f}" for name, value in (ranking or metrics).items())
