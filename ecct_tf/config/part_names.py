"""Names of parts that a user may bring: what there is, and what a name stands for."""

import dataclasses
import importlib.metadata
import re
from collections.abc import Mapping

from ecct_tf.config.parsing import near_miss
from ecct_tf.errors import ConfigError

__all__ = ["PartNames", "check_name_form"]

# Part of an exported file's name, where it stands for an edge model.
_LONGEST_NAME = 128
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_FORM = re.compile(rf"{_WORD}|{_WORD}(\.{_WORD})*:{_WORD}")


def check_name_form(name: str, *, setting: str, examples: str) -> None:
    """Refuses what can name no part; nothing is looked up or imported.

    Args:
      name: of a part, or `module:name`.
      setting: where it stands, for the message.
      examples: one of each, for the message.

    Raises:
      ConfigError: it has neither form.
    """
    if not _FORM.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"{setting}: expected {examples}, of at most {_LONGEST_NAME} characters, got {name!r}"
        )


@dataclasses.dataclass(frozen=True)
class PartNames:
    """The names of parts of one kind: an open list that starts with the library's own.

    Nothing is imported to read or check a name.

    Attributes:
      what: the kind, with its article.
      entry_points: the group under which packages register names.
      own: the library's, each with the `module:name` that it stands for.
      examples: a name and a `module:name`, for messages.
      setting: where a name stands, for messages, unless a call says otherwise.
      any_form: whether a name may have other characters than a word's, such as `fine-tuning`.
      words: what the setting takes besides names, such as `auto`, for messages.
    """

    what: str
    entry_points: str
    own: Mapping[str, str]
    examples: str
    setting: str
    any_form: bool = False
    words: tuple[str, ...] = ()

    def known(self) -> dict[str, str]:
        """The names that need no module, each with the `module:name` that it stands for.

        Raises:
          ConfigError: two packages register one name, or one that the library has.
        """
        names = dict(self.own)
        for point in importlib.metadata.entry_points(group=self.entry_points):
            if names.setdefault(point.name, point.value) != point.value:
                raise ConfigError(
                    f"{self.what.partition(' ')[2]} {point.name!r}: expected one package that "
                    f"registers it under {self.entry_points}, got {names[point.name]} and "
                    f"{point.value}; uninstall one"
                )
        return names

    def is_own(self, name: str) -> bool:
        """Whether the library itself brings the part."""
        return name in self.own

    def check_form(self, name: str, *, setting: str | None = None) -> None:
        """Refuses what can name no part; nothing is looked up.

        Raises:
          ConfigError: it is neither a name nor `module:name`.
        """
        check_name_form(name, setting=setting or self.setting, examples=self.examples)

    def check(self, name: str, *, setting: str | None = None) -> None:
        """Refuses what names no part.

        Raises:
          ConfigError: nothing has the name, which lists what there is, or it is no `module:name`.
        """
        if name not in self.own:
            self.target_of(name, setting=setting)

    def target_of(self, name: str, *, setting: str | None = None) -> str:
        """The `module:name` that a name stands for.

        Raises:
          ConfigError: nothing has the name, which lists what there is, or it is no `module:name`.
        """
        if ":" in name or not self.any_form:
            self.check_form(name, setting=setting)
        if ":" in name:
            return name
        names = self.known()
        if name not in names:
            listed = (*self.words, *names)
            raise ConfigError(
                f"{setting or self.setting}: expected {self.what} out of {', '.join(listed)}, or "
                f"module:name of your own, got {name!r}{near_miss(name, listed)}"
            )
        return names[name]
