"""The routes, over Starlette."""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cloud.service.answers import Limits, RefusedAnswerError, read_answers
from cloud.service.encoding import CompressedForms
from cloud.service.intake import BusyError, Intake, Receipt
from cloud.service.limits import RateLimit
from cloud.service.measured import Measured
from cloud.service.metrics import Metrics
from cloud.service.offers import DamagedOfferError, Offer, Offers
from cloud.service.openapi import openapi
from cloud.service.questions import Questions
from cloud.service.sending import sent
from cloud.service.tokens import Grant, TokenStore
from ecct_tf.errors import EcctError, TokenError
from ecct_tf.wire import UplinkRecord

__all__ = ["Service", "service_app"]

_log = logging.getLogger(__name__)

_BODY_SECONDS = 60.0
_RETRY_SECONDS = 5
_KEEP_TOKEN_SECONDS = 7 * 86_400
# Below this a log cannot be said to be writable for long.
_FREE_BYTES = 16 << 20
# Tells devices that answers by place are taken; those that do not know it send items.
_ANSWER_BY = {"ECCT-Answer-By": "place"}


class _Refused(Exception):  # noqa: N818  # an answer on its way, no error of the service
    def __init__(self, status: int, message: str, *, wait: float = 0.0, **told: Any) -> None:
        super().__init__(message)
        headers = {"Retry-After": str(max(1, round(wait + 0.5)))} if wait else {}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        self.response = JSONResponse({"error": message, **told}, status, headers)


class Service:
    """What the routes work with.

    Args:
      offers: what is published.
      tokens: of devices and operators.
      intake: of the log.
      log_folder: for the health of the disk.
      limits: of requests with answers.
      rate: of requests of one token.
      strangers: of requests without a valid token, by address.
      clock: seconds since 1970.
      questions: that resolve answers by place; None takes answers with items alone.
    """

    def __init__(
        self,
        *,
        offers: Offers,
        tokens: TokenStore,
        intake: Intake,
        log_folder: Path,
        limits: Limits,
        rate: RateLimit,
        strangers: RateLimit,
        clock: Callable[[], float] = time.time,
        questions: Questions | None = None,
    ) -> None:
        self.metrics = Metrics()
        self._forms = CompressedForms()
        self._questions = questions
        self._offers = offers
        self._tokens = tokens
        self._intake = intake
        self._log_folder = log_folder
        self._limits = limits
        self._rate = rate
        self._strangers = strangers
        self._clock = clock

    def current(self, request: Request) -> Response:
        """`GET /v1/current`."""
        self._user(request)
        answer = self._sent(request, self._offers.current(), kind="application/json")
        if self._questions is not None:
            answer.headers.update(_ANSWER_BY)
        return answer

    def file(self, request: Request) -> Response:
        """`GET /v1/files/{name}`."""
        self._user(request)
        return self._sent(request, self._offers.file(request.path_params["name"]))

    def model(self, request: Request) -> Response:
        """`GET /v1/models/{name}`."""
        self._user(request)
        return self._sent(request, self._offers.model(request.path_params["name"]))

    def downlink(self, request: Request) -> Response:
        """`GET /v1/downlink`."""
        offer = self._offers.downlink(self._user(request))
        return self._sent(request, offer, cache="private, no-cache")

    async def uplinks(self, request: Request) -> Response:
        """`PUT /v1/uplinks`."""
        user = await run_in_threadpool(self._user, request)
        body = await self._body(request)
        try:
            records = await run_in_threadpool(self._read, body, user)
        except RefusedAnswerError as error:
            told: dict[str, Any] = {"answer_by": "item"} if error.needs_items else {}
            raise _Refused(error.status, str(error), index=error.index, **told) from error
        try:
            future: Future[Receipt] = self._intake.offer(records)
            receipt = await asyncio.wrap_future(future)
        except BusyError as error:
            raise _Refused(503, str(error), wait=_RETRY_SECONDS) from error
        except (OSError, EcctError) as error:
            message = "the answers could not be written to the disk; send them again later"
            raise _Refused(503, message, wait=6 * _RETRY_SECONDS) from error
        found = {"taken": receipt.taken, "repeated": receipt.repeated, "too_old": receipt.too_old}
        return JSONResponse(found)

    def token(self, request: Request) -> Response:
        """`POST /v1/token`."""
        user = self._user(request)
        try:
            token = self._tokens.rotate(user, keep_seconds=_KEEP_TOKEN_SECONDS)
        except TokenError as error:
            _log.error("a token cannot be rotated: %s", error)
            raise _Refused(503, "tokens cannot be changed now", wait=_RETRY_SECONDS) from error
        told = {"token": token, "old_token_valid_seconds": _KEEP_TOKEN_SECONDS}
        return JSONResponse(told, headers={"Cache-Control": "no-store"})

    def health(self, request: Request) -> Response:
        """`GET /healthz`."""
        del request
        return JSONResponse({"status": "alive"})

    def ready(self, request: Request) -> Response:
        """`GET /readyz`."""
        del request
        folder = self._log_folder
        while not folder.exists():
            folder = folder.parent
        if shutil.disk_usage(folder).free < _FREE_BYTES:
            raise _Refused(503, "the disk of the uplink log is full", wait=_RETRY_SECONDS)
        publication = self._offers.publication()
        told = {"status": "ready", "round": publication.round_number}
        return JSONResponse({**told, "cloud_version": publication.cloud_version})

    def counts(self, request: Request) -> Response:
        """`GET /metrics`."""
        if self._grant(request).user is not None:
            raise _Refused(403, "expected the token of an operator, got that of a device")
        intake = self._intake
        gauges = {
            "uplinks_waiting": intake.waiting,
            "uplinks_taken_total": intake.taken,
            "uplinks_repeated_total": intake.repeated,
            "log_files_total": intake.files,
            "log_failures_total": intake.failures,
        }
        if self._questions is not None:
            gauges["answers_by_place_total"] = self._questions.resolved
            gauges["answers_by_place_refused_total"] = self._questions.unresolved
        return PlainTextResponse(self.metrics.text(gauges))

    def document(self, request: Request) -> Response:
        """`GET /openapi.json`."""
        del request
        return JSONResponse(openapi())

    def _grant(self, request: Request) -> Grant:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        address = request.client.host if request.client else ""
        try:
            grant = self._tokens.find(token.strip()) if scheme.lower() == "bearer" else None
        except TokenError as error:
            _log.error("tokens cannot be read: %s", error)
            raise _Refused(503, "tokens cannot be read now", wait=_RETRY_SECONDS) from error
        if grant is None:
            wait = self._strangers.wait_seconds(address)
            if wait:
                raise _Refused(429, "too many requests without a valid token", wait=wait)
            raise _Refused(401, "expected a valid token: Authorization: Bearer ecct1.…")
        wait = self._rate.wait_seconds(grant.id if grant.user is None else grant.user)
        if wait:
            raise _Refused(429, "too many requests of this device", wait=wait)
        return grant

    def _sent(self, request: Request, offer: Offer | None, **given: Any) -> Response:
        """As `sending.sent`, or refused where there is no offer."""
        if offer is None:
            raise _Refused(404, "there is none; a new user takes the segments file")
        return sent(request, offer, forms=self._forms, **given)

    def _user(self, request: Request) -> int:
        user = self._grant(request).user
        if user is None:
            raise _Refused(403, "expected the token of a device, got that of an operator")
        return user

    def _read(self, body: bytes, user: int) -> tuple[UplinkRecord, ...]:
        """The answers of a request, as `read_answers`."""
        newest = self._offers.publication().round_number
        return read_answers(
            body,
            user=user,
            newest_round=newest,
            now=self._clock(),
            limits=self._limits,
            questions=self._questions,
        )

    async def _body(self, request: Request) -> bytes:
        most = self._limits.most_bytes
        told = request.headers.get("Content-Length", "")
        if told.isdecimal() and int(told) > most:
            raise _Refused(413, f"expected at most {most} bytes, got {told}; send fewer records")
        body = bytearray()

        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for part in request.stream():
                    body.extend(part)
                    if len(body) > most:
                        raise _Refused(413, f"expected at most {most} bytes; send fewer records")
        except TimeoutError as error:
            message = f"the body did not come within {_BODY_SECONDS:g} seconds"
            raise _Refused(408, message) from error
        except ClientDisconnect as error:
            raise _Refused(400, "the body ended before its length") from error
        return bytes(body)


def service_app(
    service: Service,
    *,
    origins: Sequence[str] = (),
    on_end: Callable[[], None] = lambda: None,
) -> Any:
    """The application, for uvicorn or any other server of ASGI.

    Args:
      service: what it works with.
      origins: of web pages whose devices may ask; a browser gives others no answer.
      on_end: called when the server ends, after the last request.
    """
    routes = [
        Route("/v1/current", service.current),
        Route("/v1/files/{name}", service.file),
        Route("/v1/models/{name}", service.model),
        Route("/v1/downlink", service.downlink),
        Route("/v1/uplinks", service.uplinks, methods=["PUT"]),
        Route("/v1/token", service.token, methods=["POST"]),
        Route("/healthz", service.health),
        Route("/readyz", service.ready),
        Route("/metrics", service.counts),
        Route("/openapi.json", service.document),
    ]
    handlers = {
        _Refused: _refused,
        DamagedOfferError: _damaged,
        HTTPException: _unknown,
        Exception: _failed,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, middleware=_pages(origins))
    patterns = {route.endpoint.__name__: route.path for route in routes}
    return Measured(app, service.metrics, routes=patterns, on_end=on_end)


def _pages(origins: Sequence[str]) -> list[Middleware]:
    """What lets pages of `origins` read the answers; none where there are no origins."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "HEAD", "PUT", "POST"],
            allow_headers=["Authorization", "Content-Type", "If-None-Match", "If-Range", "Range"],
            expose_headers=["ETag", "Retry-After", "Content-Range", *_ANSWER_BY],
            max_age=600,
        )
    ]


async def _refused(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, _Refused):
        raise error
    return error.response


async def _unknown(request: Request, error: Exception) -> Response:
    """Of a path or a method that there is not."""
    del request
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _damaged(request: Request, error: Exception) -> Response:
    del request
    _log.error("%s", error)
    message = "what is published cannot be read now; try again later"
    return _Refused(503, message, wait=6 * _RETRY_SECONDS).response


async def _failed(request: Request, error: Exception) -> Response:
    del request, error
    return _Refused(500, "the service failed; its log has the reason").response
