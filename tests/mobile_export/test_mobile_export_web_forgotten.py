"""What a browser's profile holds of a device that was forgotten: every byte of it is searched."""

import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from mobile_export.device.state import DeviceState
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.export import Labels, export_edge_model

WEB = Path(__file__).parents[2] / "mobile_export/web"
NOW = 1_790_001_000
USER, NEIGHBOUR = 918_273_645, 867_530_912
ROWS = [31, 17, 4, 15, 29, 9, 26, 12]
UNKNOWN = "unknown film 7b1e44c90a"
TOKEN, ROTATED = "ecct1-token-5f0c7d1b3a", "ecct1-token-c41dd28e96"
DOWNLINK_BODY = b"downlink of the user 8ce1b0a75d"
CONTROL = "a plain text that stays"


@pytest.fixture(scope="module")
def node():
    """The command, once the package's own packages are installed beside it."""
    if os.environ.get("ECCT_REQUIRE_NODE") != "1":
        pytest.skip("`make test-browser` runs it")
    command = shutil.which("node")
    if command is None or not (WEB / "node_modules").is_dir():
        pytest.fail("needs Node 20.11 or newer, LiteRT.js and Chromium: `make test-browser`")
    return command


@pytest.fixture(scope="module")
def in_profile(node):
    """`in_profile(profile, name, folder, argument)`: what an export of `forgotten.mjs` answers."""

    def in_profile(profile, name, folder, argument, *, kill=False):
        done = subprocess.run(
            [node, WEB / "checks/profile.mjs", profile, "forgotten.mjs", name, folder]
            + ["kill"] * kill,
            input=json.dumps(argument), capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return in_profile


@pytest.fixture(scope="module")
def model(works, table, task_of, weights_of, tmp_path_factory):
    """A file for a browser, with tokens."""
    work = works["linear"]
    profile = {
        f"c{n}": [f"v{k}" for k in range(1, size)]
        for n, size in enumerate(work.model.spec.profile_sizes)
    }
    tokens = [f"film {k}" for k in range(1, 41)]
    files = export_edge_model(
        work.model,
        weights_of(work),
        table,
        task=task_of(work),
        out=tmp_path_factory.mktemp("web"),
        static=(8, 5),
        labels=Labels(profile, tokens, {"run": "web", "user": None}),
    )
    return files[1].path


@pytest.fixture
def service():
    """The address of one that answers a page, with what a browser might keep."""

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer leaves at once: a page may close its connection between a head and a body.
        wbufsize = 1 << 16

        def log_message(self, *given):
            del given

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = {
                "/v1/uplinks": b'{"taken": 1, "repeated": 0, "too_old": 0}',
                "/v1/token": json.dumps({"token": ROTATED}).encode(),
                "/v1/downlink": DOWNLINK_BODY,
            }[self.path]
            self.send_response(200)
            # A service that allows the most: it is the page that keeps nothing.
            self.send_header("Cache-Control", "max-age=100000")
            self.send_header("Access-Control-Allow-Origin", "http://localhost")
            self.send_header("Access-Control-Allow-Headers", "authorization")
            self.send_header("Access-Control-Allow-Methods", "GET, PUT, POST")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_OPTIONS = answer  # noqa: N815 - http.server's names

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def asked_of(model, user, address):
    """What a device does, from its first interaction to its answer."""
    metadata = read_metadata(model.read_bytes())
    width = metadata["exchange"]["cloud_dim"]
    embedding = (np.arange(width) * 20 - 50).astype(np.int8).tobytes()
    queries = np.array([5, 35, 8, 1], "<i4").tobytes()
    return {
        "file": model.name,
        "user": user,
        "items": [*(f"film {row}" for row in ROWS), UNKNOWN],
        "times": [NOW - 10_000 + 977 * place for place in range(9)],
        "profile": {column["name"]: "v1" for column in metadata["profile"]},
        "downlink": (embedding + np.float16(2.0**-7).tobytes() + queries).hex(),
        "told": {
            "cloudVersion": 3,
            "round": 5,
            "tableSha256": metadata["items"]["table_sha256"],
        },
        "now": NOW,
        "token": TOKEN,
        "address": address,
    }


def planted_of(used, user):
    """What must not be found, by what it is."""
    texts = {
        "user": str(user),
        "unknown item": UNKNOWN,
        "token": TOKEN,
        "new token": ROTATED,
        "downlink": DOWNLINK_BODY.decode(),
    }
    found = {}
    for name, text in texts.items():
        for form in ("utf-8", "utf-16-le", "utf-16-be"):
            found[f"{name}, {form}"] = text.encode(form)
    found["user, number"] = user.to_bytes(4, "little")
    (key,) = (each for each in used["keys"] if each["device"] == str(user))
    found["key"] = bytes.fromhex(key["key"])
    found["key, text"] = key["key"].encode()
    for content in used["states"]:
        state = DeviceState.from_bytes(bytes.fromhex(content), name="browser")
        assert state.history.tolist() == ROWS
        found["history"] = np.array(ROWS, "<i4").tobytes()
        # A number that no other device has; what is repeated a compressed block may hold once.
        found[f"weights of round {state.round_number}"] = state.values[-4:].tobytes()
        found[f"seal of round {state.round_number}"] = bytes.fromhex(content)[-32:]
    found["answer"] = bytes.fromhex(used["record"])[-24:]
    return found


def holding(profile, planted):
    """Which files of a browser's profile have something planted, by what it is."""
    found, files = {}, [path for path in profile.rglob("*") if path.is_file()]
    assert sum(path.parent.name.endswith(".leveldb") for path in files) > 3
    for path in files:
        content = path.read_bytes()
        for name, needle in planted.items():
            if needle in content or needle in str(path).encode():
                found.setdefault(name, []).append(str(path.relative_to(profile)))
    return found


def plain(form):
    return {"control": CONTROL.encode(form)}


@pytest.mark.parametrize("kill", [False, True])
def test_no_byte_of_the_profile_holds_a_forgotten_device(
    in_profile, model, service, tmp_path, kill
):
    profile = tmp_path / "profile"
    uses = [
        in_profile(profile, "use", model.parent, asked_of(model, user, service))
        for user in (USER, NEIGHBOUR)
    ]
    assert "/v1/downlink" in uses[0]["problem"]
    assert uses[0]["rotated"] == ROTATED
    planted = planted_of(uses[0], USER)
    # Only the key's own file says whose device it is; all else is encrypted from the first write.
    kept = holding(profile, planted)
    assert sorted(kept) == ["key, text", "user, utf-8"]
    assert {path.split("/")[1] for paths in kept.values() for path in paths} == {"File System"}
    assert holding(profile, plain("utf-8")), "the search must find what IndexedDB has in plain"

    told = in_profile(profile, "forget", model.parent, asked_of(model, USER, service), kill=kill)
    assert told == {"history": len(ROWS), "kept": None, "answers": [], "newest": None}
    assert holding(profile, planted) == {}

    # The other device of the browser is as it was.
    other = in_profile(profile, "look", model.parent, asked_of(model, NEIGHBOUR, service))
    assert (other["history"], other["round"]) == (ROWS, 1)
    assert other["answers"] == [[5, uses[1]["record"]]]
    anew = in_profile(profile, "look", model.parent, asked_of(model, USER, service))
    assert anew == {"history": [], "round": 0, "answers": [], "newest": None}


def test_devices_that_an_earlier_version_kept_are_carried_over_and_encrypted(
    in_profile, model, service, tmp_path
):
    asked = asked_of(model, USER, service)
    used = in_profile(tmp_path / "first", "use", model.parent, asked)
    profile, record = tmp_path / "older", used["record"]
    given = {"user": USER, "state": used["states"][-1], "record": record, "round": 5}
    in_profile(profile, "older", model.parent, given)
    found = in_profile(profile, "look", model.parent, asked)
    assert found == {"history": ROWS, "round": 1, "answers": [[5, record]], "newest": 5}
    # Once: the second opening finds nothing to carry over.
    assert in_profile(profile, "look", model.parent, asked) == found
    in_profile(profile, "forget", model.parent, asked)
    drafts = {"draft": b"what a kill left"}
    assert holding(profile, drafts) == {}


def test_another_opener_is_refused_and_a_sweep_leaves_other_devices(in_profile, model, tmp_path):
    found = in_profile(tmp_path / "profile", "rivals", model.parent, {"user": USER})
    for case in ("anew", "stale", "removed", "begun"):
        assert "another opener changed it since" in found[case], case
    assert found["known"] == "done"
    assert found["kept"][:2] == [None, []]
    assert len(found["kept"][2]) == 80
    assert found["rows"] == [1, 0, 0]
    assert "expected what the device's key encrypted" in found["damaged"]
