"""The uplink log: what devices sent, as files that many may write and a job reads.

`UplinkLogWriter` appends records in TFRecord files under dated folders. `read_uplinks`
decodes and checks them thousands at a time, yields what is sound with the place it was
read up to, and puts the rest into the `Quarantine` with its reason. `LogContract` says
what is sound; `ReplayWindow` remembers which rounds of a user were seen, `AskedNotes`
which were asked. `export_parquet`
writes the same for analysts, `export_one_parquet` in one file. No TensorFlow here.
"""

from cloud.uplink_log.asked import ASKED_FOLDER, Asked, AskedItems, AskedNotes, Note
from cloud.uplink_log.compaction import Compacted, compact
from cloud.uplink_log.contract import LogContract
from cloud.uplink_log.decoding import Uplinks
from cloud.uplink_log.erasing import LogErasure, erase_from_log, look_in_log
from cloud.uplink_log.files import ConsumedFile, LogFile, LogPosition, list_log, log_files
from cloud.uplink_log.forgetting import ForgetNote, ForgetNotes, Forgotten, note_of
from cloud.uplink_log.holding import changing_log, reading_log
from cloud.uplink_log.listing import LeftOut, warn_of
from cloud.uplink_log.parquet import export_one_parquet, export_parquet
from cloud.uplink_log.quarantine import Quarantine
from cloud.uplink_log.reader import UplinkBatch, read_uplinks
from cloud.uplink_log.reasons import Reason, Rejected
from cloud.uplink_log.reingesting import Reingested, reingest
from cloud.uplink_log.replay import ReplayWindow
from cloud.uplink_log.writer import UplinkLogWriter

__all__ = [
    "ASKED_FOLDER",
    "Asked",
    "AskedItems",
    "AskedNotes",
    "Compacted",
    "ConsumedFile",
    "ForgetNote",
    "ForgetNotes",
    "Forgotten",
    "LeftOut",
    "LogContract",
    "LogErasure",
    "LogFile",
    "LogPosition",
    "Note",
    "Quarantine",
    "Reason",
    "Reingested",
    "Rejected",
    "ReplayWindow",
    "UplinkBatch",
    "UplinkLogWriter",
    "Uplinks",
    "changing_log",
    "compact",
    "erase_from_log",
    "export_one_parquet",
    "export_parquet",
    "list_log",
    "log_files",
    "look_in_log",
    "note_of",
    "read_uplinks",
    "reading_log",
    "reingest",
    "warn_of",
]
