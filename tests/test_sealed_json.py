"""JSON files that prove themselves."""

import json

import pytest

from ecct_tf.sealed_json import seal_json, unseal_json


def test_what_was_sealed_comes_back_whatever_the_layout():
    body = {"b": (1, 2.5), "a": {"ü": None, 3: "x"}, "format": 2}
    text = seal_json(body)
    # sha256 of {"a":{"3":"x","\\u00fc":null},"b":[1,2.5],"format":2}, by the tool sha256sum
    assert json.loads(text)["sha256"].startswith("62d355077aa2ac97")
    expected = {"b": [1, 2.5], "a": {"ü": None, "3": "x"}, "format": 2}
    assert unseal_json(text) == expected
    assert unseal_json(json.dumps(json.loads(text))) == expected


def test_no_flipped_bit_changes_the_meaning():
    body = {"format": 2, "version": 3, "note": "a", "ok": True}
    text = seal_json(body).encode()
    layouts = 0
    for place in range(len(text)):
        for bit in range(8):
            damaged = bytearray(text)
            damaged[place] ^= 1 << bit
            try:
                found = unseal_json(damaged.decode(), unsealed_formats=(None,))
            except ValueError:
                continue
            # A space that became a tab, for one.
            assert found == body
            layouts += 1
    assert layouts < len(text)


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": 1}', "[" * 100_000])
def test_what_is_no_sealed_object_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        unseal_json(text)


def test_a_text_from_before_is_taken_only_where_it_says_so():
    assert unseal_json('{"a": 1}', unsealed_formats=(None,)) == {"a": 1}
    with pytest.raises(ValueError, match="it says None"):
        unseal_json('{"a": 1, "format": 2}', unsealed_formats=(None, 1))


@pytest.mark.parametrize("body", [{"sha256": "x"}, {"a": float("nan")}])
def test_what_cannot_be_sealed_is_refused(body):
    with pytest.raises(ValueError, match=r".+"):
        seal_json(body)
