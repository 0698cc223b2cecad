"""From an edge model and its weights to files for phones."""

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import CLOCK_CONTEXT, CodecName, FeatureConfig, tier_slug
from ecct_tf.data.clock import EARLIEST, SESSION_GAP
from ecct_tf.edge import DeviceTask, EdgeModel
from ecct_tf.errors import ConfigError, ExportError
from ecct_tf.files import write_bytes, write_text
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_files import item_table_file
from ecct_tf.locks import passing
from ecct_tf.version import __version__
from ecct_tf.wire import digest_of
from mobile_export.contract.held import HeldRoom
from mobile_export.contract.signatures import FILE_SCHEMA, Signature
from mobile_export.contract.task import device_settings, file_sizes
from mobile_export.flatbuffer.late_tables import LateTables
from mobile_export.flatbuffer.origin import check_folder, known_files, same_source
from mobile_export.flatbuffer.packing import MANIFEST, digest, pack, vocabulary_text
from mobile_export.making import guards
from mobile_export.making.card import model_card
from mobile_export.making.conversion import Calibration, check_operators, convert
from mobile_export.making.examples import DeviceExample, example_inputs
from mobile_export.making.graph import EdgeGraph
from mobile_export.making.held_items import ID_BYTES, HeldItems
from mobile_export.making.items import ItemStore
from mobile_export.making.labels import Labels, about_profile, check_profile, column_files
from mobile_export.making.parameters import Parameters, all_weights, low_rank
from mobile_export.making.variants import Variant, default_variant, find_variant

__all__ = ["ExportedFile", "Labels", "export_edge_model"]

_LOCK = ".manifest.lock"

_log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Attributes:
      path: where.
      variant: which kind.
      sha256: of its bytes, in hexadecimal.
      num_bytes: its size.
      operators: how many operators each signature has, by name.
    """

    path: Path
    variant: str
    sha256: str
    num_bytes: int
    operators: Mapping[str, Mapping[str, int]] = dataclasses.field(repr=False)


def export_edge_model(
    model: EdgeModel,
    weights: Array,
    table: ItemTable,
    *,
    task: DeviceTask,
    out: Path,
    variants: Sequence[str] | None = None,
    static: tuple[int, int] | None = None,
    labels: Labels | None = None,
    examples: Sequence[DeviceExample] = (),
    overwrite: bool = False,
    held: HeldRoom | None = None,
) -> list[ExportedFile]:
    """Writes one file for each variant, a manifest and a model card.

    Args:
      model: the architecture.
      weights: `[P] float32`, a federated mean or one device's own.
      table: the item table as devices received it.
      task: what a device does.
      out: folder; made when it is missing. Its manifest keeps what it says of other files of
        the same run.
      variants: names out of `VARIANTS`; None for the one that has the table as it is.
      static: B and C of an additional static-shape file of each variant.
      labels: what ids mean.
      examples: data of real devices; `inference-int8` is calibrated on them.
      overwrite: whether files of another run in `out` may be replaced; those that stay are
        no longer listed.
      held: room for rows of items, which the files then take as an input instead of holding the
        table; None for the whole table inside them.

    Returns:
      The files, in the order of `variants`, dynamic before static.

    Raises:
      ConfigError: when the parts do not fit, a variant is unknown, or `static` is no two shapes.
      ExportError: when the model needs an operator that is not builtin, or `out` holds files of
        another run.
    """
    task.check(model)
    if isinstance(variants, str):
        raise ConfigError(
            f"variants: expected a list of names, got {variants!r}; give [{variants!r}]"
        )
    if static is not None:
        _check_shapes(static, group_size=task.group_size)
    labels = labels or Labels()
    if held is not None:
        # A list of all items would grow with the catalog.
        labels = dataclasses.replace(labels, items=())
    _check_labels(model, table, labels)
    wanted = [default_variant(table)] if variants is None else variants
    chosen = [find_variant(name) for name in wanted]
    every_shape = (None, static) if static else (None,)
    names = [_file_name(model, variant, shapes) for variant in chosen for shapes in every_shape]
    check_folder(out, names, labels.fingerprints, overwrite=overwrite)
    written = []
    for variant in chosen:
        for shapes in every_shape:
            content, operators = _build(
                model, weights, table, task=task, variant=variant, shapes=shapes, labels=labels,
                examples=examples, held=held,
            )  # fmt: skip
            path = out / _file_name(model, variant, shapes)
            write_bytes(path, content)
            file = ExportedFile(path, variant.name, digest(content), len(content), operators)
            _log.info("%s: %d bytes", path, file.num_bytes)
            written.append(file)
    # Another process may export another tier or variant of the run into the same folder.
    with passing(out / _LOCK):
        _write_manifest(out, written, tier=model.tier, labels=labels)
    return written


def _file_name(model: EdgeModel, variant: Variant, shapes: tuple[int, int] | None) -> str:
    suffix = f"-b{shapes[0]}-c{shapes[1]}" if shapes else ""
    return f"edge-{tier_slug(model.tier)}-{variant.name}{suffix}.tflite"


def _build(
    model: EdgeModel,
    weights: Array,
    table: ItemTable,
    *,
    task: DeviceTask,
    variant: Variant,
    shapes: tuple[int, int] | None,
    labels: Labels,
    examples: Sequence[DeviceExample],
    held: HeldRoom | None,
) -> tuple[bytes, dict[str, dict[str, int]]]:
    if variant.adapters:
        parameters = low_rank(model, weights, sharing=task.sharing)
    else:
        parameters = all_weights(model, weights, sharing=task.sharing)
    items = _items(table, task, variant, held)
    batch, candidates = shapes or (None, None)
    # What is calibrated is run, with the whole table.
    tables = None if variant.precision == "int8" or held else LateTables()
    graph = EdgeGraph(
        model,
        parameters=parameters,
        items=items,
        task=task,
        sizes=file_sizes(
            model,
            task,
            trained=parameters.size,
            batch=batch,
            candidates=candidates,
            **_room(items),
        ),
        trainable=variant.trainable,
        constant=(
            tf.constant if tables is None else lambda rows: tf.constant(tables.stand_in(rows))
        ),
    )
    converted = convert(
        graph, precision=variant.precision, calibration=_calibration(examples, graph.contract)
    )
    metadata = _metadata(model, task, variant, graph.contract, parameters, items, labels)
    content = pack(converted, metadata=metadata, files=_vocabulary_files(labels), tables=tables)
    return content, check_operators(content)


def _items(
    table: ItemTable, task: DeviceTask, variant: Variant, held: HeldRoom | None
) -> ItemStore | HeldItems:
    if held is None:
        return ItemStore(table, variant.table)
    crossed = table.form or task.exchange.codec
    if variant.precision == "int8" or variant.table != crossed:
        raise ConfigError(
            f"variants: {variant.name} keeps item rows as {variant.table}, in a graph of "
            f"{variant.precision}; where files take rows as an input (exchange.items=candidates), "
            f"expected one that reads {crossed}, as they are published, such as trainable-{crossed}"
        )
    return HeldItems(table, crossed, held)


def _room(items: ItemStore | HeldItems) -> dict[str, int]:
    if isinstance(items, ItemStore):
        return {}
    return {"item_rows": items.rows, "row_bytes": ID_BYTES + items.row_bytes}


def _calibration(
    examples: Sequence[DeviceExample], contract: Mapping[str, Signature]
) -> Calibration:
    return [
        (name, example_inputs(example, signature))
        for example in examples
        for name, signature in contract.items()
    ]


def _metadata(
    model: EdgeModel,
    task: DeviceTask,
    variant: Variant,
    contract: Mapping[str, Signature],
    parameters: Parameters,
    items: ItemStore | HeldItems,
    labels: Labels,
) -> dict[str, Any]:
    return {
        "schema": FILE_SCHEMA,
        "tier": model.tier,
        "variant": dataclasses.asdict(variant),
        "model": model.sizes,
        "signatures": {name: signature.as_dict() for name, signature in contract.items()},
        "weights": {
            "size": parameters.size,
            "shared": parameters.shared_size,
            "sharing": task.sharing,
            "layout": [[name, list(shape)] for name, shape in parameters.layout],
        },
        **device_settings(task),
        **({"clock": _about_clock(task.features)} if task.features.clock_width else {}),
        "items": {
            "rows": items.rows,
            "encoding": items.encoding,
            "table_sha256": _table_digest(items.table, task.exchange.codec),
            "padding_row": 0,
            "blocks": [[block.name, block.source.shape[1]] for block in items.table.blocks],
            "file": "items.txt" if labels.items else None,
            **_held(items),
        },
        "profile": about_profile(model, labels),
        "guards": {
            "largest_weights_norm": guards.LARGEST_WEIGHTS_NORM,
            "largest_embedding": guards.LARGEST_EMBEDDING,
            "largest_gradient_norm": guards.LARGEST_GRADIENT_NORM,
            "largest_rate": 1.0,
        },
        "versions": {"ecct-tf": __version__, "tensorflow": tf.__version__},
        "provenance": dict(labels.provenance),
        "fingerprints": dict(labels.fingerprints),
    }


def _held(items: ItemStore | HeldItems) -> dict[str, Any]:
    if isinstance(items, ItemStore):
        return {}
    room = dataclasses.asdict(items.room)
    sizes = {"catalog": items.table.num_items, "row_bytes": items.row_bytes}
    return {"held": {**sizes, **room}}


def _table_digest(table: ItemTable, codec: CodecName) -> str:
    """The SHA-256 of the table as it was published, in hexadecimal."""
    return digest_of(item_table_file(table, table.form or codec).to_bytes())


def _about_clock(features: FeatureConfig) -> dict[str, Any]:
    """How the input `clock` is made; `ecct_tf.data.clock.clock_reading` makes it in Python."""
    codes = "of each column of features.context, at the end: 0 unknown, k for its k-th value"
    told = {"width": features.clock_width, **({"codes": codes} if features.context else {})}
    if not features.clock:
        return told
    return {
        **told,
        "context": list(CLOCK_CONTEXT),
        "session": "log(1 + items of the history since the last pause of over session_gap_seconds)",
        "session_gap_seconds": SESSION_GAP,
        "elapsed": "hours since each item of the history, newest last; empty slots as the oldest",
        "largest_hours": guards.LARGEST_PAUSE,
        "earliest_seconds": EARLIEST,
        "silent": "all 0 where the time of the request or of an item is before earliest_seconds",
    }


def _check_shapes(static: object, *, group_size: int) -> None:
    if (
        not isinstance(static, Sequence)
        or len(static) != 2
        or not all(isinstance(size, int) and size >= 1 for size in static)
    ):
        raise ConfigError(
            "static: expected training rows B and candidates C, two whole numbers of at least 1 "
            f"such as (32, 100), got {static!r}"
        )
    if static[0] % group_size:
        raise ConfigError(
            f"static: expected training rows in whole positions, a multiple of {group_size}, since "
            f"the loss reads a position's samples together, got {static[0]}"
        )


def _vocabulary_files(labels: Labels) -> dict[str, str]:
    """One value a line; line k, counted from 0, is row k. Row 0 is unknown or padding."""
    files = {
        file: vocabulary_text("<unknown>", labels.profile[name])
        for name, file in column_files(labels).items()
    }
    if labels.items:
        files["items.txt"] = vocabulary_text("<padding>", labels.items)
    return files


def _check_labels(model: EdgeModel, table: ItemTable, labels: Labels) -> None:
    check_profile(model, labels)
    if labels.items and len(labels.items) != table.num_items:
        raise ExportError(
            f"export: the item table has {table.num_items} items, got {len(labels.items)} tokens"
        )
    _vocabulary_files(labels)  # Refuses line breaks before anything is converted.


def _write_manifest(
    out: Path, written: Sequence[ExportedFile], *, tier: str, labels: Labels
) -> None:
    # Another run's files are here only where they may be overwritten: then they are listed no more.
    known = {
        name: entry
        for name, entry in known_files(out).items()
        if same_source(entry.get("fingerprints") or {}, labels.fingerprints)
    }
    for file in written:
        known[file.path.name] = {
            "sha256": file.sha256,
            "bytes": file.num_bytes,
            "tier": tier,
            "variant": file.variant,
            "operators": {name: sum(counts.values()) for name, counts in file.operators.items()},
            "fingerprints": dict(labels.fingerprints),
        }
    manifest = {"schema": FILE_SCHEMA, "files": dict(sorted(known.items()))}
    write_text(out / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    write_text(out / "MODEL_CARD.md", model_card(manifest, out))
