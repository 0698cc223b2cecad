"""Arrays in files: as NumPy writes them, and read where they are."""

import io

import numpy as np
import pytest

from cloud import array_files
from cloud.array_files import read_arrays, write_arrays
from cloud.user_states import UserStates
from ecct_tf.errors import RegistryError
from ecct_tf.touched_rows import LongerRows, TouchedRows


@pytest.fixture
def small_parts(monkeypatch):
    """Arrays of some bytes already count as large."""
    monkeypatch.setattr(array_files, "_LARGE_BYTES", 64)
    monkeypatch.setattr(array_files, "_PART_BYTES", 80)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "wide": rng.normal(size=(37, 5)).astype(np.float32),
        "turned": np.asfortranarray(rng.normal(size=(6, 7))),
        "none": np.zeros((0, 3)),
        "one": np.array(4, np.int64),
        "texts": np.array(["a", "bcd"] * 9),
    }


@pytest.mark.usefixtures("small_parts")
def test_the_bytes_are_those_of_numpy(arrays, tmp_path):
    expected = io.BytesIO()
    np.savez(expected, **arrays)
    write_arrays(tmp_path / "a.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == expected.getvalue()


@pytest.mark.usefixtures("small_parts")
def test_what_is_kept_by_rows_is_written_without_being_one_array(tmp_path):
    values = np.arange(60, dtype=np.int32).reshape(30, 2)
    write_arrays(tmp_path / "whole.npz", {"rows": values})
    touched = TouchedRows(np.zeros(2, np.int32), length=30).with_rows(np.arange(30), values)
    made = UserStates(lambda rows: values[rows].astype(np.float32), length=30)
    longer = LongerRows(values[:20], 7, length=30)
    write_arrays(tmp_path / "rows.npz", {"rows": touched})
    assert (tmp_path / "rows.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    write_arrays(tmp_path / "others.npz", {"made": made, "longer": longer})
    found = read_arrays(tmp_path / "others.npz")
    np.testing.assert_array_equal(found["made"], values.astype(np.float32))
    np.testing.assert_array_equal(
        found["longer"], np.where(np.arange(60) < 40, values.ravel(), 7).reshape(30, 2)
    )


@pytest.mark.usefixtures("small_parts")
def test_large_arrays_stay_in_their_file(arrays, tmp_path):
    write_arrays(tmp_path / "a.npz", arrays)
    found = read_arrays(tmp_path / "a.npz", in_place=True)
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == expected.dtype
    assert isinstance(found["wide"], np.memmap)
    assert not found["wide"].flags.writeable
    assert not isinstance(found["one"], np.memmap)
    # A later version of the file is another file.
    write_arrays(tmp_path / "a.npz", {"wide": np.zeros((37, 5), np.float32)})
    np.testing.assert_array_equal(found["wide"], arrays["wide"])


@pytest.mark.usefixtures("small_parts")
def test_an_archive_that_ends_too_early_is_damaged(arrays, tmp_path):
    write_arrays(tmp_path / "a.npz", arrays)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-9])
    with pytest.raises(RegistryError, match=r"a\.npz: expected arrays"):
        read_arrays(tmp_path / "a.npz", in_place=True)


def test_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "a.npz", {"objects": np.array([{}], object)})
