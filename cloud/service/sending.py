"""An offer as the conditions, the range and the codings of a request have it."""

from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cloud.service.encoding import CompressedForms, admits_gzip, gzip_tag
from cloud.service.offers import DamagedOfferError, Offer
from cloud.service.ranges import UnsatisfiableRangeError, matches, requested_range

__all__ = ["sent"]

_BLOCK_BYTES = 1 << 18


def sent(
    request: Request,
    offer: Offer,
    *,
    forms: CompressedForms,
    kind: str = "application/octet-stream",
    cache: str | None = None,
) -> Response:
    """The answer to a request for an offer.

    Ranges are of the file as it is: a request with one gets no compressed form.

    Args:
      request: with its conditions.
      offer: what is asked for.
      forms: compressed ones, of offers that have one.
      kind: media type.
      cache: `Cache-Control`, in place of what follows from the offer.

    Raises:
      DamagedOfferError: the file of the offer is no longer what it was.
    """
    lasting = "public, max-age=31536000, immutable" if offer.lasting else "no-cache"
    headers = {"ETag": offer.etag, "Cache-Control": cache or lasting, "Accept-Ranges": "bytes"}
    if offer.compressible:
        headers["Vary"] = "Accept-Encoding"
    form = None if "Range" in request.headers or not _admits_gzip(request) else forms.of(offer)
    known = _known_tag(request, offer, is_compressed=form is not None)
    if known is not None:
        return Response(status_code=304, headers={**headers, "ETag": known})
    if form is not None:
        headers |= {"ETag": gzip_tag(offer.etag), "Content-Encoding": "gzip"}
        return _answer(request, form, (0, len(form)), 200, headers, kind)
    try:
        part = requested_range(
            request.headers.get("Range"),
            if_range=request.headers.get("If-Range"),
            etag=offer.etag,
            size=offer.num_bytes,
        )
    except UnsatisfiableRangeError:
        headers["Content-Range"] = f"bytes */{offer.num_bytes}"
        message = f"expected a range that begins within {offer.num_bytes} bytes"
        return JSONResponse({"error": message}, 416, headers)
    if part is None:
        return _answer(request, offer.content, (0, offer.num_bytes), 200, headers, kind)
    headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{offer.num_bytes}"
    return _answer(request, offer.content, part, 206, headers, kind)


def _admits_gzip(request: Request) -> bool:
    # A list may come in several lines.
    return admits_gzip(",".join(request.headers.getlist("Accept-Encoding")))


def _known_tag(request: Request, offer: Offer, *, is_compressed: bool) -> str | None:
    """The entity tag that the sender has, of either form; None where it has neither."""
    tags = [offer.etag]
    if offer.compressible:
        tags.insert(0 if is_compressed else 1, gzip_tag(offer.etag))
    known = request.headers.get("If-None-Match")
    return next((tag for tag in tags if matches(known, tag)), None)


def _answer(
    request: Request,
    content: bytes | Path,
    part: tuple[int, int],
    status: int,
    headers: dict[str, str],
    kind: str,
) -> Response:
    start, stop = part
    headers = {**headers, "Content-Length": str(stop - start)}
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    if isinstance(content, Path):
        blocks = _blocks_of_file(content, start, stop)
    elif stop - start <= _BLOCK_BYTES:
        return Response(content[start:stop], status, headers, media_type=kind)
    else:
        blocks = _blocks_of_bytes(content, start, stop)
    return StreamingResponse(blocks, status, headers, media_type=kind)


def _blocks_of_bytes(content: bytes, start: int, stop: int) -> Iterator[bytes]:
    for place in range(start, stop, _BLOCK_BYTES):
        yield content[place : min(stop, place + _BLOCK_BYTES)]


def _blocks_of_file(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop:
            block = file.read(min(_BLOCK_BYTES, stop - start))
            if not block:
                # The connection breaks, so that nobody takes a part for the whole.
                raise DamagedOfferError(f"{path}: it became shorter while it was sent")
            start += len(block)
            yield block
