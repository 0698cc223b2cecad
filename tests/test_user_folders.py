"""Folders of a user who has no home and no account, as in many a container."""

import os
from pathlib import Path

import platformdirs
import pytest

from ecct_tf.errors import ConfigError
from ecct_tf.user_folders import cache_folder, expanded


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """Neither HOME nor an entry for this number, as `os.path.expanduser` finds it."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("answer", [None, "~/.cache/ecct-tf"])
def test_without_a_home_downloads_go_below_the_temporary_folder(monkeypatch, tmp_path, answer):
    if answer is None:
        with pytest.raises(RuntimeError):
            platformdirs.user_cache_dir("ecct-tf")
    else:
        monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: answer)
    assert cache_folder() == tmp_path / f"ecct-tf-{os.getuid()}"


@pytest.mark.usefixtures("nobody")
def test_a_tilde_that_stands_for_nothing_is_refused_with_the_way_out():
    assert expanded(Path("/srv/data")) == Path("/srv/data")
    with pytest.raises(ConfigError, match=r"~/data: .*Set HOME, or give the whole path"):
        expanded(Path("~/data"))


def test_with_a_home_it_is_below_it(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ecct-tf"
    assert expanded(Path("~/data")) == tmp_path / "data"
