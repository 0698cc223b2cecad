"""The model card of an export folder, as Markdown, from its manifest and its files."""

import collections
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecct_tf.errors import ExportError
from ecct_tf.files import write_text
from mobile_export.contract.runtimes import runtime_needs
from mobile_export.flatbuffer.packing import MANIFEST, read_metadata

__all__ = ["model_card", "note_measured"]

_MEASURED = (
    ("hr", "HR@K"),
    ("ndcg", "NDCG@K"),
)


def model_card(manifest: Mapping[str, Any], folder: Path) -> str:
    """What the files of `folder` are, hold and cost.

    Quality appears once `ecct evaluate` has put it into the manifest; until then the card says
    that it was not measured.
    """
    lines = ["# Edge models for devices", ""]
    files = manifest["files"]
    details = {name: read_metadata((folder / name).read_bytes()) for name in files}
    lines += _about(list(details.values()))
    header = ["file", "bytes", "operators", *(title for _, title in _MEASURED)]
    lines += ["## Files", "", _row(header), _row(["---"] * len(header))]
    for name, entry in files.items():
        measured = entry.get("measured", {})
        cells = [f"`{name}`", f"{entry['bytes']:,}", str(sum(entry["operators"].values()))]
        cells += [_number(measured.get(key)) for key, _ in _MEASURED]
        lines.append(_row(cells))
    lines += [
        "",
        "`operators` counts all signatures; none is a Flex or custom operator. A dash means not",
        "measured: `ecct evaluate FILE --run RUN` measures quality over all test items.",
        "",
        "## What each file is for",
        "",
    ]
    for name, found in details.items():
        lines.append(f"- `{name}`: {found['variant']['meant_for']}{_whose(found, details)}.")
        lines += [
            f"    - {needs.interface}: {needs.version}; before calls, {needs.before}"
            for needs in runtime_needs(found)
        ]
    lines += [
        "",
        "Check a file against the SHA-256 in `manifest.json` before loading it: a runtime may",
        "crash on a damaged file.",
        "",
    ]
    return "\n".join(lines)


def note_measured(path: Path, measured: Mapping[str, float]) -> None:
    """Puts what was measured of a file into the manifest beside it, and renews the card.

    Args:
      path: the file.
      measured: numbers by the names that the card knows, e.g. `hr`.

    Raises:
      ExportError: when the manifest cannot be read or does not list the file.
    """
    manifest_path = path.parent / MANIFEST
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        manifest["files"][path.name].setdefault("measured", {}).update(measured)
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(
            f"{manifest_path}: expected an entry for {path.name}: {error!r}"
        ) from error
    write_text(manifest_path, json.dumps(manifest, indent=2) + "\n")
    write_text(path.parent / "MODEL_CARD.md", model_card(manifest, path.parent))


def _private_columns(profile: Sequence[Mapping[str, Any]]) -> list[str]:
    sets = collections.Counter(each["set"]["column"] for each in profile if "set" in each)
    return [
        f"{column['name']} ({'number' if 'number' in column else str(column['rows']) + ' rows'})"
        for column in profile
        if "set" not in column
    ] + [f"{name} (several of {count} values)" for name, count in sets.items()]


def _about(files: Sequence[Mapping[str, Any]]) -> list[str]:
    found = files[0]
    training, items = found["training"], found["items"]
    columns = ", ".join(_private_columns(found["profile"]))
    lines = [
        f"- schema: `{found['schema']}`, written by ecct-tf {found['versions']['ecct-tf']} with "
        f"TensorFlow {found['versions']['tensorflow']}",
        f"- items: {_items(items)}; blocks "
        + ", ".join(f"{name} ({width})" for name, width in items["blocks"]),
        f"- private columns: {columns or 'none'}",
        f"- optimiser: {training['optimizer']}, learning rates {training['learning_rate']:g} "
        f"(shared) and {training['private_learning_rate']:g} (private)",
        f"- loss: {training['loss']} + {training['distillation_weight']:g} * distillation from the "
        f"cloud's logits ({training.get('distillation_loss', 'tempered')}, temperature "
        f"{training['temperature']:g})",
    ]
    if clock := found.get("clock"):
        lines.append(
            f"- clock: the models read the time from the input `clock`, {clock['width']} values "
            "that the app computes on the device from the times of interactions; zeros say nothing"
        )
    lines += [f"- {name}: {value}" for name, value in _common(files).items()]
    return [*lines, ""]


def _items(items: Mapping[str, Any]) -> str:
    held = items.get("held")
    if held is None:
        return str(items["rows"] - 1)
    return (
        f"{held['catalog']}, none of them in the files; room for {items['rows'] - 1} rows of "
        f"{held['row_bytes']} B, which a device gets from the cloud"
    )


def _common(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The provenance that all files share; what differs stands beside each file."""
    return {
        name: value
        for name, value in _provenance(files[0]).items()
        if all(_provenance(file).get(name) == value for file in files)
    }


def _provenance(found: Mapping[str, Any]) -> dict[str, Any]:
    """Where weights come from, without what does not hold: no user, no new device."""
    return {
        name.replace("_", " "): "yes" if value is True else value
        for name, value in found["provenance"].items()
        if value is not None and value is not False
    }


def _whose(found: Mapping[str, Any], details: Mapping[str, Mapping[str, Any]]) -> str:
    common = _common(list(details.values()))
    own = [f"{name} {value}" for name, value in _provenance(found).items() if name not in common]
    return f" ({', '.join(own)})" if own else ""


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}"
