"""What `ecct inspect` says first: what a file or folder is, of what, when, how large, what next."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecct_tf.commands.options import counted, shown_command
from ecct_tf.errors import RunFolderError
from ecct_tf.plain_text import day_text

__all__ = ["file_summary", "folder_summary"]


def file_summary(file: Path, size: int, metadata: Mapping[str, Any]) -> list[str]:
    """Of an exported file; what its metadata leave out is left out.

    Args:
      file: its path.
      size: in bytes.
      metadata: of it.
    """
    source, variant = _mapping(metadata, "provenance"), _mapping(metadata, "variant")
    release = _mapping(metadata, "versions").get("ecct-tf")
    kind = f"edge model of tier {metadata.get('tier')}, {variant.get('name', 'unknown variant')}"
    next_command = f"verify {_word(file)}"
    if source.get("run"):
        origin = (
            f"of the run {source['run']} ({source.get('method')} on {source.get('dataset')}, seed "
            f"{source.get('seed')}, after round {source.get('rounds')})"
        )
        next_command += " --run RUN"
    elif source.get("cloud_version"):
        origin = f"of version {source['cloud_version']} of the cloud"
        origin += f", made {source['made']}" if source.get("made") else ""
    else:
        origin = "which names no run and no version"
    weights = f", weights: {source['weights']}" if source.get("weights") else ""
    writer = f", written by ecct-tf {release}" if release else ""
    return [
        f"{file}: {kind}, {origin}{weights}{writer}; {size:,} bytes, file of "
        f"{day_text(int(file.stat().st_mtime))} UTC",
        f"Next: {shown_command()} {next_command}",
    ]


def folder_summary(folder: Path) -> list[str] | None:
    """Of a run folder or a registry; None for another folder.

    Raises:
      ConfigError: the configuration of a run cannot be read.
      RunFolderError: its status cannot be read.
      RegistryError: the history of a registry is damaged.
    """
    if (folder / "config.yaml").is_file() and (folder / "status.json").is_file():
        return _run(folder)
    if (folder / "versions").is_dir():
        return _registry(folder)
    return None


def _run(folder: Path) -> list[str]:
    from ecct_tf.config import data_title
    from ecct_tf.simulation.methods import display_name
    from ecct_tf.simulation.run_folder import RunFolder

    opened = RunFolder.open(folder)
    config, status = opened.config, opened.status
    try:
        rounds = int(json.loads((folder / "status.json").read_text("utf-8"))["round"])
        started = json.loads((folder / "environment.json").read_text("utf-8"))["started"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{folder}: expected status.json and environment.json of a run, cannot read them: "
            f"{error!r}. Restore them from a copy."
        ) from error
    data = data_title(config.data)
    after = f"{status} after {counted(rounds, 'round')}" if rounds else status
    name = _word(folder)
    command = f"report {name}" if status == "complete" else f"resume {name}"
    return [
        f"{folder}: run of {display_name(config)} on {data}, seed {config.seed}, {after}, begun "
        f"{started}; {_size(folder)}",
        f"Next: {shown_command()} {command}",
    ]


def _registry(folder: Path) -> list[str]:
    from cloud.registry import Registry

    registry = Registry(folder)
    versions, promoted = registry.versions(), registry.promoted()
    newest = f", the newest {versions[-1].number} of {versions[-1].manifest.created_at}"
    force = "none is in force" if promoted is None else f"version {promoted.number} is in force"
    name = _word(folder)
    command = f"cloud versions {name}" if versions else "cloud retrain --config job.yaml --out job"
    return [
        f"{folder}: registry with {counted(len(versions), 'version')}{newest if versions else ''}, "
        f"{force}; {_size(folder)}",
        f"Next: {shown_command()} {command}",
    ]


def _size(folder: Path) -> str:
    sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{sum(sizes):,} bytes in {counted(len(sizes), 'file')}"


def _mapping(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = metadata.get(key)
    return found if isinstance(found, Mapping) else {}


def _word(path: Path) -> str:
    return shlex.quote(str(path))
