"""What is in a packed file, as tables."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from ecct_tf.errors import ExportError
from mobile_export.contract.runtimes import runtime_needs
from mobile_export.flatbuffer.packing import associated_files, read_metadata
from mobile_export.flatbuffer.schema import read_model, schema
from mobile_export.making.conversion import check_operators

__all__ = ["inspection_tables", "tensor_sizes"]


def inspection_tables(path: Path, *, tensors: int = 12) -> Iterator[Table]:
    """Tables of signatures, runtimes, operators, the largest constants, and metadata.

    Raises:
      ExportError: the file is damaged; before the first table.
    """
    content = path.read_bytes()
    metadata = read_metadata(content)
    try:
        found = [
            _signatures(metadata),
            _runtimes(metadata),
            _operators(content),
            _constants(content, tensors),
            _metadata(path, metadata),
        ]
    except (LookupError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise ExportError(
            f"{path}: expected a file that `ecct export` wrote, it is damaged: {error!r}; fetch or "
            "export it again"
        ) from error
    yield from found


def tensor_sizes(content: bytes) -> list[tuple[int, str, list[int], int]]:
    """Bytes, dtype, shape and number of uses of each stored constant, the largest first."""
    model = read_model(content)
    kinds = {
        value: name for name, value in vars(schema().TensorType).items() if isinstance(value, int)
    }
    found: dict[int, tuple[int, str, list[int], int]] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is None or not len(data):
                continue
            shape = [] if tensor.shape is None else [int(extent) for extent in tensor.shape]
            uses = found.get(tensor.buffer, (0, "", [], 0))[3] + 1
            found[tensor.buffer] = (len(data), kinds[tensor.type], shape, uses)
    return sorted(found.values(), key=lambda entry: -entry[0])


def _signatures(metadata: dict[str, Any]) -> Table:
    table = Table(title="Signatures", title_justify="left")
    for column in ("signature", "", "name", "dtype", "shape", "meaning"):
        table.add_column(column)
    for name, signature in metadata["signatures"].items():
        for side in ("inputs", "outputs"):
            for port in signature[side]:
                shape = ", ".join(
                    "any" if extent is None else str(extent) for extent in port["shape"]
                )
                table.add_row(
                    name, side[:-1], port["name"], port["dtype"], f"[{shape}]",
                    port.get("meaning", ""),
                )  # fmt: skip
                name = ""
    return table


def _runtimes(metadata: dict[str, Any]) -> Table:
    table = Table(title="Runtimes", title_justify="left")
    for column in ("interface", "version", "before calls"):
        table.add_column(column)
    for needs in runtime_needs(metadata):
        table.add_row(needs.interface, needs.version, needs.before)
    return table


def _operators(content: bytes) -> Table:
    table = Table(title="Operators", title_justify="left")
    for column in ("signature", "operators", "of them"):
        table.add_column(column)
    for name, counts in check_operators(content).items():
        most = sorted(counts.items(), key=lambda pair: -pair[1])
        told = ", ".join(f"{kind} {count}" for kind, count in most)
        table.add_row(name, str(sum(counts.values())), told)
    return table


def _constants(content: bytes, most: int) -> Table:
    table = Table(title="Largest constants", title_justify="left")
    for column in ("bytes", "dtype", "shape", "uses"):
        table.add_column(column)
    sizes = tensor_sizes(content)
    for size, dtype, shape, uses in sizes[:most]:
        table.add_row(f"{size:,}", dtype, str(shape), str(uses))
    rest = len(content) - sum(entry[0] for entry in sizes)
    table.add_row(f"{rest:,}", "graph, metadata, associated files", "", "")
    return table


def _metadata(path: Path, metadata: dict[str, Any]) -> Table:
    table = Table(title="Metadata", title_justify="left")
    table.add_column("key")
    table.add_column("value", overflow="fold")
    for key, value in metadata.items():
        if key != "signatures":
            table.add_row(key, str(value))
    table.add_row("associated files", ", ".join(associated_files(path)))
    return table
