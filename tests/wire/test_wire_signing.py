"""Publications are signed by whom they should be, or refused with the fingerprints."""

import importlib.util
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from ecct_tf.cli import cli
from ecct_tf.errors import SignatureError
from ecct_tf.wire import CURRENT_NAME, Publication
from ecct_tf.wire.signed_files import check_publication
from ecct_tf.wire.signing import (
    PublicKey,
    SigningKey,
    check_signature,
    sign,
    signed_by,
    unsigned,
)


def _loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pieces = _loaded(Path(__file__).parents[1] / "cloud" / "service_pieces.py")


@pytest.fixture(scope="module")
def key():
    return SigningKey.new()


@pytest.fixture
def public(tmp_path, key):
    folder = tmp_path / "public"
    publication = pieces.published(folder)
    (folder / CURRENT_NAME).write_text(sign(publication.to_json(), key))
    return folder


def test_a_signed_publication_is_read_as_it_was(public, key):
    text = (public / CURRENT_NAME).read_text()
    assert check_signature(text, [key.public]) == key.public
    assert signed_by(text) == key.public.fingerprint
    plain = unsigned(text)
    assert Publication.from_json(text).to_json() == plain
    # Signed once more it is signed once.
    assert sign(text, key) == text
    checked = check_publication(public, [SigningKey.new().public, key.public])
    assert (checked.fingerprint, checked.files) == (key.public.fingerprint, 3)


def test_every_changed_character_is_refused(public, key):
    text = (public / CURRENT_NAME).read_text()
    for place in range(len(text)):
        other = "0" if text[place] != "0" else "1"
        with pytest.raises(SignatureError):
            check_signature(text[:place] + other + text[place + 1 :], [key.public])
    for changed in (
        text + "\n",
        text[:-1],
        '{"round_number": 9,' + text[1:],
        text.replace("\n", ""),
    ):
        with pytest.raises(SignatureError):
            check_signature(changed, [key.public])


def test_nothing_can_be_added_behind_what_is_signed(public, key):
    text = (public / CURRENT_NAME).read_text()
    end = text.rindex(',\n  "signature"')
    forged = text[:end] + ',\n  "round_number": 99' + text[end:]
    with pytest.raises(SignatureError, match="does not fit its content"):
        check_signature(forged, [key.public])
    with pytest.raises(SignatureError, match="it has none"):
        check_signature(text.replace('"}\n}\n', '"},\n  "round_number": 99\n}\n'), [key.public])


def test_unsigned_and_foreign_ones_are_refused_with_the_fingerprints(public, key):
    text = (public / CURRENT_NAME).read_text()
    other = SigningKey.new()
    with pytest.raises(SignatureError, match=f"{key.public.fingerprint}, it has none"):
        check_signature(unsigned(text), [key.public])
    expected = f"{other.public.fingerprint}, it is by the key {key.public.fingerprint}"
    with pytest.raises(SignatureError, match=expected):
        check_signature(text, [other.public])
    # Somebody who writes the right name under a signature of their own.
    forged = sign(text, other).replace(other.public.fingerprint, key.public.fingerprint)
    with pytest.raises(SignatureError, match="does not fit its content"):
        check_signature(forged, [key.public])


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
