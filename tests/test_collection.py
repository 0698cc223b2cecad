"""Imports without collections, where the process is the command line's."""

import gc
import sys

from ecct_tf.collection import importing


def test_imports_run_without_collections_and_stay_frozen(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    before = gc.get_freeze_count()
    try:
        with importing():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_collections_are_on_again_after_an_import_that_failed(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    try:
        with importing():
            raise ImportError("no such module")
    except ImportError:
        pass
    finally:
        gc.unfreeze()
    assert gc.isenabled()


def test_nothing_changes_where_tensorflow_is_imported_already(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    before = gc.get_freeze_count()
    with importing():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before
