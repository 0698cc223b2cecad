"""What each language makes of signed publications: a table that Kotlin and JavaScript read, too."""

import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from module_files import load_file

from ecct_tf.errors import SignatureError
from ecct_tf.wire.signing import PublicKey, SigningKey, check_signature, sign, signature_of

transport = load_file("tests/mobile_export/transport_pieces.py")
TABLE = transport.GOLDEN / "signatures.json"
NOW, DAY = 1_790_000_000, 86_400


def _key(number):
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)))


def _table():
    script = json.loads((transport.GOLDEN / "transport.json").read_text(encoding="utf-8"))
    plain = bytes.fromhex(script["current"]).decode()
    own, second, other = (_key(number) for number in (1, 2, 3))
    text = sign(plain, own, now=NOW)
    issued, name = signature_of(text).issued_at, own.public.fingerprint
    first = text.index('"ed25519": "') + len('"ed25519": "')
    flipped = "1" if text[first] == "0" else "0"
    foreign = sign(plain, other, now=NOW)
    forged = foreign.replace(other.public.fingerprint, name)
    body = plain.removesuffix("\n}\n")
    old = own.sign(b"ECCT publication 1\n" + body.encode()).hex()
    before = f',\n  "signature": {{"key": "{name}", "ed25519": "{old}"}}\n}}\n'
    fits, changed, none, by = "", "does not fit its content", "it has none", "it is by the key"
    cases = [
        ("signed", text, NOW, 0, fits),
        ("signed by the second of two keys", sign(plain, second, now=NOW), NOW, 0, fits),
        ("the same once more", text, NOW, issued, fits),
        ("on its last second", text, NOW + 90 * DAY - 1, issued, fits),
        ("expired", text, NOW + 90 * DAY, issued, "expired"),
        ("older than an accepted one", text, NOW, issued + 1, "before one that was accepted"),
        ("not signed", plain, NOW, 0, none),
        ("by another key", foreign, NOW, 0, by),
        ("by another key under a known name", forged, NOW, 0, changed),
        ("another round", text.replace('"round_number": 5', '"round_number": 6'), NOW, 0, changed),
        ("issued later", text.replace('"issued_at": 1', '"issued_at": 2'), NOW, 0, changed),
        ("expires later", text.replace('"expires_at": 1', '"expires_at": 2'), NOW, 0, changed),
        ("another signature", text[:first] + flipped + text[first + 1 :], NOW, 0, changed),
        ("something behind it", text + " ", NOW, 0, none),
        ("something within it", text.replace('"}\n}\n', '"},\n  "x": 9\n}\n'), NOW, 0, none),
        ("as before there were times", f"{body}{before}", NOW, 0, none),
    ]  # fmt: skip
    keys = [key.public.to_text().strip() for key in (own, second)]
    names = ("name", "text", "now", "newest", "refused")
    return {"keys": keys, "cases": [dict(zip(names, case, strict=True)) for case in cases]}


@pytest.fixture(scope="module")
def table():
    made = _table()
    if os.environ.get("WRITE_GOLDEN"):
        TABLE.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return made


def test_the_table_is_what_python_signs_now(table):
    assert json.loads(TABLE.read_text(encoding="utf-8")) == table


def test_python_judges_as_the_table_says(table):
    keys = [PublicKey.from_text(line) for line in table["keys"]]
    for case in table["cases"]:
        given = {"now": case["now"], "newest": case["newest"]}
        if not case["refused"]:
            assert check_signature(case["text"], keys, **given) == signature_of(case["text"])
            continue
        with pytest.raises(SignatureError, match=case["refused"]):
            check_signature(case["text"], keys, **given)
