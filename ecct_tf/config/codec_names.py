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
    setting="exchange.codec",
    any_form=True,
)

codec_names = _NAMES.known
"""`() -> dict`: the names that need no module, each with the `module:name` it stands for."""

is_own_codec = _NAMES.is_own
"""`(name) -> bool`: whether the library itself brings the codec."""

check_codec_name = _NAMES.check
"""`(name, *, setting)`: refuses what names no codec; a `ConfigError` lists what there is."""

codec_target = _NAMES.target_of
"""`(name, *, setting) -> str`: its `module:name`, or a `ConfigError` that lists what there is."""
