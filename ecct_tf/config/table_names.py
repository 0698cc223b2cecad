"""Names of forms of the item table: what there is, and what a name stands for."""

from ecct_tf.config.part_names import PartNames

__all__ = ["TABLE_ENTRY_POINTS", "check_table_form", "own_table_forms", "table_target"]

TABLE_ENTRY_POINTS = "ecct_tf.table_codecs"
"""The group of entry points under which packages register forms of the item table."""

_FORMS = {
    **dict.fromkeys(("float32", "float16", "int8"), "ecct_tf.knowledge.codecs:build_codec"),
    "int4": "ecct_tf.knowledge.table_codecs:int4",
    "compact": "ecct_tf.knowledge.compact_rows:compact",
    **{name: f"ecct_tf.knowledge.product_codes:{name}" for name in ("pq2", "pq4", "pq8", "lean")},
}
_NAMES = PartNames(
    "a form of the item table",
    TABLE_ENTRY_POINTS,
    _FORMS,
    f"a name out of {', '.join(_FORMS)}, or module:name such as my_pkg.tables:ternary",
    setting="exchange.item_table",
)

check_table_form = _NAMES.check_form
"""`(name, *, setting)`: refuses what cannot name a form of the item table; nothing is looked up."""

table_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""


def own_table_forms() -> tuple[str, ...]:
    """The forms that the library itself brings."""
    return tuple(_NAMES.own)
