"""Product codes: every few values of a row as one byte, an index into a codebook of their own.

Each section is cut into groups of `values_per_code` columns (the last one padded with zeros), and
each group has a codebook of at most 256 entries (Jégou et al., 2011), found by k-means. A row costs
one byte a group; the codebooks cross once, 512 bytes a column, so that product codes are for
catalogs of thousands of items.

Entries are float16 and stand in the order in which rows use them, that of the padding row first.
A codebook is fitted on a prefix of the rows whose length grows in steps of a quarter: items that
are appended leave the codes of all others as they were, until the next step. Where a group has
no more than 256 different values, they are the codebook, and nothing is lost.

`shared` holds, little-endian: uint8 values per code, uint8 0, uint16 K, then the codebooks
`[groups, K, values_per_code] float16`, shorter ones filled up with zeros.
"""

import dataclasses
import struct

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans  # type: ignore[import-untyped, unused-ignore]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from ecct_tf.errors import CodecError
from ecct_tf.knowledge.table_codecs import EncodedRows, TableCodec

__all__ = ["codebooks", "codes", "fine", "lean", "pq2", "pq4", "pq8"]

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_ENTRIES = 256
_FLOAT16_MAX = 65504.0
_GROWTH = 1.25
_ITERATIONS = 25
# Rows on which a codebook is fitted: 64 for each entry.
_FITTED = 1 << 14
_HEAD = struct.Struct("<BBH")
# Rows that nearly always show that there are more different values than entries.
_SOME = 1 << 11
# Distances that are held at once: 4 MiB.
_CHUNK = 1 << 12


def pq2() -> TableCodec:
    """Two values in a byte, as `int4`, with less error where a catalog is large."""
    return _codec(2)


def pq4() -> TableCodec:
    """Four values in a byte."""
    return _codec(4)


def pq8() -> TableCodec:
    """Eight values in a byte, for the largest catalogs."""
    return _codec(8)


def lean() -> TableCodec:
    """Product codes with as many values in a byte as each section bears.

    A history sums the sources of many items, and their errors with them, which cancel out: eight
    values in a byte. A candidate is one target: four. A section that both sides share, such as
    categories, and the attributes have the longest groups that lose nothing, if there are any.
    """
    exact = _exact_codec(4)
    kinds = {"source": pq8(), "both": exact, "attributes": exact, "cloud": pq8()}
    return dataclasses.replace(pq4(), kinds=kinds)


def fine() -> TableCodec:
    """Three values in a byte, for large catalogs whose ranking should not change.

    A section that both sides share and the attributes have the longest groups that lose nothing, if
    there are any.
    """
    exact = _exact_codec(3)
    return dataclasses.replace(_codec(3), kinds={"both": exact, "attributes": exact})


def codes(encoded: EncodedRows) -> Bytes:
    """The indices of product codes: `[items + 1, groups] uint8`."""
    return encoded.rows


def codebooks(encoded: EncodedRows) -> npt.NDArray[np.float16]:
    """The codebooks of product codes: `[groups, K, values_per_code] float16`.

    Raises:
      CodecError: when their bytes are not those of product codes.
    """
    groups = encoded.rows.shape[1]
    try:
        values, _, entries = _HEAD.unpack_from(encoded.shared)
        books = np.frombuffer(encoded.shared, "<f2", offset=_HEAD.size)
        found: npt.NDArray[np.float16] = books.reshape(groups, entries, values)
    except (struct.error, ValueError) as error:
        raise CodecError(
            f"item table: expected codebooks of {groups} groups, got {len(encoded.shared)} bytes: "
            f"{error}"
        ) from error
    if groups and int(encoded.rows.max(initial=0)) >= entries:
        raise CodecError(
            f"item table: expected product codes below {entries}, got {int(encoded.rows.max())}"
        )
    return found


def _codec(values_per_code: int) -> TableCodec:
    def encode(values: Array) -> EncodedRows:
        return _encode(values, values_per_code)

    return TableCodec(encode, _decode)


def _exact_codec(least: int) -> TableCodec:
    """In the longest groups that lose nothing, or in those of `least` values."""

    def encode(values: Array) -> EncodedRows:
        size = _exact_size(values, least)
        encoded = _encode(values, size)
        decoded = _decode(encoded, values.shape[1])
        # What was lost in short groups may have made longer ones exact: devices would write those.
        again = _exact_size(decoded, least)
        return encoded if again == size else _encode(decoded, again)

    return TableCodec(encode, _decode)


def _exact_size(values: Array, least: int) -> int:
    """The largest number of values in a byte that loses nothing in any group, else `least`.

    Of 255 at most, and such that groups are about equally long.
    """
    width = values.shape[1]
    halves = _halves(values)
    for groups in range(-(-width // 255), -(-width // least)):
        size = -(-width // groups)
        starts = range(0, width, size)
        if all(_is_exact(halves[:, start : start + size]) for start in starts):
            return size
    return min(width, least)


def _is_exact(halves: npt.NDArray[np.float16]) -> bool:
    """Whether a codebook holds all rows of a group as they are."""
    return all(len(np.unique(rows, axis=0)) <= _ENTRIES for rows in (halves[:_SOME], halves))


def _encode(values: Array, size: int) -> EncodedRows:
    padded = np.pad(values, [(0, 0), (0, -values.shape[1] % size)])
    halves = _halves(padded)
    found = [
        _group(padded[:, start : start + size], halves[:, start : start + size], seed=start)
        for start in range(0, padded.shape[1], size)
    ]
    entries = max(len(book) for _, book in found)
    books = np.zeros((len(found), entries, size), np.float16)
    for index, (_, book) in enumerate(found):
        books[index, : len(book)] = book
    shared = _HEAD.pack(size, 0, entries) + books.astype("<f2").tobytes()
    return EncodedRows(np.stack([used for used, _ in found], axis=1), shared)


def _halves(values: Array) -> npt.NDArray[np.float16]:
    """Without -0, which is equal to 0 and has other bytes."""
    halves: npt.NDArray[np.float16] = np.clip(values, -_FLOAT16_MAX, _FLOAT16_MAX).astype(
        np.float16
    ) + np.float16(0)
    return halves


def _decode(encoded: EncodedRows, width: int) -> Array:
    books = codebooks(encoded)
    groups, _, size = books.shape
    if not 0 <= groups * size - width < size:
        raise CodecError(
            f"item table: expected product codes of {width} values, got {groups} groups of {size}"
        )
    values = books[np.arange(groups), encoded.rows].reshape(len(encoded.rows), groups * size)
    found: Array = values[:, :width].astype(np.float32)
    return found


def _group(
    values: Array, halves: npt.NDArray[np.float16], *, seed: int
) -> tuple[Bytes, npt.NDArray[np.float16]]:
    """Codes `[n]` and codebook `[at most 256, size]` of one group of columns."""
    many = len(np.unique(halves[:_SOME], axis=0)) > _ENTRIES
    if not many:
        book, first, used = np.unique(halves, axis=0, return_index=True, return_inverse=True)
        many = len(book) > _ENTRIES
    if many:
        book = _fitted(values, halves[0], seed=seed)
        used = _nearest(values, book.astype(np.float32))
        # The padding row is itself, not the nearest of equals.
        used[0] = 0
        kept, first, used = np.unique(used, return_index=True, return_inverse=True)
        book = book[kept]
    order = np.argsort(first)
    place = np.empty(len(order), np.uint8)
    place[order] = np.arange(len(order))
    return place[used.reshape(-1)], book[order].astype(np.float16)


def _fitted(
    values: Array, padding: npt.NDArray[np.float16], *, seed: int
) -> npt.NDArray[np.float16]:
    """The padding row's values and the centres of the others, `[at most 256, size] float16`."""
    length = 1
    while int(length * _GROWTH) + 1 <= len(values) - 1:
        length = int(length * _GROWTH) + 1
    chosen = np.unique(np.linspace(1, length, min(length, _FITTED)).astype(np.int64))
    centres = min(_ENTRIES - 1, len(np.unique(values[chosen], axis=0)))
    # More threads add in no fixed order.
    with threadpool_limits(limits=1):
        fit = KMeans(centres, n_init=1, max_iter=_ITERATIONS, random_state=seed)
        found = fit.fit(values[chosen].astype(np.float64)).cluster_centers_
    halves = np.clip(found, -_FLOAT16_MAX, _FLOAT16_MAX).astype(np.float16)
    others = np.unique(halves, axis=0)
    others = others[(others != padding).any(axis=1)]
    return np.concatenate([padding[None], others])


def _nearest(values: Array, book: Array) -> npt.NDArray[np.int64]:
    """Index of the nearest entry for each row; the first of equals."""
    norms = np.sum(book * book, axis=1)
    return np.concatenate(
        [
            np.argmin(norms - 2.0 * (values[start : start + _CHUNK] @ book.T), axis=1)
            for start in range(0, len(values), _CHUNK)
        ]
    )
