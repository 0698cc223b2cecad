"""The kinds of files: what trains, how the item table is kept, how the rest is quantised."""

import dataclasses

from ecct_tf.errors import ConfigError
from mobile_export.making.conversion import Precision
from mobile_export.making.items import TableEncoding

__all__ = ["VARIANTS", "Variant", "find_variant"]


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


_ALL = (
    Variant(
        "trainable-int8", True, "int8", "float32", False,
        "the default: exact for a table that crossed the wire as int8",
    ),
    Variant(
        "trainable-int4", True, "int4", "float32", False,
        "very large catalogs, where the item table is nearly all of the file",
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


def find_variant(name: str) -> Variant:
    """The variant `name`.

    Raises:
      ConfigError: when there is none.
    """
    if name not in VARIANTS:
        raise ConfigError(f"expected a variant out of {', '.join(VARIANTS)}; got {name!r}")
    return VARIANTS[name]
