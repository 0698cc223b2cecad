"""How headers of records and of downlinks name a codec: by one byte.

The library's own codecs have the numbers of their places in `CODECS`. A custom codec has 128 and
seven bits of the CRC-32 of its name. That is enough to notice that two sides mean different codecs,
and too little to import anything by: a reader knows a custom codec by the name in its own
configuration, never by what it received.
"""

import re
import zlib

from ecct_tf.config import CODECS, CodecName
from ecct_tf.errors import CodecError

__all__ = ["codec_code", "codec_text", "is_unknown", "named_codec"]

_CUSTOM = 128
_UNKNOWN = re.compile(r"\?(1[2-9][0-9]|2[0-9]{2})")


def codec_code(name: CodecName) -> int:
    """The byte that stands for a codec.

    >>> codec_code("int8"), codec_code("my_pkg.codecs:int4") >= 128
    (2, True)
    """
    if name in CODECS:
        return CODECS.index(name)
    if is_unknown(name):
        return int(name[1:])
    return _CUSTOM + zlib.crc32(name.encode()) % _CUSTOM


def named_codec(code: int, *, expected: CodecName | None, what: str) -> CodecName:
    """The codec that a byte stands for.

    Args:
      code: the byte.
      expected: the codec that the reader's own configuration names; None for a reader that passes
        contents on without reading their values.
      what: names the content in messages.

    Returns:
      One of `CODECS`; `expected` where the byte is its; or `?` and the byte of a custom codec that
      this reader does not know.

    Raises:
      CodecError: the byte stands for no codec.
    """
    if code < len(CODECS):
        return CODECS[code]
    if code < _CUSTOM:
        raise CodecError(
            f"{what}: expected a codec below {len(CODECS)}, or a custom one from {_CUSTOM}, got "
            f"{code}"
        )
    return expected if expected is not None and codec_code(expected) == code else f"?{code}"


def is_unknown(name: CodecName) -> bool:
    """Whether `named_codec` found a custom codec that its reader does not know."""
    return _UNKNOWN.fullmatch(name) is not None


def codec_text(name: CodecName) -> str:
    """A codec in messages.

    >>> codec_text("?171")
    'a custom codec of code 171'
    """
    return f"a custom codec of code {name[1:]}" if is_unknown(name) else name
