"""The item table as named arrays, for files and for a SavedModel's signature."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DataError
from ecct_tf.knowledge.item_table import Block, ItemTable

__all__ = ["item_table", "item_table_arrays"]

_PLAIN = ("attributes", "cloud", "bias", "feature_mean", "feature_scale")


def item_table_arrays(table: ItemTable) -> dict[str, npt.NDArray[Any]]:
    """`table` as arrays; `block/i/target` is missing where it is the source."""
    arrays: dict[str, npt.NDArray[Any]] = {name: getattr(table, name) for name in _PLAIN}
    arrays["logit_moments"] = np.array([table.logit_mean, table.logit_scale], np.float64)
    if table.row_dim:
        arrays["row_dim"] = np.array(table.row_dim, np.int64)
    if table.counts_newest:
        arrays["counts_newest"] = np.array(True)
    if table.form:
        arrays["form"] = np.array(table.form, np.str_)
    arrays["blocks"] = np.array([block.name for block in table.blocks], np.str_)
    for index, block in enumerate(table.blocks):
        arrays[f"block/{index}/source"] = block.source
        if not block.is_symmetric:
            arrays[f"block/{index}/target"] = block.target
    return arrays


def item_table(arrays: Mapping[str, npt.NDArray[Any]]) -> ItemTable:
    """The table of `item_table_arrays`, or of what the signature `item_table` returns.

    Args:
      arrays: by name; for a signature's result, each tensor's `numpy()`.

    Raises:
      DataError: when an array is missing or they do not fit each other.
    """
    try:
        blocks = []
        for index, name in enumerate(arrays["blocks"].tolist()):
            source = arrays[f"block/{index}/source"]
            target = arrays.get(f"block/{index}/target", source)
            # A SavedModel returns texts as bytes.
            told = name.decode() if isinstance(name, bytes) else str(name)
            blocks.append(Block(told, source, target))
        mean, scale = arrays["logit_moments"].tolist()
        plain = {name: arrays[name] for name in _PLAIN}
        row_dim = int(arrays["row_dim"]) if "row_dim" in arrays else 0
        counts_newest = bool(arrays.get("counts_newest", False))
        form = str(arrays["form"]) if "form" in arrays else ""
    except (KeyError, ValueError) as error:
        raise DataError(
            f"expected the arrays of an item table, found {sorted(arrays)}: {error!r}"
        ) from error
    return ItemTable(
        tuple(blocks),
        **plain,
        logit_mean=mean,
        logit_scale=scale,
        row_dim=row_dim,
        counts_newest=counts_newest,
        form=form,
    )
