"""A device and real services, which are killed, run out of disk and show certificates."""

import hashlib
import os
import random
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from module_files import load_file

from cloud.service import TokenStore
from ecct_tf.errors import TransportError
from mobile_export.device import Device, DeviceModel, TrainingPlan
from mobile_export.transport import CloudClient, HttpTransport, Retries, Spool, take_part
from mobile_export.transport.client import TokenRefusedError
from mobile_export.transport.http import UnreachableError

pieces = load_file("tests/cloud/service_pieces.py")
record, logged, published, TABLE = pieces.record, pieces.logged, pieces.published, pieces.TABLE
transport = load_file("tests/mobile_export/transport_pieces.py")
GOLDEN, RUNTIME = transport.GOLDEN, transport.RUNTIME


class Served:
    """`ecct cloud serve` as a process, at one port, to be killed and started again."""

    def __init__(self, folder, *options, scheme="http"):
        self.folder, self.options = folder, options
        self.log, self.public = folder / "log", folder / "public"
        self.tokens = TokenStore(folder / "tokens.sqlite")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [
            sys.executable, "-c", "from ecct_tf.cli import main; main()", "cloud", "serve",
            self.public, "--log", self.log, "--tokens", self.tokens.path, "--port", self.port,
            "--requests-per-minute", 100_000, "--burst", 1000, *self.options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        line = self.process.stdout.readline()
        assert line.startswith("Serving "), line
        return self

    def end(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code


@pytest.fixture
def served(tmp_path):
    pytest.importorskip("uvicorn")
    found = []

    def serve(*options, **given):
        found.append(Served(tmp_path, *options, **given))
        return found[-1]

    yield serve
    for each in found:
        if each.process is not None and each.process.poll() is None:
            each.end()


def test_devices_and_a_service_that_is_killed_lose_no_answer_and_count_none_twice(served, tmp_path):
    model = DeviceModel(GOLDEN / "edge.tflite", runtime=RUNTIME)
    service, users, rounds = served(), (1, 2, 3), 3
    sizes = {"cloud_dim": 8, "queries": 4, "table": model.file.table_sha256, "users": users}
    published(service.public, round_number=0, **sizes)
    service.start()
    retries = Retries(attempts=10_000, first_seconds=0.02, most_seconds=0.02)

    def client(user, token):
        return CloudClient(
            HttpTransport(service.address, timeout_seconds=20),
            token,
            cache=tmp_path / f"cache-{user}",
            retries=retries,
        )

    clients = {user: client(user, service.tokens.issue(user)) for user in users}
    devices = {
        user: Device.create(
            tmp_path / "states" / f"{user}.state", model,
            user=user, history=[3, 1, 4, 15, 9, 26, user], profile=[1, 1], num_older=2,
        )
        for user in users
    }  # fmt: skip
    spools = {user: Spool(tmp_path / f"spool-{user}") for user in users}
    ended, kills = threading.Event(), [0]
    rng = random.Random(5)

    def kill():
        while kills[0] < 3 and not ended.wait(rng.uniform(0.0, 0.15)):
            service.end()
            kills[0] += 1
            service.start()

    trained = []
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for number in range(rounds):
            published(service.public, round_number=number, **sizes)
            for user in users:
                report = take_part(devices[user], clients[user], spools[user], TrainingPlan())
                trained.append(report.training.steps)
                # Asked again, it does nothing; its answer, sent again, is counted once.
                again = take_part(devices[user], clients[user], spools[user], TrainingPlan())
                assert again.training is None
                payload = model.envelope(
                    devices[user].state, devices[user].uplink(), created_at_seconds=int(time.time())
                )
                sent = clients[user].send([payload.to_bytes()] * 2)
                assert (sent.taken, sent.repeated) == (0, 2)
        # Killed between training and the answer: the next call answers without training again.
        published(service.public, round_number=rounds, **sizes)
        publication = clients[1].current()
        devices[1].take_part(clients[1].downlink(publication), TrainingPlan())
        state = devices[1].state
        report = take_part(devices[1], clients[1], spools[1], TrainingPlan())
        assert (report.training, report.sent.taken + report.sent.repeated) == (None, 1)
        assert devices[1].state is state
    finally:
        ended.set()
        killer.join()
    assert min(trained) > 0
    assert kills[0] > 0
    service.end()
    expected = [(user, number) for user in users for number in range(rounds)] + [(1, rounds)]
    assert sorted(logged(service.log)) == sorted(expected)


def test_a_full_disk_a_revoked_token_and_a_new_user(served, tmp_path):
    service = served()
    publication = published(service.public, round_number=5, users=(4, 7))
    service.start()
    retries = Retries(attempts=1)

    def client(user):
        token = service.tokens.issue(user)
        cache = tmp_path / f"cache-{user}"
        return CloudClient(HttpTransport(service.address), token, cache=cache, retries=retries)

    seven, spool, now = client(7), Spool(tmp_path / "spool"), int(time.time())
    assert seven.file(publication.item_table) == TABLE
    assert client(99).downlink(publication).user_embedding.tolist() == [5, 6, 7]
    spool.add(record(7, 1, created_at=now))
    spool.add(record(7, 2, created_at=now))
    # No file may grow: as on a full disk.
    unlimited = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    with pytest.raises(UnreachableError, match="answered 503"):
        spool.send(seven)
    assert len(spool) == 2
    assert logged(service.log) == []
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert spool.send(seven).taken == 2
    # A device takes a new token; then an operator ends all of them.
    assert seven.rotate_token()
    spool.add(record(7, 3, created_at=now))
    service.tokens.revoke(user=7)
    with pytest.raises(TokenRefusedError):
        spool.send(seven)
    assert len(spool) == 1
    assert service.end(signal.SIGTERM) == 0
    assert logged(service.log) == [(7, 1), (7, 2)]
    other = subprocess.run(
        [sys.executable, "-c", "from ecct_tf.cli import main; main()", "cloud", "token", "list",
         str(service.tokens.path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert other.stdout.count("7 ") >= 2


def test_the_certificate_is_checked_before_the_token_is_sent(served, tmp_path):
    made = _certificate(tmp_path)
    service = served("--tls-cert", made, "--tls-key", tmp_path / "key.pem", scheme="https")
    published(service.public)
    service.start()
    token = service.tokens.issue(7)
    der = ssl.PEM_cert_to_DER_cert(made.read_text())
    pin = hashlib.sha256(der).hexdigest()

    def current(**given):
        transport = HttpTransport(service.address, **given)
        cache = tmp_path / "cache"
        return CloudClient(transport, token, cache=cache, retries=Retries(attempts=1)).current()

    assert current(ca_file=made).round_number == 5
    assert current(ca_file=made, pins=["0" * 64, pin]).round_number == 5
    with pytest.raises(TransportError, match="none of those that are pinned; nothing was sent"):
        current(ca_file=made, pins=["0" * 64])
    with pytest.raises(TransportError, match="its certificate is not trusted"):
        current()


def _certificate(folder):
    """A certificate for 127.0.0.1 that vouches for itself."""
    path = folder / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", path],
        capture_output=True, check=False, env={**os.environ, "OPENSSL_CONF": "/dev/null"},
    )  # fmt: skip
    if made.returncode:
        pytest.skip("needs the command openssl")
    return path
