"""What the service answers, as OpenAPI 3.1 has it."""

from typing import Any

from ecct_tf.version import __version__

__all__ = ["openapi"]

_JSON = "application/json"
_BYTES = "application/octet-stream"
_ERROR = {"$ref": "#/components/schemas/Error"}


def openapi() -> dict[str, Any]:
    """The document, which `/openapi.json` answers."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ECCT-TF: publication and uplinks",
            "version": __version__,
            "description": "What devices fetch of a publication, and how they answer the cloud.",
        },
        "security": [{"token": []}],
        "paths": {
            "/v1/current": {"get": _get("The content of current.json", _JSON, _object())},
            "/v1/files/{name}": {
                "get": _get(
                    "A file that current.json names: item table, delta, segments, start weights",
                    _BYTES,
                    _BINARY,
                    parameters=[_NAME, _ACCEPT_ENCODING],
                    headers=_CODED,
                )
            },
            "/v1/models/{name}": {
                "get": _get(
                    "An exported file or its manifest.json",
                    _BYTES,
                    _BINARY,
                    parameters=[_NAME, _ACCEPT_ENCODING],
                    headers=_CODED,
                )
            },
            "/v1/downlink": {
                "get": _get(
                    "The downlink of the token's user, as a file of one key", _BYTES, _BINARY
                )
            },
            "/v1/uplinks": {"put": _PUT},
            "/v1/token": {"post": _POST},
            "/healthz": {"get": _open("The process answers", _object(status="string"))},
            "/readyz": {
                "get": _open("The publication can be read and the log be written", _READY, 503)
            },
            "/metrics": {"get": _METRICS},
            "/openapi.json": {"get": _open("This document", _object(openapi="string"))},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _object(error="string"), "Receipt": _RECEIPT, "Token": _TOKEN},
        },
    }


def _object(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "properties": {name: {"type": kind} for name, kind in properties.items()},
    }


def _header(name: str, told: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": told, "schema": {"type": "string"}}


_BINARY = {"type": "string", "format": "binary"}
_RECEIPT = _object(taken="integer", repeated="integer", too_old="integer")
_TOKEN = _object(token="string", old_token_valid_seconds="integer")
_READY = _object(status="string", round="integer", cloud_version="integer")
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_CONDITIONS = [
    _header("If-None-Match", "The ETag of what the device has"),
    _header("Range", "One range of bytes; anything else is passed over"),
    _header("If-Range", "The ETag that the range is of"),
]
_ACCEPT_ENCODING = _header(
    "Accept-Encoding",
    "Where it admits gzip and there is no Range, the file may come compressed",
)
_ETAG = {"ETag": {"required": True, "schema": {"type": "string"}}}
_CODED = {
    "Content-Encoding": {
        "description": "Of a compressed answer, whose ETag is that of the file with -gzip",
        "schema": {"type": "string", "enum": ["gzip"]},
    },
    "Vary": {
        "description": "Of a file that may come compressed, however it comes",
        "schema": {"type": "string"},
    },
}


def _answers(*statuses: int) -> dict[str, Any]:
    told = {
        400: "No record, or a damaged one; `index` says which",
        401: "No valid token",
        403: "Not this token's: another user's record, or another kind of token",
        404: "There is none; a new user takes the segments",
        408: "The body did not come in time",
        413: "More bytes or records than a request may have",
        416: "The range begins behind the end",
        422: "A round that was not asked, or a time that cannot be; `index` says which record",
        429: "Too often; `Retry-After` says when again",
        503: "Busy, or the disk is full; `Retry-After` says when again",
    }
    found: dict[str, Any] = {}
    for status in statuses:
        found[str(status)] = {
            "description": told[status],
            "content": {_JSON: {"schema": _ERROR}},
        }
        if status in (429, 503):
            found[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return found


def _get(
    told: str,
    kind: str,
    schema: dict[str, Any],
    *,
    parameters: list[Any] | None = None,
    headers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    coded = headers or {}
    body = {"description": told, "headers": _ETAG | coded, "content": {kind: {"schema": schema}}}
    # A part of a file is no document, whatever the whole is, and never compressed.
    named = {name: coded[name] for name in coded if name != "Content-Encoding"}
    part = {
        "description": "The range that was asked for",
        "headers": _ETAG | named,
        "content": {kind: {}},
    }
    responses: dict[str, Any] = {
        "200": body,
        "206": part,
        "304": {"description": "As If-None-Match has it", "headers": _ETAG | named},
        **_answers(401, 403, 404, 416, 429, 503),
    }
    found = [*(parameters or []), *_CONDITIONS]
    return {"summary": told, "responses": responses, "parameters": found}


def _open(told: str, schema: dict[str, Any], *others: int) -> dict[str, Any]:
    responses = {"200": {"description": told, "content": {_JSON: {"schema": schema}}}}
    return {"summary": told, "security": [], "responses": responses | _answers(*others)}


_METRICS = {
    "summary": "Counts, for an operator's token",
    "responses": {
        "200": {
            "description": "Counts as Prometheus reads them",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **_answers(401, 403, 429, 503),
    },
}
_PUT = {
    "summary": "Hands over answers; 200 when they are on the disk",
    "description": "Records of UplinkRecord.to_bytes, one after another, all of the token's user. "
    "All of them are taken, or none. Sending again is safe: (user, round) is taken once. Where "
    "/v1/current has the header ECCT-Answer-By: place, they may be those of PlacedRecord.to_bytes; "
    "a refusal with answer_by: item asks for the same records with their items.",
    "requestBody": {"required": True, "content": {_BYTES: {"schema": _BINARY}}},
    "responses": {
        "200": {
            "description": "What became of them",
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Receipt"}}},
        },
        **_answers(400, 401, 403, 408, 413, 422, 429, 503),
    },
}
_POST = {
    "summary": "Exchanges the token for a new one; the old one stays valid for a while",
    "responses": {
        "200": {
            "description": "The new token, which is shown only once",
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Token"}}},
        },
        **_answers(401, 403, 429, 503),
    },
}
