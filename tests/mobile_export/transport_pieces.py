"""What the tests of a device's side of the service share: a transport that does as it is told."""

import importlib.util
import json
from pathlib import Path

from mobile_export.transport import Answer, CloudClient, Retries
from mobile_export.transport.http import UnreachableError

GOLDEN = (
    Path(__file__).parents[2] / "mobile_export/android/ecct-edge-core/src/test/resources/golden"
)
RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") else "tensorflow"
AGAIN = Retries(attempts=4, sleep=lambda _: None)


class Scripted:
    """A transport that answers by functions, one request after another; the last one stays."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def ask(self, method, path, *, headers, body=b"", sink=None):
        self.asked.append((method, path, dict(headers), body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(headers, sink) if callable(answer) else answer


def told(status, body=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps(body or {}).encode())


def breaking(content, etag, *, after):
    """Sends `after` bytes of what is asked for, then breaks."""

    def ask(headers, sink):
        start = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            return told(416)
        status = 206 if headers.get("If-Range") == etag else 200
        part = content[start:] if status == 206 else content
        head = Answer(status, {}, b"")
        for place in range(0, min(after, len(part)), 1000):
            sink(head, part[place : min(place + 1000, after)])
        if after < len(part):
            raise UnreachableError("it broke")
        return head

    return ask


def client_of(tmp_path, *answers, retries=AGAIN):
    transport = Scripted(*answers)
    return transport, CloudClient(transport, "ecct1.x", cache=tmp_path / "cache", retries=retries)
