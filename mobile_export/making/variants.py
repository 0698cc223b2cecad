"""The kinds of files: what trains, how the item table is kept, how the rest is quantised."""

import dataclasses

from ecct_tf.config import CODECS
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import ItemTable
from mobile_export.making.conversion import Precision
from mobile_export.making.items import TableEncoding, kept_as

__all__ = ["VARIANTS", "Variant", "default_variant", "find_variant"]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One kind of file.

    Attributes:
      name: how it is chosen.
      trainable: with state and training; otherwise weights are constants.
      table: how the file keeps the item table.
      precision: of constants other than the item table.
      adapters: whether low-rank adapters train on a frozen int8 base.
      meant_for: in one sentence.
    """

    name: str
    trainable: bool
    table: TableEncoding
    precision: Precision
    adapters: bool
    meant_for: str


_PRODUCT_CODES: dict[int, TableEncoding] = {2: "pq2", 4: "pq4", 8: "pq8"}
_ALL = (
    Variant(
        "trainable-int8", True, "int8", "float32", False,
        "exact for a table that crossed the wire as int8",
    ),
    Variant(
        "trainable-int4", True, "int4", "float32", False,
        "the default: exact for a table that crossed the wire as compact or int4",
    ),
    *(
        Variant(
            f"trainable-pq{size}", True, encoding, "float32", False,
            f"large catalogs: {size} values in a byte; exact for a table that crossed so",
        )
        for size, encoding in _PRODUCT_CODES.items()
    ),
    Variant(
        "trainable-fine", True, "fine", "float32", False,
        "the default of large catalogs: product codes of three values; exact likewise",
    ),
    Variant(
        "trainable-lean", True, "lean", "float32", False,
        "large catalogs: product codes, longer for sources than for targets; exact likewise",
    ),
    Variant(
        "trainable-float32", True, "float32", "float32", False,
        "reference and comparison",
    ),
    Variant(
        "trainable-lora", True, "int8", "float32", True,
        "small state and small uploads: low-rank and bias adapters on an int8 base",
    ),
    Variant(
        "inference-dynamic-int8", False, "int8", "dynamic-int8", False,
        "devices that never train; smallest at little loss",
    ),
    Variant(
        "inference-float16", False, "float32", "float16", False,
        "devices that never train; GPU delegates",
    ),
    Variant(
        "inference-int8", False, "int8", "int8", False,
        "devices that never train and multiply int8 fast: dense layers in int8, calibrated",
    ),
)  # fmt: skip

VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _ALL}


def default_variant(table: ItemTable) -> str:
    """The variant for a table that crossed the wire: exact where it has a form of its own."""
    kept = kept_as(table.form)
    if kept is not None:
        return f"trainable-{kept}"
    return "trainable-int8" if table.form in ("", *CODECS) else "trainable-float32"


def find_variant(name: str) -> Variant:
    """The variant `name`.

    Raises:
      ConfigError: when there is none.
    """
    if name not in VARIANTS:
        raise ConfigError(f"expected a variant out of {', '.join(VARIANTS)}; got {name!r}")
    return VARIANTS[name]
