"""Names of forms of the item table: what there is, and what a name stands for."""

from ecct_tf.config.codec_names import CODECS, CodecName
from ecct_tf.config.part_names import PartNames

__all__ = [
    "AUTO",
    "LARGE_CATALOG",
    "TABLE_ENTRY_POINTS",
    "check_table_form",
    "own_table_forms",
    "table_form",
    "table_target",
]

AUTO = "auto"
"""The form that suits the catalog and the codec."""

LARGE_CATALOG = 20_000
"""Items above which codebooks are small beside the rows that they shorten."""

TABLE_ENTRY_POINTS = "ecct_tf.table_codecs"
"""The group of entry points under which packages register forms of the item table."""

_CODES = ("pq2", "pq4", "pq8", "fine", "lean")
_FORMS = {
    **dict.fromkeys(("float32", "float16", "int8"), "ecct_tf.knowledge.codecs:build_codec"),
    "int4": "ecct_tf.knowledge.table_codecs:int4",
    "compact": "ecct_tf.knowledge.compact_rows:compact",
    **{name: f"ecct_tf.knowledge.product_codes:{name}" for name in _CODES},
}
_NAMES = PartNames(
    "a form of the item table",
    TABLE_ENTRY_POINTS,
    _FORMS,
    f"a name out of {', '.join((AUTO, *_FORMS))}, or module:name such as my_pkg.tables:ternary",
    setting="exchange.item_table",
    words=(AUTO,),
)

check_table_form = _NAMES.check_form
"""`(name, *, setting)`: refuses what cannot name a form of the item table; nothing is looked up."""

table_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""


def table_form(form: str | None, *, codec: CodecName, num_items: int, whole: bool = True) -> str:
    """The form in which an item table crosses: one of `CODECS`, or the name of another.

    Args:
      form: as configured.
      codec: of all that crosses.
      num_items: of the table.
      whole: whether devices get all of its rows; a file reads single rows only as a codec of the
        library writes them.

    Example:
      >>> [table_form("auto", codec="int8", num_items=count) for count in (1_682, 100_000)]
      ['compact', 'fine']
      >>> table_form("auto", codec="float32", num_items=1_682)
      'float32'
    """
    if form != AUTO:
        return form or codec
    if codec in ("float32", "float16"):
        return codec
    if not whole:
        return codec if codec in CODECS else "int8"
    return "compact" if num_items <= LARGE_CATALOG else "fine"


def own_table_forms() -> tuple[str, ...]:
    """The forms that the library itself brings."""
    return tuple(_NAMES.own)
