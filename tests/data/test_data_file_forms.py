"""Files as they come: packed, in UTF-16, in parts, of RecBole, with other separators."""

import bz2
import gzip
import lzma
import os
import zipfile

import pandas as pd
import pytest

from ecct_tf.data import load_files
from ecct_tf.errors import ConfigError, DataError

ROWS = [("ann", "film a", 30), ("bob", "film é", 10), ("ann", "film c", 20)]
TEXT = "user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in ROWS)
EXPECTED = sorted(ROWS, key=lambda row: row[2])


def _zip(text, *more):
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # Without the time of now: these bytes name parametrisations, in every process alike.
        archive.writestr(zipfile.ZipInfo("data/d.csv"), text)
        for name in more:
            archive.writestr(zipfile.ZipInfo(name), "x")
    return buffer.getvalue()


def _gzip(content):
    return gzip.compress(content, mtime=0)


def _zstandard(content):
    pa = pytest.importorskip("pyarrow")
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def load(tmp_path):
    """Writes the file `d…` and returns its interactions as (user, item, second), by time."""

    def load(path, content=None, **options):
        if content is not None:
            (tmp_path / path).write_bytes(content)
        lines = "".join(f"  {key}: {value}\n" for key, value in options.items())
        schema = tmp_path / "schema.yaml"
        schema.write_text(f"name: x\ninteractions:\n  path: {path}\n{lines}")
        dataset, _ = load_files(schema)
        return [
            (dataset.user_tokens[user], dataset.item_tokens[item - 1], second)
            for user, item, second in zip(
                dataset.users.tolist(),
                dataset.items.tolist(),
                dataset.timestamps.tolist(),
                strict=True,
            )
        ]

    return load


@pytest.mark.parametrize(
    ("path", "pack"),
    [
        ("d.csv.gz", _gzip),
        ("d.csv.bz2", bz2.compress),
        ("d.csv.xz", lzma.compress),
        ("d.csv.zip", _zip),
        ("d.csv.zip", lambda content: _zip(content, "__MACOSX/data/._d.csv")),
        ("d.csv.zst", _zstandard),
        # Named as if it were not packed.
        ("d.csv", _gzip),
    ],
)
def test_packed_files(load, path, pack):
    assert load(path, pack(TEXT.encode())) == EXPECTED


def test_the_suffix_before_the_packing_decides_the_separator(load):
    assert load("d.tsv.gz", _gzip(TEXT.replace(",", "\t").encode())) == EXPECTED


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("d.csv.gz", _gzip(TEXT.encode())[:-20], "cannot be unpacked"),
        ("d.csv.bz2", bz2.compress(TEXT.encode())[:-20], "cannot be unpacked"),
        ("d.csv.xz", lzma.compress(TEXT.encode())[:-20], "cannot be unpacked"),
        ("d.csv.zip", _zip(TEXT)[:-20], "cannot be unpacked"),
        ("d.csv.zip", _zip(TEXT, "other.csv"), "an archive of one file, received 2: data/d.csv"),
        ("d.csv.gz", b"", "the file is empty"),
        ("d.csv.gz", _gzip(TEXT.encode("latin-1")), "line 3, byte b'\\xe9': expected text"),
    ],
)
def test_damaged_packing_is_named(load, path, content, message):
    with pytest.raises(DataError) as caught:
        load(path, content)
    assert path in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_decides(load, encoding):
    assert load("d.csv", TEXT.encode(encoding)) == EXPECTED
    assert load("d.csv", TEXT.encode(encoding), encoding="latin-1") == EXPECTED


def test_utf_16_without_a_mark_needs_its_name(load):
    with pytest.raises(DataError, match=r"is the file UTF-16 .* encoding: utf-16-le"):
        load("d.csv", "user,item,timestamp\na,b,1\n".encode("utf-16-le"))
    assert load("d.csv", TEXT.encode("utf-16-le"), encoding="utf-16-le") == EXPECTED
    # With the mark and the name of one byte order, the mark is no part of the first header.
    assert load("d.csv", ("\ufeff" + TEXT).encode("utf-16-le"), encoding="utf-16-le") == EXPECTED


def test_lines_of_movielens_1m_have_no_header_and_a_long_separator(load):
    text = "".join(f"{u}::{i}::5::{t}\r\n" for u, i, t in ROWS)
    options = {"format": "csv", "separator": "'::'", "names": "[user, item, stars, timestamp]"}
    assert load("ratings.dat", text.encode(), **options) == EXPECTED
    with pytest.raises(DataError, match="line 2: expected 4 fields as the header has, received 3"):
        load("ratings.dat", b"a::b::5::1\na::c::2\n", **options)
    with pytest.raises(DataError, match=r"is the separator '::'\? Then give it"):
        load("d.csv", TEXT.replace(",", "::").encode())


def test_files_without_a_header_of_other_kinds(load):
    text = "".join(f"{u}\t{i}\t{t}\n" for u, i, t in ROWS)
    options = {"separator": '"\\t"', "names": "[user, item, timestamp]"}
    assert load("u.data", text.encode(), format="csv", **options) == EXPECTED
    with pytest.raises(DataError, match="the column 'user' is missing, the file has who, item"):
        load("d.csv", TEXT.encode(), names="[who, item, timestamp]")


def test_recbole_files(load, tmp_path):
    text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    text += "".join(f'{u}\t"{i}\t4.0\t{t}.0\n' for u, i, t in ROWS)
    expected = [(u, f'"{i}', t) for u, i, t in EXPECTED]
    options = {"user": "user_id", "item": "item_id"}
    assert load("x.inter", text.encode(), **options) == expected
    assert load("x.txt", text.encode(), format="recbole", **options) == expected
    assert load("x.inter.gz", _gzip(text.encode()), **options) == expected
    with pytest.raises(DataError, match=r"is the file RecBole's\? Then give format: recbole"):
        load("x.tsv", text.replace('"', "").encode(), **options)
    (tmp_path / "x.item").write_text("item_id:token\tclass:token_seq\n1\tDrama War\n2\t\n")
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t1\t5\n")
    (tmp_path / "schema.yaml").write_text(
        "name: x\ninteractions: {path: x.inter, user: user_id, item: item_id}\n"
        "items: {path: x.item, id: item_id, columns: {class: {kind: multi_categorical}}}\n"
    )
    dataset, _ = load_files(tmp_path / "schema.yaml")
    assert dataset.item_columns[0].vocabulary == ("Drama", "War")


def _spark(folder, *, name="part-{}.csv", header="user,item,timestamp\n"):
    """Three part files, one of them empty, and what Spark writes beside them."""
    folder.mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    for number, text in enumerate((TEXT, header, "user,item,timestamp\ncem,film d,40\n")):
        (folder / name.format(f"0000{number}")).write_text(text)
        (folder / f".{name.format(f'0000{number}')}.crc").write_bytes(b"\x00\x01")


def test_a_folder_of_part_files(load, tmp_path):
    _spark(tmp_path / "events.csv")
    assert load("events.csv") == [*EXPECTED, ("cem", "film d", 40)]
    # Part files need no suffix where the schema says what they are.
    _spark(tmp_path / "events", name="part-{}", header="")
    assert load("events", format="csv") == [*EXPECTED, ("cem", "film d", 40)]


def test_an_error_names_the_part_and_its_line(load, tmp_path):
    _spark(tmp_path / "events.csv")
    (tmp_path / "events.csv" / "part-00002.csv").write_text(f"{TEXT}cem,film d,soon\n")
    with pytest.raises(
        DataError, match=r"events\.csv: part-00002\.csv, line 5, column 'timestamp'"
    ):
        load("events.csv")
    (tmp_path / "events.csv" / "part-00002.csv").write_text("user,thing,timestamp\na,b,1\n")
    with pytest.raises(DataError, match=r"part-00002\.csv: the column 'item' is missing"):
        load("events.csv")


def test_a_folder_that_holds_something_else(load, tmp_path):
    _spark(tmp_path / "events.csv")
    (tmp_path / "events.csv" / "notes.md").write_text("x")
    with pytest.raises(DataError, match=r"received notes\.md. Move what is no data elsewhere"):
        load("events.csv")
    (tmp_path / "none.csv").mkdir()
    with pytest.raises(DataError, match="the folder holds no part files"):
        load("none.csv")
    (tmp_path / "empty.csv").mkdir()
    (tmp_path / "empty.csv" / "a.csv").touch()
    with pytest.raises(DataError, match="the 1 part files have no rows"):
        load("empty.csv")
    with pytest.raises(ConfigError, match=r"cannot be told from 'events'.*Give format"):
        load("events")


def test_hive_partitions_are_columns(load, tmp_path):
    for key, rows in (("film%20a", [("ann", 30)]), ("film c", [("ann", 20)]), ("b", [("bob", 10)])):
        place = tmp_path / "events" / "year=2024" / f"item={key}"
        place.mkdir(parents=True)
        text = "".join(f"{user},{time}\n" for user, time in rows)
        (place / "part-0.csv").write_text(f"user,timestamp\n{text}")
    (tmp_path / "events" / "_temporary" / "item=x").mkdir(parents=True)
    (tmp_path / "events" / "_temporary" / "item=x" / "part-0.csv").write_text("broken")
    expected = [("bob", "b", 10), ("ann", "film c", 20), ("ann", "film a", 30)]
    assert load("events", format="csv") == expected
    missing = tmp_path / "events" / "item=__HIVE_DEFAULT_PARTITION__"
    missing.mkdir()
    (missing / "part-0.csv").write_text("user,timestamp\nann,5\n")
    with pytest.raises(DataError, match=r"part-0\.csv, line 2, column 'item': expected an id"):
        load("events", format="csv")


def test_a_folder_of_parquet_files(load, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(ROWS, columns=["user", "item", "timestamp"])
    folder = tmp_path / "events.parquet"
    (folder / "day=1").mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    frame[:2].to_parquet(folder / "day=1" / "part-0.snappy.parquet")
    frame[:0].to_parquet(folder / "day=1" / "part-1.snappy.parquet")
    frame[2:].to_parquet(folder / "part-2.snappy.parquet")
    assert load("events.parquet") == EXPECTED
    frame[2:].assign(timestamp=-1).to_parquet(folder / "part-2.snappy.parquet")
    with pytest.raises(DataError, match=r"part-2\.snappy\.parquet, row 1, column 'timestamp'"):
        load("events.parquet")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "undefined"])
def test_text_that_an_encoding_cannot_begin_is_refused(load, encoding):
    # Python says so by errors of three kinds.
    content = TEXT.encode("utf-16-le")
    with pytest.raises(DataError, match=f"expected text in {encoding}, received other bytes"):
        load("d.csv", content, encoding=encoding)


@pytest.mark.parametrize("encoding", ["hex", "rot13", "zlib", '"utf-8\\0"'])
def test_a_codec_that_is_none_of_text_is_refused(load, encoding):
    with pytest.raises(ConfigError, match=r"encoding: expected one that Python knows|value 0"):
        load("d.csv", TEXT.encode(), encoding=encoding)


@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_a_pipe_is_refused_and_not_waited_for(load, tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: .*a pipe or a device"):
        load(name)


def test_damaged_texts_and_times_of_no_calendar_in_parquet_are_refused(load, tmp_path):
    """Arrow reads them without a look; Python's text and calendar are narrower."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    users = pa.array(["ann", "bob"])
    # Bytes that are no UTF-8, declared as text: what a flipped bit leaves.
    texts = pa.array([b"f\xb8", b"film"], pa.binary()).view(pa.string())
    far = pa.array([2**60, 10], pa.int64()).view(pa.timestamp("us"))
    days = pa.array([2**31 - 1, 10], pa.int32()).view(pa.date32())
    times = pa.array([1, 2])
    for item, time, column in (
        (texts, times, "item"),
        (users, far, "timestamp"),
        (users, days, "timestamp"),
    ):
        table = pa.table({"user": users, "item": item, "timestamp": time})
        pq.write_table(table, tmp_path / "d.parquet")
        with pytest.raises(DataError, match=rf"d\.parquet: column '{column}': expected values of"):
            load("d.parquet")
