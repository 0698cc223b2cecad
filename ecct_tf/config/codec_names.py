"""Names of codecs of what crosses: what there is, and what a name stands for."""

from ecct_tf.config.part_names import PartNames

__all__ = [
    "CODECS",
    "CODEC_ENTRY_POINTS",
    "CodecName",
    "check_codec_name",
    "codec_names",
    "codec_target",
    "is_own_codec",
]

CodecName = str
"""The name of a codec: one of `CODECS`, a name that a package registers, or `module:name`."""

CODECS: tuple[CodecName, ...] = ("float32", "float16", "int8")
"""The library's own codecs, which every file and device knows."""

CODEC_ENTRY_POINTS = "ecct_tf.codecs"
"""The group of entry points under which packages register codecs."""

_NAMES = PartNames(
    "a codec",
    CODEC_ENTRY_POINTS,
    dict.fromkeys(CODECS, "ecct_tf.knowledge.codecs:build_codec"),
    "a name such as int8, or module:name such as my_pkg.codecs:int4",
)


def codec_names() -> dict[str, str]:
    """The names that need no module, each with the `module:name` that it stands for.

    Raises:
      ConfigError: two packages register one name, or one that the library has.
    """
    return _NAMES.known()


def is_own_codec(name: CodecName) -> bool:
    """Whether the library itself brings the codec."""
    return name in _NAMES.own


def check_codec_name(name: CodecName, *, setting: str) -> None:
    """Refuses what names no codec; nothing is imported.

    Raises:
      ConfigError: nothing has the name, which lists what there is, or it is no `module:name`.
    """
    _NAMES.check(name, setting=setting)


def codec_target(name: CodecName, *, setting: str = "exchange.codec") -> str:
    """The `module:name` that a name stands for.

    Raises:
      ConfigError: nothing has the name, which lists what there is, or it is no `module:name`.
    """
    return _NAMES.target_of(name, setting=setting)
