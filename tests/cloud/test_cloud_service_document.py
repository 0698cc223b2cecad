"""What the service's OpenAPI document promises, asked of a running service by schemathesis."""

import pytest
from module_files import load_file

pytest.importorskip("uvicorn")
pytest.importorskip("schemathesis")
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from cloud.service.openapi import openapi

service = load_file("tests/cloud/test_cloud_service.py")
load_all_checks()

# The same cases each time, and no clock.
SETTINGS = settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
OPERATIONS = [
    (method.upper(), path)
    for path, operations in openapi()["paths"].items()
    for method in operations
]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    often = {"per_minute": 1e7, "burst": 10**6, "strangers": 10**6}
    found = service.Running(tmp_path_factory.mktemp("document"), **often)
    (found.folder / "models" / "edge.tflite").write_bytes(bytes(10_000))
    yield found
    found.stop()


@pytest.fixture(scope="module")
def schema(running):
    address = f"http://127.0.0.1:{running.socket.getsockname()[1]}"
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


def check(case, token):
    """Each status, header, kind of content and body is one that the document has."""
    # Bytes that are no record, and ranges behind the end, are refused as the document says.
    own = {"Authorization": f"Bearer {token}"}
    case.call_and_validate(headers=own, excluded_checks=[positive_data_acceptance])


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_asked_the_answer_is_as_the_document_says(running, schema, method, path):
    operation = schema[path][method]
    token = running.tokens.issue(None if path == "/metrics" else 7)
    names = {"/v1/files/{name}": [running.publication.item_table.path]}
    names["/v1/models/{name}"] = ["manifest.json", "edge.tflite"]

    @SETTINGS
    @given(case=operation.as_strategy(), name=st.sampled_from([None, *names.get(path, ())]))
    def ask(case, name):
        if name is not None:
            case.path_parameters = {"name": name}
        check(case, token)

    ask()


@pytest.mark.parametrize("kind", ["files", "models"])
def test_compressed_files_are_as_the_document_says(running, schema, kind):
    names = {"files": running.publication.item_table.path, "models": "edge.tflite"}
    operation = schema[f"/v1/{kind}/{{name}}"]["GET"]
    for headers in (
        {"Accept-Encoding": "gzip"},
        {"Accept-Encoding": "gzip", "If-None-Match": "*"},
        {"Accept-Encoding": "gzip", "Range": "bytes=0-9"},
        {"Accept-Encoding": "identity"},
    ):
        case = operation.Case(path_parameters={"name": names[kind]}, headers=headers)
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {running.token}"})
        coding = answer.headers.get("content-encoding")
        assert (coding == ["gzip"]) == (headers == {"Accept-Encoding": "gzip"})


def test_damaged_answers_are_refused_as_the_document_says(running, schema):
    sound = service.record(7, 4).to_bytes()
    operation = schema["/v1/uplinks"]["PUT"]

    @SETTINGS
    @given(place=st.integers(0, len(sound) - 1), byte=st.integers(0, 255), end=st.binary())
    def ask(place, byte, end):
        body = sound[:place] + bytes([byte]) + sound[place + 1 :] + end
        check(operation.Case(body=body, media_type="application/octet-stream"), running.token)

    ask()
