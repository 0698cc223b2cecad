"""Settings that must hold before TensorFlow is imported, and a watch for left-over workers."""

import contextlib
import dataclasses
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# The width of the terminal that tests run in is none of what they test.
os.environ.pop("COLUMNS", None)

from ecct_tf.doctor import worker_processes

# How busy the machine is decides no test.
settings.register_profile("ecct", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ecct")

_LEFT_WORKERS = pytest.StashKey[list[int]]()


def pytest_configure(config):
    config.stash[_LEFT_WORKERS] = []
    # A shell lets what it starts in the background ignore Ctrl-C, and so would the commands that
    # tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_watch_of_signals():
    """A command called within a test must not install the watch of a command's own process.

    It stays for good: a signal that a later test sends would stop each run after it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecct_tf.stopping.install", lambda: None)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """Fails the run when a TFF worker of this process outlived the tests.

    Such a worker survives Python and keeps the inherited stdout open, so whatever
    reads the tests' output would wait forever. It is killed here and reported.
    """
    left = session.config.stash[_LEFT_WORKERS]
    for worker in worker_processes():
        if worker.parent_pid == os.getpid():
            left.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(worker.pid, 0)
    if hasattr(session.config, "workeroutput"):  # a process of pytest-xdist
        session.config.workeroutput["left_workers"] = list(left)
    elif left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# Their tests have nothing in common, and each takes a process of its own for a minute or so.
_ONE_BY_ONE = ("tests/test_notebooks.py", "tests/test_odd_places.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files are shared out whole, for their fixtures' sake, but for those whose tests share none.

    Else one process would run all notebooks while the others have nothing left to do.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return nodeid if nodeid.startswith(_ONE_BY_ONE) else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    output = getattr(node, "workeroutput", None) or {}
    node.config.stash[_LEFT_WORKERS].extend(output.get("left_workers", []))


@pytest.fixture(scope="session")
def with_pay():
    """`with_pay(dataset, pay)`: the data set with a private number of each user, NaN if unknown."""
    import numpy as np

    from ecct_tf.data import Column, EncodedColumn, FeatureSchema, Kind, Side
    from ecct_tf.data.numbers import number_code

    column = Column("pay", "user", Side.FEDERATED, Kind.NUMERIC)

    def with_pay(dataset, pay):
        codes = [number_code(float(number), column.private_scaling) for number in pay]
        return dataclasses.replace(
            dataset,
            schema=FeatureSchema(dataset.schema.name, (*dataset.schema.columns, column)),
            user_columns=(*dataset.user_columns, EncodedColumn(column, np.array(codes, np.int32))),
        )

    return with_pay


def pytest_terminal_summary(terminalreporter, config):
    left = config.stash[_LEFT_WORKERS]
    if left:
        terminalreporter.section("TFF workers left behind", red=True)
        terminalreporter.line(
            f"pid {', '.join(map(str, left))}: started by a test and never ended, now killed. "
            "Start TFF through the library's runtime context manager, which reaps its worker."
        )
