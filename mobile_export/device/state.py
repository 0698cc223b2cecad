"""The state of one device: all that it keeps between rounds, as one file that proves itself.

Little-endian, in this order: `ECDS`, the format (uint16, 2), two bytes of 0, the length of
the header (uint32), the header (JSON: model, user, round, and dtype and length of each
array), the arrays one after another, and the SHA-256 of all before it.

Format 2 has the times of the interactions. Where none is known the state is one of format 1,
which has none, so that releases from before there were times can read it. Format 3 has the context
of the interactions, too; a state of a file that reads none is one of format 1 or 2. Starting
weights, where a device has others by now, the context and the labels are the last arrays, in this
order: releases from before the guard read past the first, those from before labels past these.
A device that holds rows of some items has them, as three arrays, after all of these.
"""

import dataclasses
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CodecName, is_own_codec
from ecct_tf.errors import CodecError, DeviceError
from ecct_tf.files import write_atomically
from ecct_tf.wire import DownlinkFile
from ecct_tf.wire.sealed import seal, unseal
from mobile_export.contract.told import members, word
from mobile_export.device.given import finite_number, finite_values, item_rows, kept, whole_number
from mobile_export.device.labels import StateLabels
from mobile_export.device.moments import Context, Values, context_rows, kept_values
from mobile_export.device.rows import DeviceRows
from mobile_export.device.state_arrays import (
    BYTES,
    EMBEDDINGS,
    ITEMS,
    TIMES,
    VALUES,
    pack_state,
    read_state_body,
)
from mobile_export.device.times import UNKNOWN_TIME, InteractionTimes, interaction_times

__all__ = ["DeviceState", "ReceivedDownlink", "read_state", "write_state"]

_MAGIC, _WITHOUT_TIMES, _WITH_TIMES, _WITH_CONTEXT = b"ECDS", 1, 2, 3
_LARGEST_FLOAT16 = 65_504.0


@dataclasses.dataclass(frozen=True)
class ReceivedDownlink:
    """What the cloud sent last, as encoded.

    Attributes:
      user_embedding: `[d_c]`, in the codec's dtype: int8, float16 or float32; float32 where a
        custom codec wrote it.
      queries: `[Q] int32`, the items that the cloud asks about; empty when it asks nothing.
      scale: of an int8 embedding, a float16 number.
      cloud_version: that made it; 0 in a simulation.
      round_number: to which the answer belongs.
      table_sha256: of the item table that it fits, in hexadecimal; empty where the cloud did
        not say, as in a simulation.
      user: whom the cloud made it for, as a published file says; None where it says none: a
        segment's, and one made in place. A state does not keep it: whose the device is, it says.
    """

    user_embedding: npt.NDArray[Any]
    queries: npt.NDArray[np.int32]
    scale: float = 1.0
    cloud_version: int = 0
    round_number: int = 0
    table_sha256: str = ""
    user: int | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        embedding = kept(self.user_embedding, np.asarray(self.user_embedding).dtype)
        if embedding.ndim != 1 or embedding.dtype.name not in EMBEDDINGS:
            raise DeviceError(
                f"downlink: expected a user embedding [d_c] of {', '.join(EMBEDDINGS)}, got "
                f"{embedding.shape} {embedding.dtype}"
            )
        if embedding.dtype != np.int8:
            finite_values(embedding, what="downlink: user embedding")
        object.__setattr__(self, "user_embedding", embedding)
        object.__setattr__(self, "queries", item_rows(self.queries, what="downlink queries"))
        scale = finite_number(self.scale, what="downlink: scale", most=_LARGEST_FLOAT16)
        # As the signature takes it, so that devices in every language keep the same number.
        object.__setattr__(self, "scale", float(np.float32(scale)))
        for name in ("cloud_version", "round_number"):
            number = whole_number(getattr(self, name), what=f"downlink: {name}")
            object.__setattr__(self, name, number)
        if self.user is not None:
            object.__setattr__(self, "user", whole_number(self.user, what="downlink: user"))
        if not re.fullmatch("([0-9a-f]{64})?", self.table_sha256):
            raise DeviceError(
                "downlink: expected 64 hexadecimal digits as table_sha256, or none, got "
                f"{self.table_sha256!r}"
            )

    def is_older_than(self, other: "ReceivedDownlink") -> bool:
        """Whether the cloud made it before `other`: by the round, then by the version.

        One of a simulation, whose version is 0, is neither older nor newer.
        """
        if not self.cloud_version or not other.cloud_version:
            return False
        own = (self.round_number, self.cloud_version)
        return own < (other.round_number, other.cloud_version)

    @classmethod
    def read(
        cls, file: DownlinkFile, key: int, *, codec: CodecName | None = None
    ) -> "ReceivedDownlink":
        """The downlink of a user, or of a segment of users, in a file that the cloud published.

        Args:
          file: that was published.
          key: the user or the segment.
          codec: that the device was told, which must be the file's where it is a custom one; None
            for any of the library's.

        Raises:
          CodecError: when the file has none, or was written with another custom codec.
        """
        if codec is not None and not is_own_codec(codec):
            file = file.read_with(codec)
        (record,) = file.only(key).records
        own = is_own_codec(file.form.codec)
        return cls(
            record["embedding"] if own else file.of(key).user_embedding,
            record["queries"],
            scale=float(record["scale"][0]) if file.form.codec == "int8" else 1.0,
            cloud_version=file.cloud_version,
            round_number=file.round_number,
            table_sha256=file.table_sha256,
            user=int(key) if file.keys_are == "users" else None,
        )


@dataclasses.dataclass(frozen=True)
class DeviceState:
    """All that one device keeps. A value: whatever changes it makes a new one.

    Attributes:
      model: SHA-256 of the model file that `values` belong to.
      layout: SHA-256 of how such files lay out `values`; a newer file may share it.
      user: the id that the cloud knows the user by.
      profile: `[columns] int32`, private categorical columns.
      history: `[n] int32`, every item of the user's training part, oldest first.
      num_older: how many of them the cloud knows too; the others are trained on.
      values: `[S] float32`, what the signature `save` returned: weights, optimiser slots,
        step. Empty for a file that does not train.
      downlink: the last one; None before the first.
      round_number: rounds of training done.
      times: `[n] int64`, seconds since 1970 when each of `history` was, 0 where it is unknown;
        given without any, all of them are.
      context: `[n, C] int32`, what the device knew of the moment of each of `history`, codes of
        `context_values`; given without any, nothing.
      context_values: the context columns of its file, each with its values.
      start: `[P] float32`, the weights that the device started with; empty while those of `values`
        are, and where the file has no guard.
      labels: what its rows mean, for the next file; None in states of earlier releases.
      rows: of items that it holds; None with a file that holds the whole item table, and before
        the cloud sent any.
    """

    model: str
    layout: str
    user: int
    profile: npt.NDArray[np.int32]
    history: npt.NDArray[np.int32]
    num_older: int
    values: npt.NDArray[np.float32]
    downlink: ReceivedDownlink | None = None
    round_number: int = 0
    times: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    start: npt.NDArray[np.float32] = dataclasses.field(
        default_factory=lambda: np.zeros(0, np.float32)
    )
    context: npt.NDArray[np.int32] = dataclasses.field(
        default_factory=lambda: np.zeros((0, 0), np.int32)
    )
    context_values: Values = dataclasses.field(default_factory=dict)
    labels: StateLabels | None = None
    rows: DeviceRows | None = None

    def __post_init__(self) -> None:
        for name in ("user", "num_older", "round_number"):
            number = whole_number(getattr(self, name), what=f"device: {name}")
            object.__setattr__(self, name, number)
        object.__setattr__(self, "profile", item_rows(self.profile, what="profile"))
        object.__setattr__(self, "history", item_rows(self.history, what="history"))
        values = finite_values(self.values, what=f"device of user {self.user}: values")
        object.__setattr__(self, "values", kept(values, np.float32))
        start = finite_values(self.start, what=f"device of user {self.user}: start")
        object.__setattr__(self, "start", kept(start, np.float32))
        if len(self.start) > len(self.values):
            raise DeviceError(
                f"device of user {self.user}: expected starting weights of at most "
                f"{len(self.values)} values, as it has, got {len(self.start)}"
            )
        given = self.times if len(self.times) else None
        times = interaction_times(given, count=len(self.history))
        object.__setattr__(self, "times", kept(times, np.int64))
        object.__setattr__(self, "context", kept(self._checked_context(), np.int32))
        if not 0 <= self.num_older <= len(self.history):
            raise DeviceError(
                f"device of user {self.user}: num_older must be in 0..{len(self.history)}, the "
                f"length of its history, got {self.num_older}"
            )

    def _checked_context(self) -> npt.NDArray[np.int32]:
        shape = (len(self.history), len(self.context_values))
        if not np.size(self.context):
            return np.zeros(shape, np.int32)
        most = np.array([len(words) for words in self.context_values.values()])
        codes = np.asarray(self.context)
        if codes.shape != shape or (codes < 0).any() or (codes > most).any():
            raise DeviceError(
                f"device of user {self.user}: expected context codes {list(shape)} of the columns "
                f"{list(self.context_values)}, got {list(codes.shape)} or one beyond its column"
            )
        return codes

    def with_interactions(
        self,
        items: npt.ArrayLike,
        *,
        times: InteractionTimes = None,
        context: Context | None = None,
    ) -> "DeviceState":
        """The state after the user interacted with `items`, oldest first.

        Args:
          items: `[m]`, row numbers.
          times: when each was, seconds since 1970; None where it is unknown.
          context: by column, a value for each; None where it is unknown.
        """
        added = item_rows(items, what="interactions")
        labels = self.labels
        known = context_rows(context, count=len(added), values=self.context_values)
        return dataclasses.replace(
            self,
            # Whoever knows the file tells the tokens anew.
            labels=None if labels is None else dataclasses.replace(labels, tokens=()),
            history=np.concatenate([self.history, added]),
            times=np.concatenate([self.times, interaction_times(times, count=len(added))]),
            context=np.concatenate([self.context, known]),
        )

    @property
    def _tells_time(self) -> bool:
        return bool((self.times != UNKNOWN_TIME).any())

    def as_bytes(self) -> bytes:
        """The content of its file; equal states give equal bytes."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "profile": self.profile.astype(ITEMS),
            "history": self.history.astype(ITEMS),
            **({"times": self.times.astype(TIMES)} if self._tells_time else {}),
            "values": self.values.astype(VALUES),
        }
        header: dict[str, Any] = {
            "model": self.model,
            "layout": self.layout,
            "user": self.user,
            "num_older": self.num_older,
            "round": self.round_number,
            "downlink": None,
        }
        if self.downlink is not None:
            embedding = self.downlink.user_embedding
            arrays["user_embedding"] = embedding.astype(EMBEDDINGS[embedding.dtype.name])
            arrays["queries"] = self.downlink.queries.astype(ITEMS)
            header["downlink"] = {
                "scale": self.downlink.scale,
                "cloud_version": self.downlink.cloud_version,
                "round_number": self.downlink.round_number,
            }
            if self.downlink.table_sha256:
                header["downlink"]["table_sha256"] = self.downlink.table_sha256
        if len(self.start):
            arrays["start"] = self.start.astype(VALUES)
        if self.context_values:
            arrays["context"] = self.context.reshape(-1).astype(ITEMS)
            header["context"] = [[name, list(words)] for name, words in self.context_values.items()]
        if self.labels is not None:
            arrays["labels"] = np.frombuffer(self.labels.as_bytes(), BYTES)
        if self.rows is not None:
            arrays["row_items"] = self.rows.items.astype(ITEMS)
            arrays["row_chosen"] = self.rows.chosen.astype(BYTES)
            arrays["rows"] = self.rows.rows.reshape(-1)
            header["rows"] = self.rows.table_sha256
        number = _WITH_TIMES if self._tells_time else _WITHOUT_TIMES
        if self.context_values:
            number = _WITH_CONTEXT
        return seal(pack_state(header, arrays, magic=_MAGIC, format_number=number))

    @classmethod
    def from_bytes(cls, content: bytes, *, name: str) -> "DeviceState":
        """Reads what `as_bytes` wrote.

        Args:
          content: the bytes.
          name: of the file, for messages.

        Raises:
          DeviceError: when they are no state, damaged, or of another format.
        """
        told = int.from_bytes(content[4:6], "little")
        number = told if told in (_WITHOUT_TIMES, _WITH_TIMES) else _WITH_CONTEXT
        try:
            body = unseal(content, magic=_MAGIC, format_number=number, what="state of a device")
        except CodecError as error:
            raise DeviceError(
                f"{name}: {error}. Restore the file from a backup, or begin the device anew."
            ) from error
        try:
            return cls._read(body)
        except DeviceError as error:
            raise DeviceError(
                f"{name}: {error}. Restore the file from a backup, or begin the device anew."
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise DeviceError(
                f"{name}: expected the content that its header promises: {error!r}. Restore the "
                "file from a backup, or begin the device anew."
            ) from error

    @classmethod
    def _read(cls, body: bytes) -> "DeviceState":
        header, arrays = read_state_body(body)
        known = kept_values(header.get("context", []))
        downlink = None
        if header["downlink"] is not None:
            downlink = _downlink(arrays, members(header["downlink"]))
        return cls(
            model=word(header["model"], what="model"),
            layout=word(header["layout"], what="layout"),
            user=header["user"],
            profile=arrays["profile"],
            history=arrays["history"],
            num_older=header["num_older"],
            values=arrays["values"],
            downlink=downlink,
            round_number=header["round"],
            times=arrays.get("times", np.zeros(0, np.int64)),
            start=arrays.get("start", np.zeros(0, np.float32)),
            context=_context_rows(arrays, columns=len(known)),
            context_values=known,
            labels=_labels(arrays, known),
            rows=_rows(arrays, header),
        )


def _downlink(arrays: Mapping[str, npt.NDArray[Any]], told: Mapping[str, Any]) -> ReceivedDownlink:
    unknown = sorted(set(told) - {"scale", "cloud_version", "round_number", "table_sha256"})
    if unknown:
        raise ValueError(f"downlink: expected nothing unknown, got {', '.join(unknown)}")
    return ReceivedDownlink(
        arrays["user_embedding"],
        arrays["queries"],
        scale=told["scale"],
        cloud_version=told["cloud_version"],
        round_number=told["round_number"],
        table_sha256=word(told.get("table_sha256", "")),
    )


def _rows(arrays: Mapping[str, npt.NDArray[Any]], header: Mapping[str, Any]) -> DeviceRows | None:
    if "rows" not in header:
        return None
    items = arrays["row_items"]
    rows = arrays["rows"].reshape(len(items), -1)
    return DeviceRows(word(header["rows"]), items, rows, arrays["row_chosen"].astype(np.bool_))


def _context_rows(arrays: Mapping[str, npt.NDArray[Any]], *, columns: int) -> npt.NDArray[np.int32]:
    if not columns:
        return np.zeros((0, 0), np.int32)
    return arrays["context"].reshape(len(arrays["history"]), columns)


def _labels(arrays: Mapping[str, npt.NDArray[Any]], context: Values) -> StateLabels | None:
    if "labels" not in arrays:
        return None
    found = StateLabels.from_bytes(arrays["labels"].tobytes())
    found.check(history=len(arrays["history"]), profile=len(arrays["profile"]), context=context)
    return found


def read_state(path: Path) -> DeviceState:
    """Reads a state file.

    Raises:
      DeviceError: when there is none, or it is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DeviceError(
            f"{path}: expected the state of a device, there is none. `Device.create` makes one."
        ) from error
    except OSError as error:
        raise DeviceError(f"{path}: expected the state of a device: {error}") from error
    return DeviceState.from_bytes(content, name=str(path))


def write_state(path: Path, state: DeviceState) -> None:
    """Writes a state file for its owner alone; a kill leaves the old one or the new one, whole."""
    write_atomically(path, lambda file: file.write(state.as_bytes()), private=True)
