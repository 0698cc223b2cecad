"""Published files as gzip sends them: deterministic when made, bounded when read."""

import gzip
import zlib
from collections.abc import Iterator

from ecct_tf.errors import CodecError

__all__ = ["Decompression", "compressed", "decompressed"]

_LEVEL = 9
# zlib's own number for its largest window, in a gzip frame.
_GZIP_FRAME = zlib.MAX_WBITS + 16
_BLOCK_BYTES = 1 << 18


def compressed(content: bytes) -> bytes:
    """`content` as one gzip member, at the highest level and without a time.

    >>> table = bytes(1000)
    >>> len(compressed(table)) < 50, compressed(table) == compressed(table)
    (True, True)
    """
    return gzip.compress(content, compresslevel=_LEVEL, mtime=0)


def decompressed(content: bytes, *, most: int) -> bytes:
    """What one gzip member holds.

    Args:
      content: the whole member, nothing behind it.
      most: bytes that it may hold.

    Raises:
      CodecError: it holds more, ends early, is damaged, or something follows it.

    >>> decompressed(compressed(b"rows"), most=4)
    b'rows'
    """
    reader = Decompression(most=most)
    found = b"".join(reader.blocks(content))
    reader.finish()
    return found


class Decompression:
    """One gzip member that arrives in pieces.

    Never more than a block of 256 KiB is decompressed ahead of the reader, however small the
    pieces that hold it.

    Args:
      most: bytes that the member may hold; None where whoever takes the blocks counts them.
    """

    def __init__(self, *, most: int | None) -> None:
        self._most = most
        self._num_bytes = 0
        self._stream = zlib.decompressobj(_GZIP_FRAME)

    def blocks(self, piece: bytes) -> Iterator[bytes]:
        """What the next piece of the member holds, in blocks of at most 256 KiB.

        Raises:
          CodecError: the member holds more than it may, is damaged, or something follows it.
        """
        waiting = piece
        while True:
            try:
                block = self._stream.decompress(waiting, _BLOCK_BYTES)
            except zlib.error as error:
                raise CodecError(
                    f"gzip: the content is damaged behind its first {self._num_bytes} bytes: "
                    f"{error}; fetch it again"
                ) from error
            self._num_bytes += len(block)
            if self._most is not None and self._num_bytes > self._most:
                raise CodecError(
                    f"gzip: expected at most {self._most} bytes when decompressed, got more"
                )
            if block:
                yield block
            waiting = self._stream.unconsumed_tail
            if self._stream.unused_data:
                raise CodecError(
                    f"gzip: expected its end after {self._num_bytes} decompressed bytes, got "
                    "bytes behind it"
                )
            if len(block) < _BLOCK_BYTES and not waiting:
                return

    def finish(self) -> None:
        """Checks that the member is whole.

        Raises:
          CodecError: it ends early.
        """
        if not self._stream.eof:
            raise CodecError(
                f"gzip: the content ends early, after {self._num_bytes} decompressed bytes; "
                "fetch it again"
            )
