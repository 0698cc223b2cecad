"""The records in a request: cut apart, read, and compared with who sent them and when."""

import dataclasses

from cloud.uplink_log.framing import MAX_CONTENT_BYTES
from ecct_tf.errors import CodecError, EcctError
from ecct_tf.wire import UplinkRecord, split_records

__all__ = ["Limits", "RefusedAnswerError", "read_answers"]

_DAY_SECONDS = 86_400


class RefusedAnswerError(EcctError):
    """A record that can never be taken; none of its request was.

    Attributes:
      status: of the HTTP answer.
      index: of the record in the request.
    """

    def __init__(self, message: str, *, status: int, index: int) -> None:
        super().__init__(message)
        self.status = status
        self.index = index


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a service takes.

    Attributes:
      most_bytes: of a request.
      most_records: of a request.
      slack_seconds: how far a device's clock may be ahead.
      oldest_days: how long ago an answer may have been made.
    """

    most_bytes: int = 1 << 20
    most_records: int = 1_000
    slack_seconds: int = _DAY_SECONDS
    oldest_days: int = 90


def read_answers(
    body: bytes, *, user: int, newest_round: int, now: float, limits: Limits
) -> tuple[UplinkRecord, ...]:
    """The records of a request, in their order.

    Whether their values are within the declared bounds is judged by the reader of the log.

    Args:
      body: records, one after another, as `UplinkRecord.to_bytes` makes them.
      user: whose token came with it.
      newest_round: that was asked.
      now: seconds since 1970.
      limits: what is taken.

    Raises:
      RefusedAnswerError: with the first record that cannot be taken.
    """
    found: list[UplinkRecord] = []
    try:
        for content in split_records(body, most_bytes=MAX_CONTENT_BYTES):
            found.append(UplinkRecord.from_bytes(content))
            if len(found) > limits.most_records:
                raise RefusedAnswerError(
                    f"expected at most {limits.most_records} records in a request; send fewer",
                    status=413,
                    index=limits.most_records,
                )
    except CodecError as error:
        raise RefusedAnswerError(str(error), status=400, index=len(found)) from error
    if not found:
        raise RefusedAnswerError("expected at least one record, got none", status=400, index=0)
    for index, record in enumerate(found):
        if record.user != user:
            raise RefusedAnswerError(
                "the record is of another user than the token", status=403, index=index
            )
        if record.round_number > newest_round:
            raise RefusedAnswerError(
                f"expected an answer to one of the rounds to {newest_round}, got "
                f"{record.round_number}; fetch what is published now",
                status=422,
                index=index,
            )
        age = now - record.created_at_seconds
        if not -limits.slack_seconds <= age <= limits.oldest_days * _DAY_SECONDS:
            raise RefusedAnswerError(
                f"expected an answer of the last {limits.oldest_days} days, got one made "
                f"{abs(age) / _DAY_SECONDS:.1f} days {'ago' if age > 0 else 'ahead'}; set the "
                "device's clock",
                status=422,
                index=index,
            )
    return tuple(found)
