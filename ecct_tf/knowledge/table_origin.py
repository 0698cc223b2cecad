"""Forms of the item table that a user brings: refused early, and known again by their source."""

from collections.abc import Mapping

from ecct_tf.config import CODECS
from ecct_tf.config.table_names import AUTO, own_table_forms, table_target
from ecct_tf.knowledge.table_codecs import build_table_codec
from ecct_tf.plugins import Origin, changes_of, origin_of

__all__ = ["changed_item_forms", "check_item_form", "item_form_origins"]

_SETTING = "exchange.item_table"


def check_item_form(form: str | None) -> None:
    """Builds a form of the item table, so that what cannot work is refused early.

    Raises:
      ConfigError: as `build_table_codec` does.
    """
    if form not in (None, AUTO, *CODECS):
        build_table_codec(form)


def item_form_origins(form: str | None) -> dict[str, Origin]:
    """What is to be recorded of a form that is not the library's own, by its name.

    Raises:
      ConfigError: it cannot be imported.
    """
    if form is None or form in (AUTO, *own_table_forms()):
        return {}
    return {form: origin_of(table_target(form), what=_what(form))}


def changed_item_forms(form: str | None, recorded: Mapping[str, Origin]) -> list[str]:
    """What changed in the source of a form since it was recorded, in words.

    Raises:
      ConfigError: it cannot be imported.
    """
    return changes_of(item_form_origins(form), recorded, what=_what)


def _what(form: str) -> str:
    return f"{_SETTING}: form {form!r}"
