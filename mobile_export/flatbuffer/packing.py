"""What travels inside a file beside the graph, and the manifest that vouches for it.

A packed file holds its metadata twice: as a named FlatBuffer entry, which a runtime can
read without unzipping, and, with what each input means in words, as `ecct_edge.json` in a
zip that is appended, the vocabularies beside it. That is how TFLite files carry
associated files; any zip reader opens them. The zip's comment, the file's end, is the SHA-256 of
all before it, so that a file without a manifest still tells whether it is whole.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecct_tf.errors import ExportError
from mobile_export.flatbuffer.late_tables import LateTables
from mobile_export.flatbuffer.lookups import centre_lookups
from mobile_export.flatbuffer.products import choose_products
from mobile_export.flatbuffer.schema import read_model, reading, schema, write_model
from mobile_export.flatbuffer.slimming import put_first, slim

__all__ = [
    "MANIFEST",
    "METADATA",
    "associated_files",
    "check_digest",
    "digest",
    "expected_digest",
    "pack",
    "proves_itself",
    "read_metadata",
    "vocabulary_rows",
    "vocabulary_text",
]

METADATA = "ecct_edge"
MANIFEST = "manifest.json"

# A fixed time: the same export gives the same bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

# The end record of a zip: its signature, and what follows it: the length of the comment last.
_END, _END_BYTES = b"PK\x05\x06", 22
_PROOF, _DIGITS = b"sha256:", 64


def pack(
    content: bytes,
    *,
    metadata: Mapping[str, Any],
    files: Mapping[str, str],
    tables: LateTables | None = None,
) -> bytes:
    """Makes a file fast and small, puts `infer` first, adds metadata and associated files.

    Args:
      content: as converted.
      metadata: becomes JSON.
      files: text by name.
      tables: that stand-ins were converted for.
    """
    model = read_model(content)
    if tables is not None:
        tables.put(model)
    centre_lookups(model)
    choose_products(model)
    slim(model)
    put_first(model, "infer")
    text = json.dumps(metadata, separators=(",", ":"), sort_keys=True)
    compact = json.dumps(_without_prose(metadata), separators=(",", ":"), sort_keys=True)
    classes = schema()
    buffer, entry = classes.BufferT(), classes.MetadataT()
    buffer.data = np.frombuffer(compact.encode(), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = METADATA, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    stream = io.BytesIO(write_model(model))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, body in {f"{METADATA}.json": text, **files}.items():
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, body)
        archive.comment = _PROOF + b"0" * _DIGITS
    with stream.getbuffer() as held, held[:-_DIGITS] as whole:
        proof = hashlib.sha256(whole).hexdigest()
    stream.seek(-_DIGITS, io.SEEK_END)
    stream.write(proof.encode())
    return stream.getvalue()


def proves_itself(content: bytes) -> bool:
    """Whether a packed file ends with the SHA-256 of all before it; those of before did not.

    Raises:
      ExportError: when it has no zip at its end, or another SHA-256: it is damaged.
    """
    end = content.rfind(_END)
    comment = content[end + _END_BYTES :]
    length = int.from_bytes(content[end + _END_BYTES - 2 : end + _END_BYTES], "little")
    proof = _PROOF + digest(content[:-_DIGITS]).encode()
    if end < 0 or length != len(comment) or comment not in (b"", proof):
        raise ExportError(
            f"the file is damaged: its {len(content)} bytes are not those that `ecct export` "
            "wrote; fetch or export it again"
        )
    return bool(comment)


def _without_prose(value: Any) -> Any:
    """`value` without the entries that are there for human readers; zipped, they cost little."""
    if isinstance(value, Mapping):
        return {key: _without_prose(part) for key, part in value.items() if key != "meaning"}
    return [_without_prose(part) for part in value] if isinstance(value, list) else value


def read_metadata(content: bytes) -> dict[str, Any]:
    """The metadata of a packed file.

    Raises:
      ExportError: when `content` is no `.tflite` file, or has no such metadata.
    """
    with reading(content) as root:
        entries = [root.Metadata(index) for index in range(root.MetadataLength())]
        for entry in entries:
            if entry.Name() == METADATA.encode():
                text = root.Buffers(entry.Buffer()).DataAsNumpy()
                try:
                    found: dict[str, Any] = json.loads(bytes(text))
                except (ValueError, TypeError) as error:
                    raise ExportError(f"the metadata of the file is damaged: {error}") from error
                return found
    raise ExportError(
        f"the file has no metadata entry {METADATA!r}: it was not written by `ecct export`"
    )


def associated_files(file: Path | bytes, *, name: str | None = None) -> dict[str, str]:
    """The texts in the zip at the end of a packed file, by name.

    Args:
      file: its path, or its bytes.
      name: what to call it in messages; by default its path.

    Raises:
      ExportError: when there is no zip, or it is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(file) if isinstance(file, bytes) else file) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, ValueError) as error:
        raise ExportError(
            f"{name or file!s}: expected associated files as a zip at its end: {error}"
        ) from error


def vocabulary_text(first: str, values: Iterable[str]) -> str:
    """A vocabulary as a file: a value a line, `first` is row 0 (unknown or padding).

    Only a line feed ends a line, so that a value may hold any other separator of Unicode.

    Raises:
      ExportError: a value holds a line break.
    """
    lines = [first, *values]
    broken = next((value for value in lines if "\n" in value or "\r" in value), None)
    if broken is not None:
        raise ExportError(
            f"export: the vocabulary value {broken!r} holds a line break; replace it first"
        )
    return "\n".join(lines) + "\n"


def vocabulary_rows(text: str) -> list[str]:
    r"""What `vocabulary_text` wrote, row 0 included.

    Example:
      >>> vocabulary_rows(vocabulary_text("<padding>", ["a\u2028b", "c"])) == [
      ...     "<padding>", "a\u2028b", "c"]
      True
    """
    return text.removesuffix("\n").split("\n")


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def expected_digest(path: Path) -> str:
    """The SHA-256 that the manifest beside `path` has for it.

    Raises:
      ExportError: when there is no manifest, or it does not list the file.
    """
    manifest = path.parent / MANIFEST
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))["files"][path.name]["sha256"]
    except FileNotFoundError as error:
        raise ExportError(
            f"{manifest}: expected the manifest of {path.name}, there is none. Keep the manifest "
            "of `ecct export` beside its files."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{manifest}: expected the SHA-256 of {path.name}, cannot read it: {error!r}. Keep "
            "the manifest of `ecct export` beside its files."
        ) from error
    return str(found)


def check_digest(content: bytes, expected: str, *, name: str) -> None:
    """Refuses a file that is not what the manifest says. To be called before loading.

    Raises:
      ExportError: when the content has another SHA-256.
    """
    received = digest(content)
    if received != expected:
        raise ExportError(
            f"{name}: expected SHA-256 {expected}, its {len(content)} bytes have {received}; the "
            "file was damaged or altered, fetch or export it again"
        )
