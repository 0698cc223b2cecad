"""What `ecct cloud publish` offers: one small JSON file that names all others.

Devices read `current.json` and fetch what they lack. It is replaced last and at once, and the
files that it names never change, so a device never meets half a publication.
"""

import bisect
import dataclasses
import json
import math
import re
from typing import Any

from ecct_tf.errors import CodecError
from ecct_tf.wire.whole_numbers import LARGEST_UINT32, check_whole

__all__ = [
    "CURRENT_NAME",
    "Publication",
    "PublishedDelta",
    "PublishedFile",
    "PublishedShard",
    "PublishedStart",
]

CURRENT_NAME = "current.json"

_FORMAT = 1
_WHAT = "publication"
_LARGEST_FILE_BYTES = 2**63 - 1
# No folder: the name becomes a file of a device's cache.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,200}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WAY_OUT = "publish again"


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A file beside `current.json`.

    Attributes:
      path: its name there.
      num_bytes: its length.
      sha256: what it ends with: the SHA-256 of all before, in hexadecimal.
    """

    path: str
    num_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        check_whole(
            self.num_bytes, "num_bytes", what=_WHAT, most=_LARGEST_FILE_BYTES, way_out=_WAY_OUT
        )
        for pattern, text in ((_NAME, self.path), (_DIGEST, self.sha256)):
            if not isinstance(text, str) or pattern.fullmatch(text) is None:
                raise CodecError(
                    f"{_WHAT}: expected a plain name and a SHA-256, got {self.path} and "
                    f"{self.sha256}; {_WAY_OUT}"
                )


@dataclasses.dataclass(frozen=True)
class PublishedDelta:
    """How a device gets the item table from an older one.

    Attributes:
      file: the delta.
      from_version: whose table it starts from.
      from_sha256: of that table.
      rows: that it brings, changed ones and new ones.
    """

    file: PublishedFile
    from_version: int
    from_sha256: str
    rows: int

    def __post_init__(self) -> None:
        check_whole(self.from_version, "from_version", what=_WHAT, way_out=_WAY_OUT)
        if not isinstance(self.from_sha256, str) or _DIGEST.fullmatch(self.from_sha256) is None:
            raise CodecError(
                f"{_WHAT}: expected a SHA-256 as from_sha256, got {self.from_sha256}; {_WAY_OUT}"
            )
        check_whole(self.rows, "number of rows", what=_WHAT, most=LARGEST_UINT32)


@dataclasses.dataclass(frozen=True)
class PublishedStart:
    """Starting weights of one edge model, for devices that never trained.

    Attributes:
      file: the weights.
      tier: the edge architecture.
      fingerprint: of the architecture, as the file has it.
      codec: how the weights are written.
      weights: how many they are.
      largest_error: the most that a weight differs from what the cloud trained.
    """

    file: PublishedFile
    tier: str
    fingerprint: str
    codec: str
    weights: int
    largest_error: float

    def __post_init__(self) -> None:
        check_whole(self.weights, "number of weights", what=_WHAT, most=LARGEST_UINT32)
        if not (math.isfinite(self.largest_error) and self.largest_error >= 0):
            raise CodecError(
                f"{_WHAT}: expected a largest error of at least 0, got {self.largest_error}"
            )


@dataclasses.dataclass(frozen=True)
class PublishedShard:
    """Downlinks of users whose numbers are neighbours.

    Attributes:
      file: of the downlinks.
      first_user: from whom on; up to the next shard's first.
    """

    file: PublishedFile
    first_user: int

    def __post_init__(self) -> None:
        check_whole(self.first_user, "first_user", what=_WHAT)


@dataclasses.dataclass(frozen=True)
class Publication:
    """The content of `current.json`.

    Attributes:
      cloud_version: that is published.
      round_number: from which the queries were drawn; uplinks answer it.
      codec: of all files.
      downlinks: of all users, or of the first shard's.
      segments: the file of the segments, keyed by their place in `segment_names`.
      segment_names: `all` first, for a user of whom nothing is known.
      item_table: the whole table.
      deltas: to it from older ones.
      devices: folder with one file for each user, `USER.ecdn`; empty if there is none.
      device_bytes: length of a file with one user's downlink.
      starts: starting weights, by tier; none where devices start at random.
      shards: of the downlinks, by user, the first from user 0; none where one file has all.
    """

    cloud_version: int
    round_number: int
    codec: str
    downlinks: PublishedFile
    segments: PublishedFile
    segment_names: tuple[str, ...]
    item_table: PublishedFile
    deltas: tuple[PublishedDelta, ...]
    devices: str
    device_bytes: int
    starts: tuple[PublishedStart, ...] = ()
    shards: tuple[PublishedShard, ...] = ()

    def __post_init__(self) -> None:
        firsts = [shard.first_user for shard in self.shards]
        if firsts and (firsts[0] or sorted(set(firsts)) != firsts):
            raise CodecError(
                f"{_WHAT}: expected shards from user 0 on in ascending order, got {firsts[:5]}"
            )
        if self.shards and self.shards[0].file != self.downlinks:
            raise CodecError(
                f"{_WHAT}: expected the first shard to be {self.downlinks.path}, got "
                f"{self.shards[0].file.path}"
            )
        for name in ("cloud_version", "round_number"):
            check_whole(getattr(self, name), name, what=_WHAT, way_out=_WAY_OUT)
        for name in ("codec", "devices"):
            if not isinstance(getattr(self, name), str):
                raise CodecError(
                    f"{_WHAT}: expected a string as {name}, got {getattr(self, name)!r}; {_WAY_OUT}"
                )
        if not all(isinstance(name, str) for name in self.segment_names):
            raise CodecError(
                f"{_WHAT}: expected strings as segment_names, got {self.segment_names}; {_WAY_OUT}"
            )
        check_whole(self.device_bytes, "device_bytes", what=_WHAT, most=_LARGEST_FILE_BYTES)

    def table_to_fetch(self, own_sha256: str | None) -> PublishedFile | None:
        """What a device fetches for its item table.

        Args:
          own_sha256: of the table it has, in hexadecimal; None for none.

        Returns:
          A delta from it, else the whole table; None when it is up to date.
        """
        if own_sha256 == self.item_table.sha256:
            return None
        for delta in self.deltas:
            if delta.from_sha256 == own_sha256:
                return delta.file
        return self.item_table

    def start_of(self, tier: str) -> PublishedStart | None:
        """The starting weights of `tier`; None where the cloud made none."""
        return next((start for start in self.starts if start.tier == tier), None)

    def downlinks_of(self, user: int) -> PublishedFile:
        """The file that has the downlink of `user`, if any file has."""
        firsts = [shard.first_user for shard in self.shards]
        place = bisect.bisect_right(firsts, user) - 1
        return self.shards[place].file if place >= 0 else self.downlinks

    @property
    def downlink_files(self) -> tuple[PublishedFile, ...]:
        """All files of downlinks of users, by user."""
        return tuple(shard.file for shard in self.shards) or (self.downlinks,)

    @property
    def files(self) -> tuple[PublishedFile, ...]:
        """All that it names."""
        deltas = [delta.file for delta in self.deltas]
        starts = [start.file for start in self.starts]
        return (*self.downlink_files, self.segments, self.item_table, *deltas, *starts)

    def to_json(self) -> str:
        """The text of `current.json`."""
        body = {"format": _FORMAT, **dataclasses.asdict(self)}
        if not self.shards:
            # Readers of before there were shards know of none.
            del body["shards"]
        return json.dumps(body, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Publication":
        """Reads `current.json`.

        Raises:
          CodecError: when it is not one.
        """
        try:
            body: dict[str, Any] = json.loads(text)
            # `ecct_tf.wire.signing` checks it.
            body.pop("signature", None)
            found = body.pop("format")
            if found != _FORMAT:
                raise CodecError(
                    f"publication: expected format {_FORMAT}, found {found}; it was written by "
                    "another version of ECCT-TF"
                )
            for name in ("downlinks", "segments", "item_table"):
                body[name] = PublishedFile(**body[name])
            if not isinstance(body["segment_names"], list):
                raise CodecError(
                    f"{_WHAT}: expected a list of segment_names, got {body['segment_names']!r}; "
                    f"{_WAY_OUT}"
                )
            body["segment_names"] = tuple(body["segment_names"])
            body["deltas"] = tuple(
                PublishedDelta(**{**delta, "file": PublishedFile(**delta["file"])})
                for delta in body["deltas"]
            )
            # Those of before there were starting weights have none.
            body["starts"] = tuple(
                PublishedStart(**{**start, "file": PublishedFile(**start["file"])})
                for start in body.get("starts", ())
            )
            body["shards"] = tuple(
                PublishedShard(**{**shard, "file": PublishedFile(**shard["file"])})
                for shard in body.get("shards", ())
            )
            return cls(**body)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, CodecError):
                raise
            raise CodecError(
                f"publication: expected the content of {CURRENT_NAME}: {error!r}; publish again"
            ) from error
