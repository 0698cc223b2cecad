"""JSON files that prove themselves: a field `sha256` covers all other fields."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["SEAL", "seal_json", "unseal_json"]

SEAL = "sha256"


def seal_json(body: Mapping[str, Any]) -> str:
    """The text of `body` with the SHA-256 of its content as one more field.

    Raises:
      TypeError: a value is nothing that JSON has.
      ValueError: a number is not finite, or `body` has a field `sha256` of its own.

    Example:
      >>> unseal_json(seal_json({"version": 3}))
      {'version': 3}
    """
    if SEAL in body:
        raise ValueError(f"expected no field {SEAL!r}, which is the seal's")
    # As it will be read: a tuple is a list then, and a number as a key a text.
    plain = json.loads(json.dumps(body, allow_nan=False))
    return json.dumps({**plain, SEAL: _digest(plain)}, indent=2, sort_keys=True) + "\n"


def unseal_json(text: str, *, unsealed_formats: Collection[object] = ()) -> dict[str, Any]:
    """The fields of a sealed text, without the seal.

    Args:
      text: what `seal_json` returned, in whatever layout.
      unsealed_formats: values of the field `format`, None where there is none, of texts from
        before there were seals; these need none.

    Raises:
      ValueError: it is not a JSON object, has no seal, or one that does not fit.
    """
    try:
        body = json.loads(text)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error
    if not isinstance(body, dict):
        raise ValueError(f"expected an object of fields, got {type(body).__name__}")
    told = body.pop(SEAL, None)
    if told is None and body.get("format") in unsealed_formats:
        return body
    computed = _digest(body)
    if told != computed:
        raise ValueError(f"its fields have SHA-256 {computed[:16]}…, it says {str(told)[:16]}…")
    return body


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
