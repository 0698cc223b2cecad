"""Several of TFF's workers: equal to one to the last bit, whoever of them dies or hangs."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_federated")

from ecct_tf.config import ServerConfig
from ecct_tf.errors import WorkerError
from ecct_tf.federated import Stages, compat, federated_runtime
from ecct_tf.federated.pool_member import PoolMember, WorkerLostError
from ecct_tf.federated.worker_links import LocalLink
from ecct_tf.federated.worker_pool import WorkerPool

TWO = ("local", "local")


@pytest.fixture(scope="module")
def pool():
    with federated_runtime(workers=TWO) as pool:
        yield pool


@pytest.fixture
def one_round(make_cloud):
    """A round by the workers `around`, after `state`."""

    def run(process, around, state=None):
        everybody = np.arange(process.num_devices)
        begun = process.initialize(1) if state is None else state
        with compat.install_context(around.context):
            return process.next(begun, make_cloud(), everybody, everybody)[0]

    return run


def _median(spec):
    """Stages that join the changes of single devices, and keep a state."""
    from ecct_tf.federated.stages import ChangeAggregate

    def report(rows, kept):
        return (tf.reduce_mean(rows, axis=0), 1.0), kept + 1, {"rounds": kept + 1}

    def join(rows, more):
        return tf.concat([rows, more], axis=0)

    return ChangeAggregate(
        lambda change, _: change[None],
        lambda: tf.zeros([0, spec.size]),
        join,
        join,
        report,
        tf.TensorSpec([None, spec.size], tf.float32),
        lambda: np.int32(0),
    )


FORMS = {
    "rows": {},
    "single devices": {"shard_size": 0},
    "late": {"asynchronous": True, "sharing": "all"},
    "stages of one's own": {
        "stages": Stages(changes=_median),
        "shard_size": 0,
        "sharing": "all",
        "server": ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0),
    },
}


@pytest.mark.parametrize(
    "form", ["rows", *(pytest.param(form, marks=pytest.mark.slow) for form in list(FORMS)[1:])]
)
def test_two_workers_equal_one_to_the_last_bit(
    form, compose, one_round, runtime, pool, assert_states_equal
):
    one, two = (compose(("mlp",), workers=workers, **FORMS[form]) for workers in ((), TWO))
    expected = one_round(one, runtime, one_round(one, runtime))
    found = one_round(two, pool, one_round(two, pool))
    assert_states_equal(found, expected)
    for left, right in zip(found.cohorts, expected.cohorts, strict=True):
        assert [leaf.tolist() for leaf in left.aggregator] == [
            leaf.tolist() for leaf in right.aggregator
        ]


def test_both_workers_compute(compose, one_round, pool, monkeypatch):
    seen = []
    original = PoolMember.run
    monkeypatch.setattr(
        PoolMember, "run", lambda self, task: seen.append(self.name) or original(self, task)
    )
    one_round(compose(("mlp",), workers=TWO), pool)
    assert set(seen) == {"local worker 1", "local worker 2"}


def test_a_round_of_several_workers_needs_them(compose, one_round, runtime):
    with pytest.raises(WorkerError, match=r"runtime\.workers"):
        one_round(compose(("mlp",), workers=TWO), runtime)


@pytest.fixture
def own_pool():
    """Makes pools of local workers that a test may end."""
    made = []

    def make(number=2, **options):
        links = [LocalLink(at + 1, threads=1, concurrent_calls=1) for at in range(number)]
        made.append(WorkerPool(links, **options))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def _wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
@pytest.mark.parametrize("which", [0, 1])
def test_the_work_of_a_worker_that_is_lost_is_done_by_the_other(
    how, which, compose, one_round, runtime, own_pool, assert_states_equal, caplog
):
    pool = own_pool(silence_seconds=2.0)
    one, two = (compose(("mlp",), workers=workers) for workers in ((), TWO))
    expected = one_round(one, runtime, one_round(one, runtime))
    state = one_round(two, pool)
    worker = pool.members[which]
    before = worker.link.pid
    os.kill(before, how)
    assert_states_equal(one_round(two, pool, state), expected)
    assert _wait_until(lambda: worker.ready)
    assert worker.link.pid != before
    assert worker.losses == 1
    assert f"local worker {which + 1} is lost" in caplog.text
    # And it computes again.
    assert_states_equal(one_round(two, pool, state), expected)
    assert worker.losses == 1


@pytest.mark.slow
def test_rounds_with_many_kills_end_like_undisturbed_ones(
    compose, one_round, runtime, own_pool, assert_states_equal
):
    """A worker drawn at random is killed in every third of 15 rounds, at a random moment."""
    pool, rng = own_pool(), np.random.default_rng(0)
    one, two = (compose(("mlp",), workers=workers) for workers in ((), TWO))
    expected, found = one.initialize(1), two.initialize(1)
    for number in range(15):
        expected = one_round(one, runtime, expected)
        victim = pool.members[rng.integers(2)].link.pid
        if number % 3 or victim is None:
            found = one_round(two, pool, found)
            continue
        killer = threading.Timer(rng.uniform(0.0, 0.1), os.kill, [victim, signal.SIGKILL])
        killer.start()
        found = one_round(two, pool, found)
        killer.join()
    assert_states_equal(found, expected)
    assert sum(member.losses for member in pool.members) >= 3


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_of_its_work(
    compose, one_round, runtime, own_pool, assert_states_equal
):
    pool = own_pool()
    one, two = (compose(("mlp",), workers=workers) for workers in ((), TWO))
    expected = one_round(one, runtime, one_round(one, runtime))
    state = one_round(two, pool)
    victim = pool.members[1]
    original = victim.run

    def run(task):
        threading.Timer(0.0, os.kill, [victim.link.pid, signal.SIGKILL]).start()
        return original(task)

    victim.run = run
    assert_states_equal(one_round(two, pool, state), expected)


@pytest.mark.slow
def test_work_that_ends_every_worker_is_given_up_with_their_names(
    compose, one_round, own_pool, monkeypatch
):
    pool = own_pool()

    def lost(self, _):
        raise WorkerLostError(f"{self.name}: on purpose")

    monkeypatch.setattr(PoolMember, "run", lost)
    with pytest.raises(WorkerError, match=r"lost \d times.*local worker 1: on purpose.*worker 2"):
        one_round(compose(("mlp",), workers=TWO), pool)


class DeadLink:
    """A worker that comes up once."""

    own = True

    def __init__(self, inner):
        self.name, self.inner, self.opened = inner.name, inner, 0

    def connect(self):
        self.opened += 1
        if self.opened > 1:
            raise WorkerError("it does not come up again")
        return self.inner.connect()

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.slow
def test_without_any_worker_a_computation_ends_with_their_names():
    link = DeadLink(LocalLink(1, threads=1, concurrent_calls=1))
    pool = WorkerPool([link], return_seconds=3.0)
    add = compat.federated_computation(compat.federated_sum, compat.clients_type(np.int32))
    try:
        with compat.install_context(pool.context):
            assert add([np.int32(1), np.int32(2)]) == 3
            os.kill(link.pid, signal.SIGKILL)
            with pytest.raises(WorkerError, match=r"no worker.*local worker 1: .*not come up"):
                add([np.int32(1), np.int32(2)])
    finally:
        pool.close()
    assert link.pid is None


def test_a_computation_that_fails_names_the_worker_and_is_not_repeated(pool):
    @compat.tensor_computation(compat.tensor_type(np.int32, ()))
    def look_up(index):
        return tf.gather(tf.constant([1, 2]), index)

    before = [member.losses for member in pool.members]
    with (
        compat.install_context(pool.context),
        pytest.raises(WorkerError, match=r"local worker 1: .*7 is not in"),
    ):
        look_up(np.int32(7))
    assert [member.losses for member in pool.members] == before


def test_a_worker_that_cannot_start_ends_the_others(monkeypatch):
    made = []

    def connect(self):
        made.append(self)
        if self.name == "local worker 2":
            raise WorkerError("on purpose")
        return original(self)

    original = LocalLink.connect
    monkeypatch.setattr(LocalLink, "connect", connect)
    with pytest.raises(WorkerError, match="on purpose"), federated_runtime(workers=TWO):
        pass
    assert _wait_until(lambda: all(link.pid is None for link in made))
