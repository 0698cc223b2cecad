"""Codecs that a user brings: refused early, and known again by their source."""

from collections.abc import Mapping

from ecct_tf.config import ExchangeConfig, codec_target, is_own_codec
from ecct_tf.knowledge.codecs import build_codec
from ecct_tf.plugins import Origin, changes_of, origin_of
from ecct_tf.wire.row_codec import array_codec

__all__ = ["changed_codecs", "check_codecs", "codec_origins"]


def check_codecs(exchange: ExchangeConfig, *, arrays: bool) -> None:
    """Builds the codecs of a run, so that what cannot work is refused early.

    Args:
      exchange: of the run.
      arrays: whether devices run exported files, which needs a NumPy form; a log does so too.

    Raises:
      ConfigError: as `build_codec` does, or there is no NumPy form.
    """
    for name in _names(exchange):
        build_codec(name)
    if (arrays or exchange.uplink_log is not None) and not is_own_codec(exchange.codec):
        array_codec(exchange.codec)


def codec_origins(exchange: ExchangeConfig) -> dict[str, Origin]:
    """What is to be recorded of codecs that are not the library's own, by their names.

    Raises:
      ConfigError: one cannot be imported.
    """
    return {
        name: origin_of(codec_target(name), what=_what(name))
        for name in _names(exchange)
        if not is_own_codec(name)
    }


def changed_codecs(exchange: ExchangeConfig, recorded: Mapping[str, Origin]) -> list[str]:
    """What changed in the source of each codec since it was recorded, in words.

    Raises:
      ConfigError: one cannot be imported.
    """
    return changes_of(codec_origins(exchange), recorded, what=_what)


def _names(exchange: ExchangeConfig) -> list[str]:
    return sorted({exchange.codec, exchange.weights_codec})


def _what(name: str) -> str:
    return f"codec {name!r}"
