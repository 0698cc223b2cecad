"""A cycle whose devices know an address and a token, and reach the cloud by nothing else."""

import contextlib
import dataclasses
import json
import os
import signal
import stat

import pytest
from module_files import load_file

pytest.importorskip("uvicorn")

from benchmarks.http_faults.evidence import log_records
from benchmarks.http_faults.plan import FaultPlan
from benchmarks.http_faults.service import FaultyRun
from cloud.publishing import publish
from cloud.registry import Registry
from ecct_tf.cycle import HttpOptions, load_cycle_config, run_cycles
from ecct_tf.cycle.edge import EdgeSide, fetch
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.cycle.over_http import HttpDevices
from ecct_tf.cycle.rounds import answers, local_round
from ecct_tf.cycle.service_process import ServicePlan, serving
from ecct_tf.errors import ConfigError, TokenError, WorkerError
from ecct_tf.simulation.experiment import build_experiment
from mobile_export.device import ReceivedDownlink, TrainingPlan

pieces = load_file("tests/cycle/cycle_pieces.py")
DEVICES = 5
SETTINGS = (
    *pieces.SMALL, f"devices={DEVICES}", "edge.tiers={linear: 1.0}", "gate.minimum_gain=2.0",
)  # fmt: skip


@pytest.fixture(scope="module")
def config():
    return load_cycle_config(None, overrides=SETTINGS, http=True)


@pytest.fixture(scope="module")
def chain(config, tmp_path_factory):
    """One cycle over HTTP, whose gate lets no second version through."""
    out = tmp_path_factory.mktemp("http") / "chain"
    started = []
    options = HttpOptions(processes=1, on_started=started.append)
    result = run_cycles(config, out, cycles=1, show=False, http=options)
    assert len(started) == 1
    return result


def test_devices_over_http_answer_what_devices_with_files_answer(chain, config, tmp_path):
    folder = CycleFolder(chain.path)
    found = {record.user: record for record in log_records(folder.uplinks)}
    assert len(found) == len(log_records(folder.uplinks)) == DEVICES
    # The first publication once more, and the same devices without a service.
    other = CycleFolder(tmp_path / "files")
    publish(
        Registry(folder.registry),
        other.public,
        version=1,
        start_codec="float16",
        round_number=0,
        older_round=True,
    )
    fetched = fetch(other.public)
    assert fetched.publication.round_number == 0
    other.export = folder.export
    edge = EdgeSide(
        build_experiment(config.run(), progress=False),
        other,
        runtime=config.runtime,
        devices=DEVICES,
    )
    edge.begin(fetched)
    fleet = edge.fleets(fetched, cycle=0)["linear"]
    assert fleet.users == sorted(found)
    states, server = [], other.shared("linear", 0)
    for device in fleet:
        downlink = ReceivedDownlink.read(fetched.downlinks, device.state.user)
        states.append(fleet.model.receive(device.state, downlink))
    for _ in range(config.rounds_per_cycle):
        states, server = local_round(
            fleet.model, states, server,
            plan=TrainingPlan(seed=config.seed), config=config.server, codec="float16",
        )  # fmt: skip
    other.write_edge("linear", 1, states=states, server=server)
    for record in answers(edge.fleets(fetched, cycle=1)["linear"], created_at_seconds=0):
        own = found[record.user]
        assert (own.key, own.payload) == (record.key, record.payload)
    for state in states:
        name = f"{state.user}.state"
        after = folder.edge("linear", 1) / "states" / name
        assert after.read_bytes() == (other.edge("linear", 1) / "states" / name).read_bytes()


def test_a_gate_that_holds_back_leaves_the_version_and_asks_anew(chain):
    rows = chain.rows
    assert [(row["version"], row["promoted"]) for row in rows] == [("1", "1"), ("1", "0")]
    assert [row["uplinks_read"] for row in rows] == ["0", str(DEVICES)]
    assert {row["devices"] for row in rows} == {str(DEVICES)}
    assert rows[1]["weights_bytes"] == "0"
    public = json.loads((chain.path / "public" / "current.json").read_text())
    assert (public["cloud_version"], public["round_number"]) == (1, 1)


def test_a_device_keeps_its_own_and_nothing_of_the_others(chain):
    homes = sorted(CycleFolder(chain.path).devices.iterdir())
    assert len(homes) == DEVICES
    for home in homes:
        assert {path.name for path in home.iterdir() if not path.name.startswith(".")} == {
            "cache", "device.state", "own.json", "spool", "token",
        }  # fmt: skip
        for path in [home / "token", home / "own.json", home / "device.state"]:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        fetched = {path.suffix for path in (home / "cache").rglob("*.*") if path.is_file()}
        assert fetched == {".json", ".tflite", ".ecsw"}
        assert [path.name for path in (home / "spool").iterdir()] == ["answered.json"]
    assert len({(home / "token").read_text() for home in homes}) == DEVICES


def devices_of(chain, config, ending, *, options=None, **given):
    """The devices of a chain that has ended, and what is published now."""
    folder = CycleFolder(chain.path)
    edge = EdgeSide(
        build_experiment(config.run(), progress=False),
        folder,
        runtime=config.runtime,
        devices=DEVICES,
    )
    options = options or HttpOptions(processes=1, **given)
    return HttpDevices(config, folder, edge, options=options, ending=ending), fetch(folder.public)


class Standing:
    """A service that is said to run, and what happens when it is looked at."""

    def __init__(self, address, look):
        self.address, self.check = address, look


def next_round(chain):
    """Publishes the version in force for a further round, which all devices have to answer."""
    folder = CycleFolder(chain.path)
    number = fetch(folder.public).publication.round_number + 1
    publish(Registry(folder.registry), folder.public, start_codec="float16", round_number=number)


@pytest.mark.slow
def test_killed_devices_and_revoked_tokens_lose_nothing(chain, config):
    """The processes of devices are killed once, and two devices log in anew."""
    folder, killed, refused = CycleFolder(chain.path), [], []
    next_round(chain)
    with contextlib.ExitStack() as ending:

        def log_in(users):
            refused.extend(users)
            for user in users:
                (folder.devices / str(user) / "token").unlink()

        def kill(process):
            if not killed:
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)

        devices, fetched = devices_of(
            chain, config, ending, restarts=2, on_refused=log_in, on_started=kill
        )
        users = sorted(int(path.name) for path in folder.devices.iterdir())
        for user in users[:2]:
            devices.tokens.revoke(user=user)
        before = [record.key for record in log_records(folder.uplinks)]
        devices.answer(fetched)
    assert refused == users[:2]
    number = fetched.publication.round_number
    keys = [record.key for record in log_records(folder.uplinks)]
    assert sorted(keys) == sorted([*before, *((user, number) for user in users)])


@pytest.mark.slow
def test_whatever_goes_wrong_each_confirmed_answer_is_in_the_log_once(chain, config):
    folder = CycleFolder(chain.path)
    kills = {3: "service meanwhile", 7: "devices", 12: "service after"}
    plan = FaultPlan(5, kills, full=(14, 17), revoked=frozenset({10}), share=0.1)
    faults = FaultyRun(plan, devices=folder.devices)
    before = [record.key for record in log_records(folder.uplinks)]
    options = faults.options(processes=2, most_wait_seconds=0.3)
    numbers = []
    with contextlib.ExitStack() as ending:
        devices, _ = devices_of(chain, config, ending, options=options)
        for _ in range(2):
            next_round(chain)
            fetched = fetch(folder.public)
            devices.answer(fetched)
            numbers.append(fetched.publication.round_number)
    evidence = faults.evidence
    assert evidence.verdict(folder.uplinks) == []
    assert {f"kill: {what}" for what in kills.values()} | {"revoked"} <= evidence.counts.keys()
    users = sorted(int(path.name) for path in folder.devices.iterdir())
    asked = [(user, number) for user in users for number in numbers]
    keys = [record.key for record in log_records(folder.uplinks)]
    assert sorted(keys) == sorted([*before, *asked])
    assert set(evidence.confirmed) == set(asked)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "a process of devices was ended by signal 9"),
        ({"deadline_seconds": 0.01}, "devices have not answered round \\d+ within 1 seconds"),
    ],
)
def test_devices_that_cannot_end_are_told_and_end(chain, config, given, words):
    started = []

    def kill(process):
        started.append(process)
        if not given:
            process.kill()

    @contextlib.contextmanager
    def nowhere(_plan):
        yield Standing("http://127.0.0.1:9", lambda: None)

    with contextlib.ExitStack() as ending:
        devices, fetched = devices_of(
            chain, config, ending, serve=nowhere, on_started=kill, **given
        )
        with pytest.raises(WorkerError, match=words):
            devices.answer(fetched)
    assert all(process.poll() is not None for process in started)


def test_a_service_that_ends_meanwhile_is_told(chain, config):
    def gone():
        raise WorkerError("the service ended with -9")

    @contextlib.contextmanager
    def nowhere(_plan):
        yield Standing("http://127.0.0.1:9", gone)

    started = []
    with contextlib.ExitStack() as ending:
        devices, fetched = devices_of(
            chain, config, ending, serve=nowhere, on_started=started.append
        )
        with pytest.raises(WorkerError, match="the service ended with -9"):
            devices.answer(fetched)
    assert started[0].poll() is not None


def test_a_service_that_does_not_start_is_told_with_its_reason(tmp_path):
    plan = ServicePlan(
        public=tmp_path / "none", log=tmp_path / "log", tokens=tmp_path / "tokens.sqlite",
        models=tmp_path / "models", messages=tmp_path / "service.log",
    )  # fmt: skip
    with (
        pytest.raises(WorkerError, match=r"(?s)ended before it listened: .*none: expected a pub"),
        serving(plan),
    ):
        pytest.fail("it does not run")


def test_refused_tokens_are_an_error_unless_somebody_logs_in():
    with pytest.raises(TokenError, match="refused the tokens of 2 devices, the first of user 3"):
        HttpOptions().on_refused([3, 5])


@pytest.mark.parametrize(
    ("overrides", "http", "message"),
    [
        (["edge.shared=backbone"], True, "shared weights have no form in which they cross HTTP"),
        (["transport=http", "edge.shared=all"], False, "got all, but shared weights have no form"),
        (["transport=smtp"], False, "transport"),
        (["devices=0"], False, "expected at least 1"),
    ],
)
def test_what_devices_over_http_cannot_do_is_refused(overrides, http, message):
    with pytest.raises(ConfigError, match=message):
        load_cycle_config(None, overrides=[*pieces.SMALL, *overrides], http=http)


def test_options_of_http_are_refused_without_it_and_more_devices_than_users(config, tmp_path):
    files = dataclasses.replace(config, transport="files")
    with pytest.raises(ConfigError, match="transport: got files, expected http"):
        run_cycles(files, tmp_path / "x", cycles=1, http=HttpOptions())
    experiment = build_experiment(config.run(), progress=False)
    with pytest.raises(ConfigError, match=f"expected at most {pieces.USERS}"):
        EdgeSide(experiment, CycleFolder(tmp_path), runtime=config.runtime, devices=99)
