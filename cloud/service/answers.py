"""The records in a request: cut apart, read, and compared with who sent them and when."""

import dataclasses

from cloud.service.questions import Questions
from cloud.uplink_log.framing import MAX_CONTENT_BYTES
from ecct_tf.errors import CodecError, EcctError
from ecct_tf.wire import PlacedRecord, UplinkRecord, split_records
from ecct_tf.wire.record import PLACES_SCHEMA

__all__ = ["Limits", "RefusedAnswerError", "read_answers"]

_DAY_SECONDS = 86_400


class RefusedAnswerError(EcctError):
    """A record that can never be taken; none of its request was.

    Attributes:
      status: of the HTTP answer.
      index: of the record in the request.
      needs_items: whether the same answer with its items may be taken.
    """

    def __init__(self, message: str, *, status: int, index: int, needs_items: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.index = index
        self.needs_items = needs_items


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
    body: bytes,
    *,
    user: int,
    newest_round: int,
    now: float,
    limits: Limits,
    questions: Questions | None = None,
) -> tuple[UplinkRecord, ...]:
    """The records of a request, in their order.

    Whether their values are within the declared bounds is judged by the reader of the log.

    Args:
      body: records, one after another, as `UplinkRecord.to_bytes` or `PlacedRecord.to_bytes` makes
        them.
      user: whose token came with it.
      newest_round: that was asked.
      now: seconds since 1970.
      limits: what is taken.
      questions: that resolve answers by place; None takes none.

    Raises:
      RefusedAnswerError: with the first record that cannot be taken.
    """
    found: list[UplinkRecord | PlacedRecord] = []
    try:
        for content in split_records(body, most_bytes=MAX_CONTENT_BYTES):
            if _schema(content) == PLACES_SCHEMA:
                found.append(PlacedRecord.from_bytes(content))
            else:
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
    return tuple(
        record if isinstance(record, UplinkRecord) else _resolved(record, index, questions)
        for index, record in enumerate(found)
    )


def _schema(content: bytes) -> int:
    return int.from_bytes(content[4:6], "little")


def _resolved(record: PlacedRecord, index: int, questions: Questions | None) -> UplinkRecord:
    try:
        if questions is None:
            raise CodecError("answer by place: expected items; this service holds no questions")
        return questions.resolve(record)
    except CodecError as error:
        raise RefusedAnswerError(str(error), status=422, index=index, needs_items=True) from error
