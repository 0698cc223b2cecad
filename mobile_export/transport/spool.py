"""Answers that wait on the disk until the cloud has confirmed them, for weeks if need be."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

from ecct_tf.errors import CodecError, TransportError
from ecct_tf.files import private_folder, write_atomically, write_text
from ecct_tf.wire import UplinkRecord
from mobile_export.transport.client import CloudClient, RefusedRecordError

__all__ = ["Spool", "SpoolReport"]

_NAME = re.compile(r"\d{10}\.ecup")
_ANSWERED = "answered.json"
_REFUSED = "refused"
# Of a request: well below what a service takes.
_MOST_BYTES = 256 << 10
_MOST_RECORDS = 200


@dataclasses.dataclass(frozen=True)
class SpoolReport:
    """What became of the answers that waited.

    Attributes:
      taken: by the cloud.
      repeated: that it had, and those too old for it to tell.
      refused: that it can never take; they lie in the folder `refused`, each with the reason.
    """

    taken: int
    repeated: int
    refused: int


class Spool:
    """The answers of one device, a file each, for its owner alone.

    Args:
      folder: of the files.
      most: answers that wait at most; beyond it the oldest goes. The cloud tells the last 64
        rounds of a device apart, older ones it drops.
    """

    def __init__(self, folder: Path, *, most: int = 64) -> None:
        self._folder = folder
        self._most = most
        private_folder(folder)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._names())

    @property
    def answered_round(self) -> int | None:
        """The newest round that was answered into this folder; None before the first."""
        try:
            found = json.loads((self._folder / _ANSWERED).read_text(encoding="utf-8"))["round"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return int(found)

    def add(self, record: UplinkRecord) -> None:
        """Keeps an answer, on the disk before this returns; a round is answered once."""
        path = self._folder / f"{record.round_number:010d}.ecup"
        if not path.exists():
            content = record.to_bytes()
            write_atomically(path, lambda file: file.write(content), private=True, durable=True)
        newest = max(
            record.round_number, -1 if self.answered_round is None else self.answered_round
        )
        write_text(self._folder / _ANSWERED, json.dumps({"round": newest}) + "\n", private=True)
        for name in self._names()[: -self._most]:
            (self._folder / name).unlink()

    def send(self, client: CloudClient) -> SpoolReport:
        """Sends what waits, oldest first; what the cloud confirmed is removed.

        Raises:
          TransportError: the cloud could not be reached; what it did not confirm stays.
        """
        taken = repeated = refused = 0
        for names, contents in self._batches():
            left = list(zip(names, contents, strict=True))
            while left:
                try:
                    sent = client.send([content for _, content in left])
                except RefusedRecordError as error:
                    if not 0 <= error.index < len(left):
                        raise TransportError(
                            f"the service refused record {error.index} of {len(left)}: {error}"
                        ) from error
                    self._set_aside(*left.pop(error.index), reason=str(error))
                    refused += 1
                    continue
                taken += sent.taken
                repeated += sent.repeated + sent.too_old
                for name, _ in left:
                    (self._folder / name).unlink(missing_ok=True)
                break
        return SpoolReport(taken, repeated, refused)

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name))

    def _batches(self) -> Iterator[tuple[list[str], list[bytes]]]:
        names: list[str] = []
        contents: list[bytes] = []
        for name in self._names():
            content = (self._folder / name).read_bytes()
            try:
                UplinkRecord.from_bytes(content)
            except CodecError as error:
                self._set_aside(name, content, reason=str(error))
                continue
            if names and (
                len(names) == _MOST_RECORDS or sum(map(len, contents)) + len(content) > _MOST_BYTES
            ):
                yield names, contents
                names, contents = [], []
            names.append(name)
            contents.append(content)
        if names:
            yield names, contents

    def _set_aside(self, name: str, content: bytes, *, reason: str) -> None:
        folder = self._folder / _REFUSED
        write_atomically(folder / name, lambda file: file.write(content), private=True)
        write_text(folder / f"{name}.reason.txt", reason + "\n", private=True)
        (self._folder / name).unlink(missing_ok=True)
