"""What the tests of the service share: records, a small publication, and what a log holds."""

from pathlib import Path

import numpy as np

from cloud.uplink_log import log_files
from cloud.uplink_log.framing import read_frames
from ecct_tf.wire import (
    DownlinkFile,
    Publication,
    PublishedFile,
    UplinkForm,
    UplinkRecord,
)
from ecct_tf.wire.sealed import seal

FORM = UplinkForm(queries=2, embedding_dim=3, codec="int8", with_logits=True)
NOW = 1_790_000_000
TABLE = seal(b"ECIT\1\0" + bytes(range(256)) * 4096)


def record(user=7, round_number=1, *, created_at=NOW):
    """An uplink of zeros."""
    payload = user.to_bytes(4, "little") + bytes(FORM.payload_bytes - 4)
    return UplinkRecord(user, round_number, 1, created_at, FORM, payload)


def logged(folder: Path):
    """(user, round) of all records of a log, in the order of reading; none may be damaged."""
    found = []
    for file in log_files(folder):
        frames = read_frames((folder / file.name).read_bytes(), final=True)
        assert not frames.damages
        found += [UplinkRecord.from_bytes(content).key for content in frames.contents]
    return found


def published(
    folder, *, round_number=5, users=(4, 7), cloud_dim=3, queries=2, table=None, version=1
):
    """A small publication, put together by hand; `table` is the SHA-256 of one elsewhere."""
    folder.mkdir(exist_ok=True)

    def put(stem, suffix, content):
        digest = content[-32:].hex()
        path = folder / f"{stem}-{digest[:16]}{suffix}"
        if not path.exists():
            path.write_bytes(content)
        return PublishedFile(path.name, len(content), digest)

    items = put("items", ".ecit", TABLE)
    if table is not None:
        items = PublishedFile(f"items-{table[:16]}.ecit", 1, table)

    def downlinks(keys, kind):
        count = len(keys)
        values = np.arange(cloud_dim * count) + round_number
        return DownlinkFile.build(
            keys_are=kind,
            cloud_version=version,
            round_number=round_number,
            table_sha256=items.sha256,
            codec="int8",
            keys=np.array(keys, np.int32),
            embeddings=(
                (values % 100).astype(np.int8).reshape(count, cloud_dim),
                np.full((count, 1), 2.0**-6, np.float16),
            ),
            queries=np.tile(np.arange(1, queries + 1, dtype=np.int32), (count, 1)),
        )

    whole = downlinks(users, "users")
    publication = Publication(
        cloud_version=version,
        round_number=round_number,
        codec="int8",
        downlinks=put("downlinks-000001", ".ecdn", whole.to_bytes()),
        segments=put("segments-000001", ".ecdn", downlinks([0], "segments").to_bytes()),
        segment_names=("all",),
        item_table=items,
        deltas=(),
        devices="",
        device_bytes=len(whole.only(users[0]).to_bytes()),
    )
    part = folder / ".current.part"
    part.write_text(publication.to_json())
    part.replace(folder / "current.json")
    return publication
