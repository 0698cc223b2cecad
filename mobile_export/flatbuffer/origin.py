"""Which run a file comes from: fingerprints in its metadata, compared before figures are.

A file that is scored, checked or overwritten as if it were of another run gives figures that
look right. Hence each file carries the SHA-256 of what it was made of.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecct_tf.errors import ExportError
from mobile_export.flatbuffer.packing import MANIFEST

__all__ = [
    "FINGERPRINTS",
    "check_folder",
    "check_origin",
    "fingerprint",
    "known_files",
    "same_source",
]

# By name, what each is taken of. The first four are the same for all files of one run.
FINGERPRINTS = {
    "settings": "the settings of the run",
    "data": "its interactions and feature columns",
    "vocabulary": "its item ids and profile values",
    "item_table": "the item table that its devices hold",
    "weights": "the devices' weights after the round that was exported",
}
_OF_THE_RUN = ("settings", "data", "vocabulary", "item_table")
_SHOWN = 12


def fingerprint(value: Any) -> str:
    """SHA-256 of `value` as JSON with sorted keys, in hexadecimal.

    >>> fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def check_origin(
    metadata: Mapping[str, Any], expected: Mapping[str, str], *, file: Path, run: Path
) -> None:
    """Refuses a file that was not exported from `run` as it stands.

    Args:
      metadata: of the file.
      expected: the run's fingerprints, by the names of `FINGERPRINTS`.
      file: for the message.
      run: for the message.

    Raises:
      ExportError: when a fingerprint differs or the file has none; it shows both.
    """
    found = metadata.get("fingerprints") or {}
    again = f"export it again: `ecct export {run} --out FOLDER`"
    if not found:
        raise ExportError(
            f"{file}: expected the fingerprints of the run that it comes from, it has none: it was "
            f"written by an earlier version, or without a run; {again}"
        )
    wrong = [name for name in FINGERPRINTS if found.get(name) != expected[name]]
    if not wrong:
        return
    told = "; ".join(
        f"{name}: {_short(found.get(name))} in the file, {_short(expected[name])} in the run"
        for name in wrong
    )
    source = metadata.get("provenance", {})
    named = (
        f"The file names the run {source.get('run')!r} (seed {source.get('seed')}, after round "
        f"{source.get('rounds')})"
    )
    if wrong == ["weights"]:
        raise ExportError(
            f"{file}: expected the weights that the run {run} has now, the file has others ({told})"
            f". {named}; the run went on since, or was repeated elsewhere; {again}"
        )
    raise ExportError(
        f"{file}: expected a file of the run {run}, it is of another one ({told}). {named}: give "
        f"that run, or {again}"
    )


def check_folder(
    out: Path, names: Sequence[str], ours: Mapping[str, str], *, overwrite: bool
) -> None:
    """Refuses a folder with files of another run, which would be replaced or mixed.

    Args:
      out: the folder; it may be missing.
      names: of the files about to be written.
      ours: fingerprints of what they are made of; empty without a run.
      overwrite: whether files of another run may be replaced.

    Raises:
      ExportError: when there is a file of another run, or one that no manifest lists, and
        `overwrite` is false.
    """
    if overwrite:
        return
    known = known_files(out)
    way_out = "give another --out, or --overwrite to replace what is there"
    for name, entry in known.items():
        theirs = entry.get("fingerprints") or {}
        if not same_source(theirs, ours):
            differing = [key for key in _OF_THE_RUN if theirs.get(key) != ours.get(key)]
            told = "; ".join(
                f"{key}: {_short(theirs.get(key))} there, {_short(ours.get(key))} here"
                for key in differing
            )
            raise ExportError(
                f"{out / name}: expected a folder with files of one run, this one is of another "
                f"run ({told}); {way_out}"
            )
    for name in names:
        if name not in known and (out / name).exists():
            raise ExportError(
                f"{out / name}: expected no such file, or one that {MANIFEST} beside it lists; "
                f"{way_out}"
            )


def known_files(out: Path) -> dict[str, Any]:
    """What the manifest of a folder says of its files, by name; empty where there is none.

    Raises:
      ExportError: when the manifest cannot be read.
    """
    path = out / MANIFEST
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): dict(entry) for name, entry in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{path}: expected a manifest, cannot read it: {error!r}") from error


def same_source(theirs: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """Whether two sets of fingerprints are of one run, at whatever round."""
    return all(theirs.get(key) == ours.get(key) for key in _OF_THE_RUN)


def _short(value: str | None) -> str:
    return "none" if value is None else f"{value[:_SHOWN]}…"
