"""Publications are signed by whom they should be, or refused with the fingerprints."""

import re
import stat
import time

import pytest
from click.testing import CliRunner
from module_files import load_file

from cloud.published_files import renew
from ecct_tf.cli import cli
from ecct_tf.errors import SignatureError
from ecct_tf.wire import CURRENT_NAME, Publication
from ecct_tf.wire.signed_files import check_publication
from ecct_tf.wire.signing import (
    VALID_DAYS,
    PublicKey,
    SigningKey,
    check_signature,
    sign,
    signature_of,
    unsigned,
)

pieces = load_file("tests/cloud/service_pieces.py")


NOW = int(time.time())
DAY = 86_400


@pytest.fixture(scope="module")
def key():
    return SigningKey.new()


@pytest.fixture
def public(tmp_path, key):
    folder = tmp_path / "public"
    publication = pieces.published(folder)
    (folder / CURRENT_NAME).write_text(sign(publication.to_json(), key, now=NOW))
    return folder


def test_a_signed_publication_is_read_as_it_was(public, key):
    text = (public / CURRENT_NAME).read_text()
    assert check_signature(text, [key.public], now=NOW) == signature_of(text)
    assert signature_of(text).fingerprint == key.public.fingerprint
    plain = unsigned(text)
    assert Publication.from_json(text).to_json() == plain
    # Signed once more it is signed once.
    assert sign(text, key, now=NOW) == text
    checked = check_publication(public, [SigningKey.new().public, key.public])
    assert (checked.signature.fingerprint, checked.files) == (key.public.fingerprint, 3)


def test_every_changed_character_is_refused(public, key):
    text = (public / CURRENT_NAME).read_text()
    for place in range(len(text)):
        other = "0" if text[place] != "0" else "1"
        with pytest.raises(SignatureError):
            check_signature(text[:place] + other + text[place + 1 :], [key.public], now=NOW)
    for changed in (
        text + "\n",
        text[:-1],
        '{"round_number": 9,' + text[1:],
        text.replace("\n", ""),
    ):
        with pytest.raises(SignatureError):
            check_signature(changed, [key.public], now=NOW)


def test_nothing_can_be_added_behind_what_is_signed(public, key):
    text = (public / CURRENT_NAME).read_text()
    end = text.rindex(',\n  "signature"')
    forged = text[:end] + ',\n  "round_number": 99' + text[end:]
    with pytest.raises(SignatureError, match="does not fit its content"):
        check_signature(forged, [key.public], now=NOW)
    with pytest.raises(SignatureError, match="it has none"):
        check_signature(
            text.replace('"}\n}\n', '"},\n  "round_number": 99\n}\n'), [key.public], now=NOW
        )


def test_unsigned_and_foreign_ones_are_refused_with_the_fingerprints(public, key):
    text = (public / CURRENT_NAME).read_text()
    other = SigningKey.new()
    with pytest.raises(SignatureError, match=f"{key.public.fingerprint}, it has none"):
        check_signature(unsigned(text), [key.public], now=NOW)
    expected = f"{other.public.fingerprint}, it is by the key {key.public.fingerprint}"
    with pytest.raises(SignatureError, match=expected):
        check_signature(text, [other.public], now=NOW)
    # Somebody who writes the right name under a signature of their own.
    forged = sign(text, other, now=NOW).replace(other.public.fingerprint, key.public.fingerprint)
    with pytest.raises(SignatureError, match="does not fit its content"):
        check_signature(forged, [key.public], now=NOW)


@pytest.mark.parametrize("stem", ["downlinks", "segments", "items"])
def test_a_file_that_was_not_signed_is_refused(stem, public, key):
    (path,) = public.glob(f"{stem}-*.*")
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    # Sealed anew, as somebody would who swaps a file.
    path.write_bytes(pieces.seal(bytes(content[:-32])))
    with pytest.raises(SignatureError, match="it was changed"):
        check_publication(public, [key.public])
    path.unlink()
    with pytest.raises(SignatureError, match="expected a file that"):
        check_publication(public, [key.public])


def test_keys_are_kept_and_refused(tmp_path):
    made = CliRunner().invoke(cli, ["cloud", "keys", "new", str(tmp_path / "key.pem")])
    assert made.exit_code == 0, made.output
    key = SigningKey.read(tmp_path / "key.pem")
    public = PublicKey.read(tmp_path / "key.pem.pub")
    assert (key.public, stat.S_IMODE((tmp_path / "key.pem").stat().st_mode)) == (public, 0o600)
    assert re.search(public.fingerprint, made.output)
    with pytest.raises(SignatureError, match="must not be lost"):
        SigningKey.new().write(tmp_path / "key.pem")
    for read in (SigningKey.read, PublicKey.read):
        with pytest.raises(SignatureError, match="nothing"):
            read(tmp_path / "nothing")
    with pytest.raises(SignatureError, match="expected a key to sign with"):
        SigningKey.read(tmp_path / "key.pem.pub")
    with pytest.raises(SignatureError, match="expected a line"):
        PublicKey.read(tmp_path / "key.pem")


def test_the_command_checks_a_folder(public, key, tmp_path):
    (tmp_path / "key.pub").write_text(key.public.to_text())
    given = ["cloud", "keys", "check", str(public), "--key", str(tmp_path / "key.pub")]
    checked = CliRunner().invoke(cli, given)
    assert f"signed by {key.public.fingerprint}, with 3 files" in checked.output
    assert "valid until 2" in checked.output


def test_a_signature_expires_and_is_renewed(public, key, tmp_path):
    text = (public / CURRENT_NAME).read_text()
    last = NOW + VALID_DAYS * DAY
    check_signature(text, [key.public], now=last - 1)
    with pytest.raises(SignatureError, match="expired 5 seconds ago"):
        check_signature(text, [key.public], now=last + 5)
    with pytest.raises(SignatureError, match="valid for a day or more: 0"):
        sign(text, key, now=NOW, valid_days=0)
    (public / CURRENT_NAME).write_text(sign(text, key, now=NOW - 3 * DAY, valid_days=1))
    key.write(tmp_path / "key.pem")
    given = ["cloud", "keys", "renew", str(public), "--sign", str(tmp_path / "key.pem")]
    done = CliRunner().invoke(cli, [*given, "--valid-days", "7"])
    assert "valid until 2" in done.output, done.output
    checked = check_publication(public, [key.public])
    assert checked.signature.expires_at - checked.signature.issued_at == 7 * DAY
    assert checked.publication == Publication.from_json(text)
    SigningKey.new().write(tmp_path / "other.pem")
    refused = CliRunner().invoke(cli, [*given[:-1], str(tmp_path / "other.pem")])
    assert refused.exit_code != 0
    assert isinstance(refused.exception, SignatureError) or "by the key" in refused.output


@pytest.mark.parametrize(("ahead", "warns"), [(10 * 365 * DAY, True), (7200, True), (60, False)])
def test_a_clock_that_ran_ahead_is_named_with_what_devices_do(public, key, ahead, warns, caplog):
    now = int(time.time())
    ran_ahead = sign((public / CURRENT_NAME).read_text(), key, now=now + ahead)
    (public / CURRENT_NAME).write_text(ran_ahead)
    signature = renew(public, key)
    assert ("this clock says" in caplog.text) == warns
    # Devices follow what continues from it, and nothing else.
    assert signature.issued_at == now + ahead + 1
    text = (public / CURRENT_NAME).read_text()
    check_signature(text, [key.public], now=now, newest=now + ahead)
    with pytest.raises(SignatureError, match="publish into the folder that has the one"):
        check_signature(sign(text, key, now=now), [key.public], now=now, newest=now + ahead)


def test_one_that_is_older_than_an_accepted_one_is_refused(key):
    first = sign("{\n}\n", key, now=NOW)
    # Published within the same second, or by a clock that was set back.
    second = sign("{\n}\n", key, now=NOW - DAY, replaces=first)
    issued = signature_of(second).issued_at
    assert issued == signature_of(first).issued_at + 1
    check_signature(second, [key.public], now=NOW, newest=issued)
    with pytest.raises(SignatureError, match="signed 1 seconds before one that was accepted"):
        check_signature(first, [key.public], now=NOW, newest=issued)


def test_a_known_signature():
    """RFC 8032, 7.1, test 2, so that another library is another judge."""
    public = PublicKey(
        bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    )
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert public.fits(signature, b"\x72")
    assert not public.fits(signature, b"\x73")
