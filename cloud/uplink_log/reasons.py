"""Why a record was not taken."""

import dataclasses
import enum

__all__ = ["Reason", "Rejected"]


class Reason(enum.StrEnum):
    """One reason for each record: the first that applies, in this order."""

    UNREADABLE_FILE = "unreadable_file"
    DAMAGED_FRAME = "damaged_frame"
    NOT_A_RECORD = "not_a_record"
    SCHEMA_VERSION = "schema_version"
    DAMAGED_RECORD = "damaged_record"
    WRONG_FORM = "wrong_form"
    WRONG_LENGTH = "wrong_length"
    WRONG_USER = "wrong_user"
    UNKNOWN_USER = "unknown_user"
    UNKNOWN_ITEM = "unknown_item"
    NOT_FINITE = "not_finite"
    EMBEDDING_NORM = "embedding_norm"
    ABSURD_LOGIT = "absurd_logit"
    FUTURE_ROUND = "future_round"
    FUTURE_VERSION = "future_version"
    FUTURE_TIME = "future_time"
    NOT_ASKED = "not_asked"
    FORGOTTEN = "forgotten"
    DUPLICATE = "duplicate"
    REPLAYED = "replayed"


@dataclasses.dataclass(frozen=True)
class Rejected:
    """One entry of the quarantine.

    Attributes:
      file: of the log, relative to its folder.
      offset: where the bytes begin in it; of a Parquet file the number of the row.
      reason: the first that applies.
      message: what was expected and what came.
      content: the original bytes: of a damaged frame the frame, else its content; of a file
        that cannot be read at all none.
    """

    file: str
    offset: int
    reason: Reason
    message: str
    content: bytes
