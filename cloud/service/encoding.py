"""Which requests admit gzip, and the compressed forms of published files, each made once.

Starlette's `GZipMiddleware` would compress each answer anew, parts of files among them, keep the
entity tag of the uncompressed one, and take `gzip;q=0` for a wish.
"""

import re
import threading
from collections import OrderedDict

from cloud.service.offers import Offer
from ecct_tf.wire.compressed import compressed

__all__ = ["CompressedForms", "admits_gzip", "gzip_tag"]

# Of the forms that stay, and of a file that is compressed at all.
_MOST_BYTES = 1 << 28
# Of files whose form is known, those among them that gzip does not shorten.
_MOST_FORMS = 1000
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


def admits_gzip(header: str | None) -> bool:
    """Whether `Accept-Encoding` admits gzip, and does not prefer the file as it is.

    A coding whose weight is none is passed over.

    >>> admits_gzip("br;q=1.0, GZIP;q=0.5"), admits_gzip("*"), admits_gzip("*;q=0.1, gzip;q=0")
    (True, True, False)
    >>> admits_gzip(None), admits_gzip("identity"), admits_gzip("identity, gzip;q=0.9")
    (False, False, False)
    """
    weights: dict[str, float] = {}
    for part in (header or "").split(","):
        name, semicolon, given = part.partition(";")
        weight = _WEIGHT.fullmatch(given.strip()) if semicolon else None
        if weight is not None or not semicolon:
            weights[name.strip().lower()] = float(weight[1]) if weight else 1.0
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0.0 and gzip >= weights.get("identity", 0.0)


def gzip_tag(etag: str) -> str:
    """The entity tag of the compressed form of what has `etag`: its bytes are others.

    >>> gzip_tag('"ab"')
    '"ab-gzip"'
    """
    return f'{etag[:-1]}-gzip"'


class CompressedForms:
    """Compressed forms of files, by their content; the longest unused are dropped.

    One thread compresses at a time, so that requests for a new file do not take all threads of the
    service: whoever asks meanwhile takes the file as it is. Threads may share it.

    Args:
      most_bytes: of the forms that stay, and of a file that is compressed at all.
    """

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._compressing = threading.Lock()
        # None for a file that gzip does not shorten.
        self._forms: OrderedDict[str, bytes | None] = OrderedDict()

    def of(self, offer: Offer) -> bytes | None:
        """The compressed form of an offer; None where it goes as it is.

        Raises:
          DamagedOfferError: the file of the offer is no longer what it was.
        """
        if not offer.compressible or offer.num_bytes > self._most_bytes:
            return None
        is_known, form = self._known(offer.etag)
        if is_known or not self._compressing.acquire(blocking=False):
            return form
        try:
            # Another thread may have made it since.
            is_known, form = self._known(offer.etag)
            return form if is_known else self._made(offer)
        finally:
            self._compressing.release()

    def _known(self, etag: str) -> tuple[bool, bytes | None]:
        with self._lock:
            if etag not in self._forms:
                return False, None
            self._forms.move_to_end(etag)
            return True, self._forms[etag]

    def _made(self, offer: Offer) -> bytes | None:
        form: bytes | None = compressed(offer.read())
        if form is not None and len(form) >= offer.num_bytes:
            form = None
        with self._lock:
            self._forms[offer.etag] = form
            while len(self._forms) > _MOST_FORMS or self._kept_bytes() > self._most_bytes:
                self._forms.popitem(last=False)
        return form

    def _kept_bytes(self) -> int:
        return sum(len(form) for form in self._forms.values() if form is not None)
