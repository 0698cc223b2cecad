"""Where workers are said to be, and where one may listen."""

import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from ecct_tf.config import RuntimeConfig, listed_workers, load_config
from ecct_tf.config.worker_addresses import worker_address
from ecct_tf.errors import ConfigError, EcctError
from ecct_tf.workers import WorkerSettings, channel_to, serve_worker, serving
from ecct_tf.workers.tls import server_context


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("2", ("local", "local")),
        ("1", ("local",)),
        ("local, 127.0.0.1:8470", ("local", "127.0.0.1:8470")),
        ("[::1]:1,localhost:2", ("[::1]:1", "localhost:2")),
    ],
)
def test_what_is_typed_is_the_setting(typed, expected):
    config = load_config(overrides=[f"runtime.workers={listed_workers(typed)}"])
    assert config.runtime.workers == expected


def test_no_worker_at_all_is_one_local_worker():
    assert load_config(overrides=[f"runtime.workers={listed_workers('0')}"]).runtime.workers == ()


@pytest.mark.parametrize("wrong", ["-1", "two", "a:b", ":1", '"', "a: 1"])
def test_what_names_no_worker_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"runtime\.workers"):
        load_config(overrides=[f"runtime.workers={listed_workers(wrong)}"])


def test_workers_beyond_this_machine_need_tls_or_a_private_network():
    with pytest.raises(ConfigError, match=r"in the open.*runtime\.workers_tls"):
        RuntimeConfig(workers=("10.0.0.7:8470",))
    for tls in ("private-network", "certificates"):
        assert RuntimeConfig(workers=("10.0.0.7:8470",), workers_tls=tls).workers_tls == tls


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "a.example"])
def test_a_worker_listens_here_alone_unless_somebody_says_more(host):
    with pytest.raises(ConfigError, match=r"mutual TLS.*--private-network"):
        WorkerSettings(host=host)
    assert WorkerSettings(host=host, private_network=True).host == host
    assert WorkerSettings().host == "127.0.0.1"


def test_a_port_that_is_taken_is_refused(monkeypatch):
    monkeypatch.setattr(serving, "worker_binary", lambda: Path("worker"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = WorkerSettings(port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="free port"):
            serve_worker(settings, ready=print)


def test_without_tff_there_is_no_worker_and_the_command_that_adds_it_is_named(monkeypatch):
    monkeypatch.setattr(serving, "worker_binary", lambda: None)
    with pytest.raises(EcctError, match=r"TFF|simulation"):
        serve_worker(WorkerSettings(port=0), ready=print)


@pytest.mark.parametrize("lacks", ["ca.pem", "cert.pem", "key.pem"])
def test_a_folder_for_tls_that_lacks_a_file_is_refused(lacks, certificates):
    folder = certificates("a")
    (folder / lacks).unlink()
    for use in (
        lambda: server_context(folder),
        lambda: channel_to(worker_address("127.0.0.1:1"), tls=str(folder)),
    ):
        with pytest.raises(ConfigError, match=lacks):
            use()


def test_the_key_of_another_certificate_is_refused(certificates):
    folder, other = certificates("a"), certificates("b")
    (folder / "key.pem").write_bytes((other / "key.pem").read_bytes())
    with pytest.raises(ConfigError, match="the key that of the certificate"):
        server_context(folder)


def test_only_known_clients_are_let_in(certificates):
    context = server_context(certificates("a"))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


ALONE = """
import socket
from ecct_tf.errors import ConfigError, EcctError
from ecct_tf.workers.network import leave_network
before = socket.create_server(("127.0.0.1", 0))
port = before.getsockname()[1]
try:
    leave_network()
except ConfigError as error:
    raise SystemExit(f"refused: {error}")
inner = socket.create_server(("127.0.0.1", 0))
socket.create_connection(inner.getsockname(), timeout=5).close()
try:
    socket.create_connection(("127.0.0.1", port), timeout=5)
except ConnectionRefusedError:
    print("alone")
"""


def test_a_network_of_ones_own_has_its_loopback_and_nothing_else():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60)
    if "refused: " in done.stderr:
        assert "--same-network" in done.stderr
        pytest.skip("the system allows no network of one's own")
    assert done.stdout == "alone\n", done.stderr
