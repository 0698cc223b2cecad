"""Steps in a publication: downlinks of the users leave it, and it is made current anew."""

import dataclasses
import functools
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from cloud.erasing.places import Step
from cloud.published_files import (
    PARTS_NAME,
    check_still_signed,
    put,
    put_current,
    put_each,
)
from ecct_tf.errors import CodecError, DataError
from ecct_tf.locks import exclusive
from ecct_tf.wire import CURRENT_NAME, DownlinkFile, Publication
from ecct_tf.wire.signing import SigningKey

__all__ = ["steps_in_publication"]


def steps_in_publication(
    folder: Path, users: Sequence[int], *, key: SigningKey | None
) -> Iterator[Step]:
    """One step where any file for devices has a downlink of the users.

    Args:
      folder: that devices fetch from.
      users: by number.
      key: signs it anew; None where it is not signed.

    Raises:
      SignatureError: it is signed, and there is no key.
      DataError: a file of downlinks is damaged, so that nobody knows whom it names.
    """
    held = _held(folder, users)
    if held:
        check_still_signed(folder, key)
        yield Step(
            folder,
            f"downlinks, in {len(held)} files or folders",
            "rewritten",
            functools.partial(_erase, folder, users, key),
        )


def _held(folder: Path, users: Collection[int]) -> list[Path]:
    """Files and folders that hold a downlink of the users, older publications' too."""
    if not folder.is_dir():
        return []
    found = [
        path
        for path in sorted(folder.glob("downlinks-*.ecdn"))
        if np.isin(_read(path).keys, [*users]).any()
    ]
    # What a publisher that was killed left is under a name that begins with a dot.
    singles = [path for path in folder.glob("*downlinks-*") if path.is_dir()]
    found += [
        path for path in sorted(singles) if any((path / f"{user}.ecdn").exists() for user in users)
    ]
    found += sorted(path for path in folder.glob(".downlinks-*.ecdn.part"))
    return found + [path for path in (folder / PARTS_NAME,) if path.exists()]


def _erase(folder: Path, users: Sequence[int], key: SigningKey | None) -> None:
    with exclusive(folder / ".lock"):
        held = _held(folder, users)
        current = folder / CURRENT_NAME
        if current.exists():
            publication = Publication.from_json(current.read_text(encoding="utf-8"))
            files = {folder / file.path for file in publication.downlink_files}
            if files & {*held}:
                put_current(folder, _without(folder, publication, users), key)
        for path in held:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _without(folder: Path, publication: Publication, users: Sequence[int]) -> Publication:
    files = []
    for file in publication.downlink_files:
        before = _read(folder / file.path)
        kept = ~np.isin(before.keys, users)
        left = dataclasses.replace(before, keys=before.keys[kept], records=before.records[kept])
        stem = f"downlinks-{publication.cloud_version:06d}"
        files.append(put(folder, stem, ".ecdn", left.to_bytes()))
    devices = put_each(folder, files) if publication.devices else ""
    shards = [
        dataclasses.replace(shard, file=file)
        for shard, file in zip(publication.shards, files, strict=False)
    ]
    return dataclasses.replace(
        publication, downlinks=files[0], devices=devices, shards=tuple(shards)
    )


def _read(path: Path) -> DownlinkFile:
    try:
        return DownlinkFile.from_bytes(path.read_bytes())
    except CodecError as error:
        raise DataError(
            f"{path}: {error}. Whom it names cannot be known; remove it, publish again where it "
            "is current, and give the same command again"
        ) from error
