"""The downlink job: from a version in the registry to files that devices fetch.

Everything comes from the version's own files, which come from a `CloudView` and uplinks; no
data set is read.
"""

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud.array_files import read_arrays
from cloud.publication_rounds import check_near, check_no_older, newest_round, next_round
from cloud.published_files import (
    check_still_signed,
    put,
    put_current,
    put_each,
    put_starts,
    shards_of,
)
from cloud.registry import Registry, Version
from cloud.segments import segment_downlinks
from cloud.uplink_log import AskedItems, AskedNotes, Note
from cloud.user_shards import ShardPlan, find_maker
from cloud.version_files import StoredCloud
from ecct_tf.config import CodecName, ExchangeConfig
from ecct_tf.config.table_names import table_form
from ecct_tf.errors import RegistryError
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_arrays import item_table
from ecct_tf.knowledge.table_files import item_table_file
from ecct_tf.locks import exclusive
from ecct_tf.wire import (
    DownlinkFile,
    Publication,
    PublishedDelta,
    delta_rows,
    digest_of,
    item_delta,
)
from ecct_tf.wire.signing import VALID_DAYS, SigningKey
from ecct_tf.wire.whole_numbers import check_whole

__all__ = ["Published", "publish"]

_log = logging.getLogger(__name__)

# Of more users, downlinks are in several files.
_USERS_IN_FILE = 250_000


@dataclasses.dataclass(frozen=True)
class Published:
    """A publication, and what could not be made a delta.

    Attributes:
      publication: as devices read it.
      num_users: with a downlink of their own.
      num_items: of the item table; the padding row is none.
      unchanged: versions with the same item table: their devices fetch none.
      without_delta: versions whose tables are laid out differently, or differ so much that
        the whole table is shorter.
    """

    publication: Publication
    num_users: int
    num_items: int
    unchanged: tuple[int, ...]
    without_delta: tuple[int, ...]


def publish(
    registry: Registry,
    out: Path,
    *,
    version: int | None = None,
    delta_from: Sequence[int] | None = None,
    codec: CodecName | None = None,
    item_form: str | None = None,
    start_codec: CodecName = "float16",
    round_number: int | None = None,
    one_file_each: bool = False,
    users_in_file: int = _USERS_IN_FILE,
    far_round: bool = False,
    older_round: bool = False,
    now_seconds: int | None = None,
    key: SigningKey | None = None,
    valid_days: int = VALID_DAYS,
    engine: str = "local",
    engine_options: Sequence[str] = (),
) -> Published:
    """Writes downlinks and item table of a version into `out`, and makes them current.

    Args:
      registry: of the versions.
      out: the folder that devices fetch from; its other files stay.
      version: to publish; None for the one in force.
      delta_from: versions whose item tables devices may have; None for the one that was in
        force before, if it is stored.
      codec: of user embeddings; None for the one in the `exchange` section of the version's
        job, which is int8 by default.
      item_form: of the item table, as in `exchange.item_table`; None for that of the version's
        job.
      start_codec: of the starting weights of edge models, where the version has some.
      round_number: from which queries are drawn, and which uplinks will answer; None for the
        round after the last one that was published, or the same one when that was of this
        version.
      one_file_each: also a folder with one file for each user.
      users_in_file: of more users, the downlinks are in several files of so many each.
      far_round: accepts a round more than 1,000 beyond the newest one that was opened. A round
        that was opened stays open, and later ones are counted from it.
      older_round: accepts a round before the newest one that was opened, or an older version in it.
        Devices that fetched the newest one refuse what is published then.
      now_seconds: since when devices are asked, in whole seconds since 1970, UTC; None asks
        the clock.
      key: signs what is published; None leaves it unsigned.
      valid_days: for how long devices accept what is signed.
      engine: what makes the downlinks: `local`, this process; `beam`, a pipeline of Apache Beam; a
        name that a package registers, or `module:name`. All make the same files.
      engine_options: of the engine; those of Beam are as on its command line.

    Raises:
      SignatureError: the folder's publication is signed, and there is no key: devices that ask for
        a signature would refuse what takes its place.
      RegistryError: when a version is not stored or damaged, or none is in force, there is no
        number left for the round, or it is far beyond the newest one, or before it.
    """
    # One at a time, from the look at what is in force to the end: two jobs must not write one
    # file, nor the slower of them put an older version back.
    with exclusive(out / ".lock"):
        return _publish(
            registry,
            out,
            version=version,
            delta_from=delta_from,
            codec=codec,
            item_form=item_form,
            start_codec=start_codec,
            round_number=round_number,
            one_file_each=one_file_each,
            users_in_file=users_in_file,
            far_round=far_round,
            older_round=older_round,
            now_seconds=int(time.time()) if now_seconds is None else now_seconds,
            key=key,
            valid_days=valid_days,
            engine=engine,
            engine_options=engine_options,
        )


def _publish(
    registry: Registry,
    out: Path,
    *,
    version: int | None,
    delta_from: Sequence[int] | None,
    codec: CodecName | None,
    item_form: str | None,
    start_codec: CodecName,
    round_number: int | None,
    one_file_each: bool,
    users_in_file: int,
    far_round: bool,
    older_round: bool,
    now_seconds: int,
    key: SigningKey | None,
    valid_days: int,
    engine: str,
    engine_options: Sequence[str],
) -> Published:
    check_still_signed(out, key)
    make_shards = find_maker(engine)
    chosen = registry.promoted() if version is None else registry.version(version)
    if chosen is None:
        raise RegistryError(
            f"{registry.path}: no version is in force; promote one (`ecct cloud promote`) or "
            "name the version to publish"
        )
    stored = StoredCloud.of(chosen)
    bases = _base_tables(registry, chosen.number, delta_from)
    notes = AskedNotes(registry.publications_path)
    number = round_number
    if number is None:
        number = next_round(stored, out, chosen.number, notes.notes())
    check_whole(number, "round_number", what="publication")
    if round_number is not None and not far_round:
        check_near(number, newest_round(stored, out, notes.notes()))
    if round_number is not None and not older_round:
        check_no_older((number, chosen.number), out, notes.notes())
    table = _table_file(stored.table, chosen, item_form=item_form, codec=codec)
    starts = put_starts(out, stored.starts, start_codec)
    plan = ShardPlan(
        version=chosen.number,
        folder=chosen.path.absolute(),
        users=len(stored.vocabulary.users),
        users_in_file=users_in_file,
        round_number=number,
        codec=codec or _exchange(chosen).codec,
        table_sha256=digest_of(table),
        out=out.absolute(),
    )
    users = make_shards(plan, stored, options=tuple(engine_options))
    segments = segment_downlinks(stored, users.embeddings, round_number=number)
    places = np.arange(len(segments.names), dtype=np.int32)
    of_segments = plan.file(places, segments.embeddings, segments.queries, of_users=False)
    first = DownlinkFile.from_bytes((out / users.files[0].path).read_bytes())
    deltas, unchanged, without = [], [], []
    for base, older in bases.items():
        old = _table_file(older, registry.version(base), item_form=item_form, codec=codec)
        if old == table:
            unchanged.append(base)
            continue
        delta = item_delta(old, table)
        if delta is None or len(delta) >= len(table):
            without.append(base)
            continue
        file = put(out, "items-delta", ".ecid", delta)
        deltas.append(PublishedDelta(file, base, digest_of(old), delta_rows(delta)))
    publication = Publication(
        cloud_version=chosen.number,
        round_number=number,
        codec=plan.codec,
        downlinks=users.files[0],
        segments=put(out, f"segments-{chosen.number:06d}", ".ecdn", of_segments.to_bytes()),
        segment_names=segments.names,
        item_table=put(out, "items", ".ecit", table),
        deltas=tuple(deltas),
        devices=put_each(out, users.files) if one_file_each else "",
        device_bytes=len(first.only(int(first.keys[0])).to_bytes()),
        starts=starts,
        shards=shards_of(users.files, plan.firsts),
    )
    # Before a device can read of the round, so that no answer to it is unknown.
    notes.add(
        Note(number, chosen.number, now_seconds),
        AskedItems(users=users.queries, segments=segments.queries),
    )
    put_current(out, publication, key, valid_days=valid_days)
    return Published(
        publication,
        num_users=len(users.queries),
        num_items=stored.table.num_items,
        unchanged=tuple(unchanged),
        without_delta=tuple(without),
    )


def _table_file(
    table: ItemTable, version: Version, *, item_form: str | None, codec: CodecName | None
) -> bytes:
    """The file of a version's table: as its own job has it, where publishing names nothing else."""
    exchange = _exchange(version)
    chosen = table_form(
        exchange.item_table if item_form is None else item_form,
        codec=codec or exchange.codec,
        num_items=table.num_items,
    )
    return item_table_file(table, chosen).to_bytes()


def _exchange(version: Version) -> ExchangeConfig:
    """Codec and form of the item table, as the version's job was configured."""
    exchange = version.manifest.config.get("exchange", {})
    return ExchangeConfig(
        codec=exchange.get("codec", ExchangeConfig.codec), item_table=exchange.get("item_table")
    )


def _base_tables(
    registry: Registry, number: int, asked: Sequence[int] | None
) -> dict[int, ItemTable]:
    """The item tables that devices may have, by version, each as it was committed.

    Without being asked for any it is that of the version in force before, if it is whole.

    Raises:
      RegistryError: one that was asked for is not stored or damaged.
    """
    if asked is not None:
        return {base: _table_of(registry.version(base)) for base in asked}
    others = (each.version for each in reversed(registry.history()) if each.version != number)
    before = next(others, None)
    if before is None or before not in registry.numbers():
        return {}
    try:
        return {before: _table_of(registry.version(before))}
    except RegistryError as error:
        _log.warning("no delta from version %d, devices fetch the whole table: %s", before, error)
        return {}


def _table_of(version: Version) -> ItemTable:
    version.verify()
    return item_table(read_arrays(version.path / "item_table.npz"))
