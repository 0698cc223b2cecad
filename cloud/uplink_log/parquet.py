"""The log as Parquet files for analysts, which the log also takes back.

Each row has the fields of a record, decoded, and in `record` its original bytes. Reading
takes `record` alone, so that nothing is lost on the way through.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cloud.uplink_log.reader import UplinkBatch
from ecct_tf.errors import DataError
from ecct_tf.files import write_atomically

__all__ = ["PARQUET_SCHEMA", "export_one_parquet", "export_parquet"]

PARQUET_SCHEMA = "ecct-uplink-log/1"


def export_parquet(batches: Iterable[UplinkBatch], out: Path) -> tuple[Path, ...]:
    """Writes what `read_uplinks` yields, one Parquet file for each file of the log.

    Args:
      batches: of whole files.
      out: folder that gets the files, under the same dated folders.

    Returns:
      The files that were written; a file of the log without a sound record has none.
    """
    written = []
    for name, group in itertools.groupby(batches, lambda batch: batch.position.file):
        filled = (batch for batch in group if len(batch))
        first = next(filled, None)
        if first is None:
            continue
        path = (out / name).with_suffix(".parquet")
        tables = map(_table, itertools.chain([first], filled))
        write_atomically(path, functools.partial(_write, tables), private=True)
        written.append(path)
    return tuple(written)


def export_one_parquet(batches: Iterable[UplinkBatch], out: Path) -> int:
    """Writes what `read_uplinks` yields as one Parquet file.

    Args:
      batches: of a whole log or a part of it.
      out: the file.

    Returns:
      How many uplinks it has.

    Raises:
      DataError: there is not one; no file is written then.
    """
    rows = 0

    def counted() -> Iterator[Any]:
        nonlocal rows
        for batch in batches:
            if len(batch):
                rows += len(batch)
                yield _table(batch)

    tables = counted()
    first = next(tables, None)
    if first is None:
        raise DataError(
            f"{out}: expected at least one valid uplink to write, none was read; "
            "`ecct cloud log check` shows what was refused and why, and --all also reads what "
            "the version in force has read"
        )
    write_atomically(out, functools.partial(_write, itertools.chain([first], tables)), private=True)
    return rows


def _write(tables: Iterator[Any], file: IO[bytes]) -> None:
    first = next(tables)
    with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table)


def _table(batch: UplinkBatch) -> Any:
    rows, queries, width = batch.embeddings.shape
    embeddings = pa.FixedSizeListArray.from_arrays(
        pa.FixedSizeListArray.from_arrays(pa.array(batch.embeddings.reshape(-1)), width), queries
    )
    ends = np.cumsum(batch.with_logits * queries)
    # An offset that is null makes its list null.
    offsets = pa.array(np.r_[0, ends], pa.int32(), mask=np.r_[~batch.with_logits, False])
    logits = pa.ListArray.from_arrays(
        offsets, pa.array(batch.logits[batch.with_logits].reshape(-1))
    )
    columns = {
        "user": pa.array(batch.users),
        "round": pa.array(batch.rounds),
        "cloud_version": pa.array(batch.cloud_versions),
        "created_at": pa.array(batch.created_at_seconds, pa.timestamp("s", tz="UTC")),
        "stage": pa.array(batch.with_logits.astype("int8") + 1, pa.int8()),
        "items": pa.FixedSizeListArray.from_arrays(pa.array(batch.items.reshape(-1)), queries),
        "embeddings": embeddings,
        "logits": logits,
        "record": pa.array(batch.records, pa.binary(), size=rows),
    }
    return pa.table(columns).replace_schema_metadata({"ecct_schema": PARQUET_SCHEMA})
