"""What a device asks of the service: the publication, its files, its downlink; and its answers."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecct_tf.config import CodecName
from ecct_tf.errors import CodecError, SignatureError, TransportError
from ecct_tf.files import private_folder, write_bytes
from ecct_tf.wire import (
    CURRENT_NAME,
    DownlinkFile,
    Publication,
    PublishedFile,
    StartFile,
    apply_item_delta,
    by_place,
    digest_of,
)
from ecct_tf.wire.sealed import DIGEST_BYTES
from ecct_tf.wire.signing import PublicKey, check_signature
from mobile_export.device import ReceivedDownlink
from mobile_export.transport.http import Answer, Transport
from mobile_export.transport.partial import PartialFile
from mobile_export.transport.receipts import Sent, read_receipt
from mobile_export.transport.retrying import Retries, RetryingTransport

__all__ = [
    "CloudClient",
    "RefusedRecordError",
    "Sent",
    "StalePublicationError",
    "TokenRefusedError",
]

_NEWEST_SIGNED = "newest-signed"
# A service says so where it takes answers by place.
_ANSWER_BY, _PLACE, _ITEM = "ecct-answer-by", "place", "item"
# Of a model whose manifest does not say how long it is.
_MOST_MODEL_BYTES = 1 << 30
_log = logging.getLogger(__name__)

# Of files that a publication names; others in the cache, such as models, are in use.
_PUBLISHED = (".ecit", ".ecid", ".ecdn", ".ecsw")


class TokenRefusedError(TransportError):
    """The token is not valid: it expired or was revoked; the app has to get another one."""


class StalePublicationError(TransportError):
    """The cloud published anew between two requests; ask for what is current again."""


class RefusedRecordError(TransportError):
    """The service can never take a record; it took none of the request.

    Attributes:
      index: of the record.
    """

    def __init__(self, message: str, *, index: int) -> None:
        super().__init__(message)
        self.index = index


class CloudClient:
    """A device's side of `ecct cloud serve`.

    Args:
      transport: to the service.
      token: of the device.
      cache: folder for what is fetched, for its owner alone; parts of files wait there, too.
      retries: how often a request is tried.
      keys: of whom publications must be signed by, one of them; none takes unsigned ones too.
      clock: seconds since 1970, by which signatures expire.
    """

    def __init__(
        self,
        transport: Transport,
        token: str,
        *,
        cache: Path,
        retries: Retries | None = None,
        keys: Sequence[PublicKey] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self._transport = RetryingTransport(transport, retries or Retries())
        self._token = token
        self._takes_places = False
        self._cache = cache
        private_folder(cache)

    def current(self) -> Publication:
        """What is published now; fetched only where it changed.

        From here on `send` leaves items out where the service says that it takes answers by place.

        Raises:
          TransportError: it cannot be fetched, or is damaged.
          SignatureError: it is not signed by one of the keys, has expired, or is older than one
            that was accepted; what was fetched before stays.
        """
        path = self._cache / CURRENT_NAME
        known = path.read_bytes() if path.exists() else b""
        headers = {"If-None-Match": f'"{hashlib.sha256(known).hexdigest()}"'} if known else {}
        answer = self._ask("GET", "/v1/current", headers=headers)
        content = known if answer.status == 304 else _body(answer, "/v1/current")
        try:
            text = content.decode("utf-8")
            if self._keys:
                self._check_signature(text)
            publication = Publication.from_json(text)
        except (CodecError, UnicodeDecodeError) as error:
            path.unlink(missing_ok=True)
            raise TransportError(f"/v1/current: {error}") from error
        if content != known:
            write_bytes(path, content, private=True)
        self._takes_places = answer.headers.get(_ANSWER_BY) == _PLACE
        return publication

    def _check_signature(self, text: str) -> None:
        """Remembers the newest signature, before what it signs is used."""
        path = self._cache / _NEWEST_SIGNED
        try:
            newest = int(path.read_text(encoding="ascii")) if path.exists() else 0
        except ValueError as error:
            raise SignatureError(
                f"{path}: expected when the newest accepted publication was signed: {error}; "
                "remove the file if you trust what the service offers now"
            ) from error
        signature = check_signature(text, self._keys, now=self._clock(), newest=newest)
        if signature.issued_at > newest:
            write_bytes(path, f"{signature.issued_at}\n".encode(), private=True)

    def file(self, wanted: PublishedFile) -> bytes:
        """A published file, from the cache or fetched; a broken download goes on where it broke.

        Raises:
          TransportError: it cannot be fetched, or is not what the publication says.
        """
        return self._fetched(
            f"/v1/files/{wanted.path}",
            wanted.path,
            etag=f'"{wanted.sha256}"',
            most=wanted.num_bytes,
            sound=lambda content: (
                len(content) == wanted.num_bytes
                and digest_of(content) == wanted.sha256
                and hashlib.sha256(content[:-DIGEST_BYTES]).hexdigest() == wanted.sha256
            ),
        ).read_bytes()

    def item_table(self, publication: Publication, own: bytes | None) -> bytes:
        """The published item table, by way of a delta where there is one from the own.

        Args:
          publication: the current one.
          own: the table that the device has; None for none.

        Raises:
          TransportError: as `file`.
        """
        wanted = publication.table_to_fetch(None if own is None else digest_of(own))
        if wanted is None and own is not None:
            return own
        if wanted is not None and wanted != publication.item_table and own is not None:
            table = apply_item_delta(own, self.file(wanted))
            if digest_of(table) == publication.item_table.sha256:
                return table
        return self.file(publication.item_table)

    def start(self, publication: Publication, architecture: str) -> StartFile | None:
        """The published starting weights of an edge model; None where there are none of it.

        Args:
          publication: the current one.
          architecture: fingerprint of the model, as its file has it.

        Raises:
          TransportError: as `file`, or they are damaged.
        """
        for start in publication.starts:
            if start.fingerprint == architecture:
                try:
                    return StartFile.from_bytes(self.file(start.file))
                except CodecError as error:
                    raise TransportError(f"/v1/files/{start.file.path}: {error}") from error
        return None

    def downlink(
        self, publication: Publication, *, segment: int = 0, codec: CodecName | None = None
    ) -> ReceivedDownlink:
        """The downlink of the token's user; of a user whom the cloud does not know, a segment's.

        Args:
          publication: the current one.
          segment: place in its `segment_names`; the first is that of all users.
          codec: that the device was told; None for any of the library's.

        Raises:
          TransportError: it cannot be fetched or is damaged.
          StalePublicationError: it is of another publication.
        """
        answer = self._ask("GET", "/v1/downlink", headers={})
        try:
            own = answer.status != 404
            content = _body(answer, "/v1/downlink") if own else self.file(publication.segments)
            file = _of_kind(DownlinkFile.from_bytes(content), own=own)
            found = ReceivedDownlink.read(file, int(file.keys[0]) if own else segment, codec=codec)
        except CodecError as error:
            raise TransportError(f"/v1/downlink: {error}") from error
        made = found.cloud_version, found.round_number
        if made != (publication.cloud_version, publication.round_number):
            raise StalePublicationError(
                f"/v1/downlink: expected one of version {publication.cloud_version} and round "
                f"{publication.round_number}, got {made}; the cloud published meanwhile, ask again"
            )
        return found

    def prune(self, publication: Publication) -> None:
        """Removes cached files of earlier publications, and parts of them."""
        offered = (publication.item_table, publication.segments)
        named = {file.path for file in offered}
        named.update(delta.file.path for delta in publication.deltas)
        named.update(start.file.path for start in publication.starts)
        for path in self._cache.iterdir():
            name = path.name.removeprefix(".").removesuffix(".part")
            if name.endswith(_PUBLISHED) and name not in named:
                path.unlink(missing_ok=True)

    def model(self, name: str) -> Path:
        """An exported file that the service offers, with its manifest beside it.

        Raises:
          TransportError: it is not offered, or not what its manifest says.
        """
        answer = self._ask("GET", "/v1/models/manifest.json", headers={})
        content = _body(answer, "/v1/models/manifest.json")
        try:
            files = json.loads(content)["files"]
            if isinstance(files, dict) and name not in files:
                # As where a catalog outgrew the form of its item table, which names the file.
                raise TransportError(
                    f"/v1/models: expected {name}, the manifest has "
                    f"{', '.join(sorted(files)) or 'no file'}; the service must offer the kind of "
                    "file that devices have: export it too, by --variant"
                )
            entry = files[name]
            expected, announced = str(entry["sha256"]), entry.get("bytes")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TransportError(
                f"/v1/models: expected {name} in the manifest: {error!r}"
            ) from error
        path = self._fetched(
            f"/v1/models/{name}",
            f"{expected[:16]}/{name}",
            etag=f'"{expected}"',
            most=announced if isinstance(announced, int) else _MOST_MODEL_BYTES,
            sound=lambda content: hashlib.sha256(content).hexdigest() == expected,
        )
        write_bytes(path.parent / "manifest.json", content, private=True)
        return path

    def send(self, records: Sequence[bytes]) -> Sent:
        """Hands over answers; when it returns, they are on the service's disk.

        Args:
          records: of `UplinkRecord.to_bytes`, all of the token's user. Where the service takes
            answers by place they travel without their items, unless it asks for these.

        Raises:
          RefusedRecordError: one can never be taken; the others were not either.
          TransportError: nothing is known of them; send them again.
        """
        answer = self._put(
            [by_place(record) for record in records] if self._takes_places else records
        )
        told = _json(answer)
        if answer.status == 422 and self._takes_places and told.get("answer_by") == _ITEM:
            # The service no longer has the questions of one of them.
            answer = self._put(records)
            told = _json(answer)
        if answer.status in (400, 403, 413, 422) and isinstance(told.get("index"), int):
            raise RefusedRecordError(str(told.get("error")), index=told["index"])
        _body(answer, "/v1/uplinks")
        return read_receipt(told, path="/v1/uplinks", answers=len(records))

    def rotate_token(self) -> str:
        """A new token, which this client uses from now on; the app has to keep it.

        Raises:
          TransportError: there is none; the old one is still used.
        """
        told = _json(self._ask("POST", "/v1/token", headers={}))
        if not isinstance(told.get("token"), str):
            raise TransportError(f"/v1/token: expected a token, got {sorted(told)}")
        self._token = told["token"]
        return self._token

    def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        answer = self._transport.ask(
            method, path, headers=lambda: {**self._own(), **headers}, body=body
        )
        return _allowed(answer)

    def _put(self, records: Sequence[bytes]) -> Answer:
        headers = {"Content-Type": "application/octet-stream"}
        return self._ask("PUT", "/v1/uplinks", headers=headers, body=b"".join(records))

    def _own(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _fetched(
        self, path: str, name: str, *, etag: str, most: int, sound: Callable[[bytes], bool]
    ) -> Path:
        kept = self._cache / name
        if kept.exists():
            if sound(kept.read_bytes()):
                return kept
            _log.warning("%s: the file was damaged since it was fetched; fetches it anew", kept)
            kept.unlink()
        private_folder(kept.parent)
        part = PartialFile(kept.with_name(f".{kept.name}.part"), etag=etag, most=most, what=path)
        for _ in range(2):
            self._download(path, part)
            if sound(part.read()):
                part.path.replace(kept)
                return kept
            # Of another content before it was broken off, or damaged on the way.
            part.remove()
        raise TransportError(f"{path}: expected the content that was published, got another twice")

    def _download(self, path: str, part: PartialFile) -> None:
        """Fills `part` to its end; what a broken connection brought stays in it."""
        answer = self._transport.ask(
            "GET", path, headers=lambda: {**self._own(), **part.headers()}, sink=part.take
        )
        # 416: all of it is here, or more than there is.
        if _allowed(answer).status not in (200, 206, 416):
            raise TransportError(f"{path}: the service answered {answer.status}")
        part.sync()


def _of_kind(file: DownlinkFile, *, own: bool) -> DownlinkFile:
    kind = "users" if own else "segments"
    if file.keys_are != kind or (own and len(file.keys) != 1):
        raise CodecError(
            f"expected downlinks of {kind}{', of one alone' if own else ''}, got "
            f"{len(file.keys)} of {file.keys_are}; is it the service that is meant?"
        )
    return file


def _allowed(answer: Answer) -> Answer:
    if answer.status == 401:
        raise TokenRefusedError(
            "the service refused the token: it expired or was revoked; get another one"
        )
    return answer


def _body(answer: Answer, path: str) -> bytes:
    if answer.status != 200:
        told = _json(answer).get("error", "")
        raise TransportError(f"{path}: the service answered {answer.status}: {told}")
    return answer.body


def _json(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
