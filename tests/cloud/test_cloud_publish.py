"""The downlink job: from versions in a registry to files that devices read."""

import dataclasses
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from cloud.growth import grow_table
from cloud.publishing import publish
from cloud.registry import Registry
from cloud.service import Offers
from cloud.service import offers as offers_module
from cloud.uplink_log import Asked, AskedNotes, Note
from ecct_tf.cli import cli
from ecct_tf.config import table_names
from ecct_tf.cycle.edge import fetch
from ecct_tf.errors import CodecError, ConfigError, RegistryError, SignatureError
from ecct_tf.knowledge import Block, KnowledgeStore, build_codec
from ecct_tf.knowledge.table_files import item_table_file, read_item_table_file, transmit
from ecct_tf.wire import (
    CURRENT_NAME,
    DownlinkFile,
    ItemTableFile,
    Publication,
    apply_item_delta,
    digest_of,
)
from ecct_tf.wire.signed_files import check_publication
from ecct_tf.wire.signing import SigningKey


def commit(registry, stored, **config):
    with registry.draft() as draft:
        stored.write(draft.path)
        (draft.path / "saved_model").mkdir()
        (draft.path / "saved_model" / "saved_model.pb").write_bytes(b"stands in")
        return draft.commit(config=config).number


@pytest.fixture(scope="module")
def changed(stored_cloud):
    """A version whose table differs in row 7 and in its moments."""
    table = stored_cloud.table
    bias = table.bias.copy()
    bias[7] += 1.0
    table = dataclasses.replace(table, bias=bias, logit_mean=table.logit_mean + 0.5)
    return dataclasses.replace(stored_cloud, table=table)


@pytest.fixture(scope="module")
def three_versions(stored_cloud, changed, tmp_path_factory):
    """1 in force, then 2 with another table, then 3 with the same as 2; nothing published."""
    registry = Registry(tmp_path_factory.mktemp("cloud") / "registry")
    expected = None
    for stored in (stored_cloud, changed, changed):
        number = commit(registry, stored)
        registry.promote(number, expected=expected)
        expected = number
    return registry


@pytest.fixture
def registry(three_versions, tmp_path_factory):
    """A copy of its own for each test: what is published is noted in it."""
    copy = tmp_path_factory.mktemp("copy") / "registry"
    shutil.copytree(three_versions.path, copy)
    return Registry(copy)


def current(out):
    return Publication.from_json((out / CURRENT_NAME).read_text())


def test_a_device_reads_its_downlink(registry, tmp_path, taught_cloud, everybody):
    publish(registry, tmp_path, one_file_each=True, round_number=4)
    found = current(tmp_path)
    assert (found.cloud_version, found.round_number, found.codec) == (3, 4, "int8")
    whole = DownlinkFile.from_bytes((tmp_path / found.downlinks.path).read_bytes())
    np.testing.assert_array_equal(whole.keys, everybody)
    coder = build_codec("int8")
    vectors = taught_cloud.downlinks(everybody, round_number=4)
    expected = coder.decode(coder.encode(vectors), vectors.shape[1]).numpy()
    asked = taught_cloud.queries(everybody, round_number=4)
    for user in everybody.tolist():
        single = (tmp_path / found.devices / f"{user}.ecdn").read_bytes()
        assert len(single) == found.device_bytes
        own = DownlinkFile.from_bytes(single).of(user)
        np.testing.assert_array_equal(own.user_embedding, expected[user])
        np.testing.assert_array_equal(own.queries, asked[user])
        assert (own.cloud_version, own.round_number) == (3, 4)
        assert own.table_sha256 == found.item_table.sha256


def test_a_new_user_reads_the_mean(registry, tmp_path, taught_cloud, everybody, view):
    publish(registry, tmp_path, codec="float32")
    found = current(tmp_path)
    assert found.segment_names[0] == "all"
    segments = DownlinkFile.from_bytes((tmp_path / found.segments.path).read_bytes())
    assert segments.keys_are == "segments"
    known = [user for user in everybody.tolist() if len(view.older.of(user))]
    vectors = taught_cloud.downlinks(everybody, round_number=1)
    everyone = segments.of(0)
    np.testing.assert_allclose(everyone.user_embedding, vectors[known].mean(axis=0), atol=1e-6)
    assert 1 <= everyone.queries.min() <= everyone.queries.max() <= view.num_items


def test_segments_are_the_categories_that_the_cloud_may_see(stored_cloud, everybody):
    from cloud.segments import segment_downlinks

    categories = ("plan=free", "plan=none", "plan=rare")
    space = dataclasses.replace(stored_cloud.space, user_categories=categories)
    states = np.concatenate([stored_cloud.states, np.zeros((len(everybody), 3))], axis=1)
    states[[1, 2, 4, 5, 7], -3] = 1.0
    # The mean of four would tell about each of them.
    states[[1, 2, 4, 5], -1] = 1.0
    users = np.arange(2.0 * len(everybody), dtype=np.float32).reshape(-1, 2)
    table = dataclasses.replace(
        stored_cloud.table, cloud=np.zeros((stored_cloud.table.num_items + 1, 2), np.float32)
    )
    stored = dataclasses.replace(stored_cloud, space=space, states=states, table=table)
    found = segment_downlinks(stored, users, round_number=0)
    # Nobody with a history is in the second.
    assert found.names == ("all", "plan=free")
    np.testing.assert_allclose(found.embeddings[1], [2 * 19 / 5, 2 * 19 / 5 + 1])


def test_a_device_fetches_only_the_rows_that_changed(registry, tmp_path, changed):
    publish(registry, tmp_path, version=1)
    first = current(tmp_path)
    own = (tmp_path / first.item_table.path).read_bytes()
    assert first.table_to_fetch(None) == first.item_table
    published = publish(registry, tmp_path, version=2, delta_from=[1])
    second = current(tmp_path)
    assert second == published.publication
    fetched = second.table_to_fetch(digest_of(own))
    assert [(delta.from_version, delta.rows) for delta in second.deltas] == [(1, 1)]
    assert fetched == second.deltas[0].file
    assert fetched.num_bytes < second.item_table.num_bytes / 4
    new = apply_item_delta(own, (tmp_path / fetched.path).read_bytes())
    assert new == (tmp_path / second.item_table.path).read_bytes()
    read = read_item_table_file(ItemTableFile.from_bytes(new))
    expected = changed.table.transmitted("int8")
    np.testing.assert_array_equal(read.bias, expected.bias)
    np.testing.assert_array_equal(read.cloud, expected.cloud)
    assert second.table_to_fetch(digest_of(new)) is None
    assert second.table_to_fetch("00" * 32) == second.item_table


@pytest.mark.parametrize("form", ["int4", "pq8"])
def test_a_smaller_form_is_published_with_its_deltas(registry, tmp_path, changed, form):
    publish(registry, tmp_path, version=1, item_form=form)
    first = current(tmp_path)
    own = (tmp_path / first.item_table.path).read_bytes()
    publish(registry, tmp_path, version=2, delta_from=[1], item_form=form)
    second = current(tmp_path)
    (delta,) = second.deltas
    assert second.table_to_fetch(digest_of(own)) == delta.file
    new = apply_item_delta(own, (tmp_path / delta.file.path).read_bytes())
    read = read_item_table_file(ItemTableFile.from_bytes(new))
    assert (read.form, second.codec) == (form, "int8")
    np.testing.assert_array_equal(read.cloud, transmit(changed.table, form, "int8").table.cloud)
    # A device that holds the table in another form fetches the whole one.
    whole = publish(registry, tmp_path / "int8", version=1).publication.item_table
    assert second.table_to_fetch(whole.sha256) == second.item_table


@pytest.mark.parametrize("settings", [{}, {"codec": "int8", "item_table": None}])
def test_devices_of_a_version_in_another_form_fetch_the_whole_table(
    stored_cloud, changed, tmp_path, settings
):
    registry = Registry(tmp_path / "registry")
    first = commit(registry, stored_cloud, exchange=settings)
    registry.promote(first, expected=None)
    own = publish(registry, tmp_path / "public").publication.item_table.sha256
    for stored in (stored_cloud, changed):
        number = commit(registry, stored, exchange={"codec": "int8", "item_table": "auto"})
        published = publish(registry, tmp_path / "public", version=number, delta_from=[first])
        found = published.publication
        assert (published.unchanged, published.without_delta) == ((), (first,))
        assert found.table_to_fetch(own) == found.item_table
    # Where publishing names a form, it did so for both.
    again = publish(registry, tmp_path / "int8", version=2, delta_from=[1], item_form="int8")
    assert again.unchanged == (1,)


def test_no_delta_is_made_from_a_damaged_base(registry, tmp_path, caplog):
    shutil.copytree(registry.path, tmp_path / "registry")
    copy = Registry(tmp_path / "registry")
    copy.rollback()
    path = copy.version(3).path / "item_table.npz"
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    published = publish(copy, tmp_path / "public")
    assert (published.unchanged, published.publication.deltas) == ((), ())
    assert "no delta from version 3" in caplog.text
    with pytest.raises(RegistryError, match="version 3: 1 of"):
        publish(copy, tmp_path / "public", delta_from=[3])


def test_a_version_that_leaves_the_items_alone_costs_no_table(registry, tmp_path):
    published = publish(registry, tmp_path)
    assert published.unchanged == (2,)
    assert published.publication.deltas == ()
    two = publish(registry, tmp_path, version=2, delta_from=[1, 3]).publication
    assert two.item_table == published.publication.item_table
    assert [delta.from_version for delta in two.deltas] == [1]


def test_new_items_cost_their_rows(stored_cloud, tmp_path):
    """A warm chain: the table grows as the retraining job grows it."""

    table = stored_cloud.table
    bigger = _with_more_items(table)
    registry = Registry(tmp_path / "registry")
    for expected, found in ((None, table), (1, grow_table(table, bigger))):
        version = dataclasses.replace(stored_cloud, table=found)
        registry.promote(commit(registry, version), expected=expected)
    (delta,) = publish(registry, tmp_path / "out").publication.deltas
    assert delta.rows == 3
    file = item_table_file(table, "int8")
    row_bytes = file.rows.dtype.itemsize
    assert delta.file.num_bytes == 120 + len(file.head()) + 3 * (4 + row_bytes)


def test_a_catalog_that_outgrows_its_form_is_fetched_whole(stored_cloud, tmp_path, monkeypatch):
    """A warm chain across the size above which `auto` stands for another form."""
    items = stored_cloud.table.num_items
    monkeypatch.setattr(table_names, "LARGE_CATALOG", items)
    registry, public = Registry(tmp_path / "registry"), tmp_path / "public"
    auto, table, forms, owned = {"codec": "int8", "item_table": "auto"}, stored_cloud.table, [], []
    for number in range(3):
        version = dataclasses.replace(stored_cloud, table=table)
        registry.promote(commit(registry, version, exchange=auto), expected=number or None)
        published = publish(registry, public)
        found = published.publication
        content = (public / found.item_table.path).read_bytes()
        forms.append(read_item_table_file(ItemTableFile.from_bytes(content)).form)
        owned.append((content, published))
        table = grow_table(table, _with_more_items(table))
    assert forms == ["compact", "fine", "fine"]
    (small, _), (_, second), (_, third) = owned
    assert second.without_delta == (1,)
    assert second.publication.table_to_fetch(digest_of(small)) == second.publication.item_table
    # Whoever missed the second version fetches the third as a whole, too.
    assert third.publication.table_to_fetch(digest_of(small)) == third.publication.item_table
    # Downlinks are of the table that is published, which a file of the old one refuses.
    downlinks = DownlinkFile.from_bytes((public / second.publication.downlinks.path).read_bytes())
    assert downlinks.table_sha256 == second.publication.item_table.sha256 != digest_of(small)


def _with_more_items(table):
    def more(array):
        return np.concatenate([array, array[-3:]])

    return dataclasses.replace(
        table,
        blocks=tuple(
            Block(block.name, more(block.source), more(block.target)) for block in table.blocks
        ),
        attributes=more(table.attributes),
        cloud=more(table.cloud),
        bias=more(table.bias),
        logit_mean=9.0,
    )


def test_a_table_that_differs_all_over_is_fetched_whole(stored_cloud, tmp_path):
    registry = Registry(tmp_path / "registry")
    doubled = dataclasses.replace(stored_cloud.table, bias=2 * stored_cloud.table.bias + 1)
    for expected, table in ((None, stored_cloud.table), (1, doubled)):
        version = dataclasses.replace(stored_cloud, table=table)
        registry.promote(commit(registry, version), expected=expected)
    published = publish(registry, tmp_path / "out")
    assert (published.without_delta, published.publication.deltas) == ((1,), ())
    found = published.publication
    old = publish(registry, tmp_path / "old", version=1).publication.item_table
    assert found.table_to_fetch(old.sha256) == found.item_table


def test_after_a_rollback_the_delta_starts_from_what_was_taken_back(
    stored_cloud, changed, tmp_path
):
    registry = Registry(tmp_path / "registry")
    for expected, stored in ((None, stored_cloud), (1, changed)):
        registry.promote(commit(registry, stored), expected=expected)
    registry.rollback()
    found = publish(registry, tmp_path / "out").publication
    assert [(delta.from_version, delta.rows) for delta in found.deltas] == [(2, 1)]


def test_publishing_again_gives_the_same_files(registry, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for out in (one, other, other):
        publish(registry, out, one_file_each=True)
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_downlinks_in_several_files_are_those_of_one(registry, tmp_path, everybody):
    whole = publish(registry, tmp_path / "one", one_file_each=True, round_number=4).publication
    publish(registry, tmp_path / "many", one_file_each=True, users_in_file=7, round_number=4)
    found = current(tmp_path / "many")
    assert not whole.shards
    assert "shards" not in (tmp_path / "one" / CURRENT_NAME).read_text()
    firsts = [shard.first_user for shard in found.shards]
    assert firsts == list(range(0, len(everybody), 7))
    parts = [
        DownlinkFile.from_bytes((tmp_path / "many" / file.path).read_bytes())
        for file in found.downlink_files
    ]
    expected = (tmp_path / "one" / whole.downlinks.path).read_bytes()
    assert DownlinkFile.joined(parts).to_bytes() == expected
    for user in everybody.tolist():
        file = tmp_path / "many" / found.downlinks_of(user).path
        own = DownlinkFile.from_bytes(file.read_bytes()).only(user).to_bytes()
        assert own == (tmp_path / "one" / whole.devices / f"{user}.ecdn").read_bytes()
        assert own == (tmp_path / "many" / found.devices / f"{user}.ecdn").read_bytes()
    assert fetch(tmp_path / "many").downlinks.to_bytes() == expected
    assert {file.path for file in found.files} >= {
        path.name for path in tmp_path.glob("many/*.ec*")
    }
    offers = Offers(tmp_path / "many")
    for user in everybody[::5].tolist():
        assert DownlinkFile.from_bytes(offers.downlink(user).content).keys.tolist() == [user]
    assert offers.downlink(len(everybody)) is None


def test_few_shards_stay_in_a_service_s_memory(registry, tmp_path, monkeypatch, everybody):
    publish(registry, tmp_path, users_in_file=7)
    monkeypatch.setattr(offers_module, "_KEPT_BYTES", 1)
    offers = Offers(tmp_path)
    for user in everybody.tolist() * 2:
        assert offers.downlink(user) is not None
        assert len(offers._downlinks) == 1


def test_shards_that_leave_users_out_are_refused(registry, tmp_path):
    found = publish(registry, tmp_path, users_in_file=7).publication
    with pytest.raises(CodecError, match="shards from user 0"):
        dataclasses.replace(found, shards=found.shards[::-1])
    with pytest.raises(CodecError, match="expected the first shard to be"):
        dataclasses.replace(found, downlinks=found.segments)


def test_a_downlink_is_made_without_uplinks(registry, tmp_path, stored_cloud):
    """A device must not get its own answer back; docs/exchange.md says why."""
    knowledge = stored_cloud.knowledge
    louder = dataclasses.replace(knowledge, embeddings=knowledge.embeddings + 1.0)
    other = Registry(tmp_path / "registry")
    number = commit(other, dataclasses.replace(stored_cloud, knowledge=louder))
    one = publish(registry, tmp_path / "one", version=1, delta_from=[]).publication
    two = publish(other, tmp_path / "two", version=number).publication
    assert one == two


def test_a_new_version_is_a_new_round(registry, tmp_path, stored_cloud):
    """The version has heard of round 1; what was answered once is refused the second time."""
    rounds = [
        publish(registry, tmp_path, version=version).publication.round_number
        for version in (1, 1, 2, 3, 3)
    ]
    assert rounds == [2, 2, 3, 4, 4]
    assert publish(registry, tmp_path, version=3, round_number=9).publication.round_number == 9
    assert publish(registry, tmp_path, version=3).publication.round_number == 9
    unheard = KnowledgeStore.empty(num_users=24, num_queries=6, embedding_dim=3)
    first = dataclasses.replace(stored_cloud, knowledge=unheard, round_number=0)
    fresh = Registry(tmp_path / "registry")
    number = commit(fresh, first, exchange={"codec": "float16"})
    found = publish(fresh, tmp_path / "first", version=number).publication
    assert (found.round_number, found.codec) == (0, "float16")


def test_a_round_is_noted_with_what_was_asked(registry, tmp_path, taught_cloud, everybody):
    publish(registry, tmp_path, now_seconds=1000)
    publish(registry, tmp_path / "mirror", now_seconds=2000)
    asked = Asked.read([registry.publications_path])
    assert list(asked.notes.values()) == [Note(2, 3, 1000, with_items=True)]
    items = asked.items(asked.note(2, 3))
    queries = taught_cloud.queries(everybody, round_number=2)
    assert items.answered(everybody, queries[:, ::-1]).all()
    assert not items.answered(everybody, np.roll(queries, 1, axis=0)).any()


def test_no_round_beyond_the_field_is_published(registry, tmp_path, stored_cloud):
    """Also where an uplink that claimed the last one has reached the promoted version."""
    fresh = Registry(tmp_path / "registry")
    rounds = np.full(24, 2**31 - 1, np.int32)
    poisoned = dataclasses.replace(
        stored_cloud,
        knowledge=dataclasses.replace(stored_cloud.knowledge, rounds=rounds),
        round_number=2**31 - 1,
    )
    fresh.promote(commit(fresh, poisoned), expected=None)
    out = tmp_path / "out"
    with pytest.raises(RegistryError, match="no round after 2147483647"):
        publish(fresh, out)
    for number in (2**31, -1, -(2**31)):
        with pytest.raises(CodecError, match=f"round_number in 0..2147483647, got {number}"):
            publish(registry, out, round_number=number)
    assert [path.name for path in out.iterdir()] == [".lock"]
    assert publish(fresh, out, round_number=7).publication.round_number == 7
    assert publish(fresh, out).publication.round_number == 7


def test_a_round_far_beyond_the_newest_must_be_confirmed(registry, tmp_path):
    out = tmp_path / "out"
    assert publish(registry, out).publication.round_number == 2
    words = ["cloud", "publish", str(registry.path), "--out", str(out), "--round"]
    with pytest.raises(RegistryError, match=r"round 1003: .* 1002, 1,000 .* opened, 2;.*--far"):
        CliRunner().invoke(cli, [*words, "1003"], catch_exceptions=False)
    assert [note.round_number for note in AskedNotes(registry.publications_path).notes()] == [2]
    assert current(out).round_number == 2
    for number, more in (("1002", []), ("2003", ["--far-round"])):
        CliRunner().invoke(cli, [*words, number, *more], catch_exceptions=False)
        assert current(out).round_number == int(number)
    # From then on near ones are free.
    assert publish(registry, out, round_number=3003).publication.round_number == 3003


@pytest.mark.parametrize(("number", "version"), [(3, 3), (16, 3), (17, 2)])
def test_a_publication_that_devices_take_for_an_older_one_must_be_confirmed(
    registry, tmp_path, number, version
):
    out = tmp_path / "out"
    publish(registry, out, version=3, round_number=17)
    words = ["cloud", "publish", str(registry.path), "--out", str(out), "--round", str(number)]
    words += ["--version", str(version)]
    refused = rf"round {number} of version {version}: .* not before round 17 of version 3, .* leave"
    for folder in (out, tmp_path / "elsewhere"):
        words[4] = str(folder)
        with pytest.raises(RegistryError, match=f"(?i){refused}"):
            CliRunner().invoke(cli, words, catch_exceptions=False)
    assert current(out).round_number == 17
    words[4] = str(out)
    CliRunner().invoke(cli, [*words, "--older-round"], catch_exceptions=False)
    assert (current(out).round_number, current(out).cloud_version) == (number, version)


def test_an_older_version_of_one_round_gets_a_round_of_its_own(registry, tmp_path):
    publish(registry, tmp_path, version=2, round_number=17)
    publish(registry, tmp_path, version=3, round_number=17)
    assert publish(registry, tmp_path, version=3).publication.round_number == 17
    assert publish(registry, tmp_path, version=2).publication.round_number == 18


def test_what_was_published_into_the_folder_counts_as_opened_too(registry, tmp_path, stored_cloud):
    out = tmp_path / "out"
    publish(registry, out, round_number=1001)
    fresh = Registry(tmp_path / "registry")
    number = commit(fresh, stored_cloud)
    with pytest.raises(RegistryError, match="opened, 1;"):
        publish(fresh, tmp_path / "elsewhere", version=number, round_number=2001)
    assert publish(fresh, out, version=number, round_number=2001).publication.round_number == 2001
    with pytest.raises(RegistryError, match="opened, 2001;"):
        publish(fresh, out, version=number, round_number=3002)


def test_a_publication_with_a_round_beyond_the_field_is_not_gone_on_with(registry, tmp_path):
    publish(registry, tmp_path)
    path = tmp_path / CURRENT_NAME
    path.write_text(path.read_text().replace('"round_number": 2', '"round_number": 2147483648'))
    with pytest.raises(CodecError, match=r"a round_number in 0.*got 2147483648"):
        publish(registry, tmp_path)


@pytest.mark.parametrize("inside", ["status.json", "versions", "inputs.json"])
def test_the_command_writes_into_no_folder_of_another(registry, tmp_path, inside):
    out = tmp_path / "out"
    out.mkdir()
    (out / inside).mkdir()
    words = ["cloud", "publish", str(registry.path), "--out", str(out)]
    with pytest.raises(ConfigError, match="expected the folder of a publication or a new one"):
        CliRunner().invoke(cli, words, catch_exceptions=False)
    assert [path.name for path in out.iterdir()] == [inside]


def test_the_command_reports_bytes(registry, tmp_path):
    arguments = ["cloud", "publish", str(registry.path), "--out", str(tmp_path)]
    arguments += ["--delta-from", "1", "--delta-from", "2"]
    wide = {"COLUMNS": "120"}
    result = CliRunner().invoke(cli, arguments, env=wide, catch_exceptions=False)
    found = current(tmp_path)
    (line,) = (line for line in result.output.splitlines() if "from version 1" in line)
    assert "1 of 40 items" in line
    assert "from version 2: it is the same" in result.output
    assert f"{found.deltas[0].file.num_bytes:,}" in line
    assert f"{found.item_table.num_bytes:,}" in result.output
    assert "downlinks of 24 users" in result.output


def test_what_cannot_be_published_is_refused(registry, tmp_path):
    with pytest.raises(RegistryError, match="no version is in force"):
        publish(Registry(tmp_path / "empty"), tmp_path)
    with pytest.raises(RegistryError, match="there is no version 9"):
        publish(registry, tmp_path, version=9)
    with pytest.raises(RegistryError, match="there is no version 9"):
        publish(registry, tmp_path, delta_from=[9])
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with pytest.raises(CodecError, match="expected the content of current"):
        Publication.from_json("{}")
    with pytest.raises(CodecError, match="expected format 1, found 2"):
        Publication.from_json('{"format": 2}')


def test_a_signed_publication_stays_signed(registry, tmp_path):
    key = SigningKey.new()
    done = publish(registry, tmp_path, key=key)
    assert check_publication(tmp_path, [key.public]).publication == done.publication
    before = (tmp_path / CURRENT_NAME).read_bytes()
    with pytest.raises(SignatureError, match=f"signed by the key {key.public.fingerprint}"):
        publish(registry, tmp_path)
    assert (tmp_path / CURRENT_NAME).read_bytes() == before
    publish(registry, tmp_path, version=1, key=key)
    assert check_publication(tmp_path, [key.public]).publication.cloud_version == 1
