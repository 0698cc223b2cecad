"""A copy of the sound base with fresh uplinks, and what must be learned from them."""

import dataclasses
import shutil
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.fuzz.data_case import Expect

__all__ = ["DAY", "Entry", "LogCase", "copy_base", "frame"]

DAY = "date=2026-01-05"


@dataclasses.dataclass
class Entry:
    """One record of the fresh part of the log.

    Attributes:
      content: its bytes.
      fate: `taken` when it must be learned; `refused` when it must not; `either` when another
        record of the same user and round may have come first.
    """

    content: bytes
    fate: Literal["taken", "refused", "either"] = "taken"


@dataclasses.dataclass
class LogCase:
    """A registry with a log.

    Attributes:
      folder: of all of it, laid out as the base.
      entries: what the fresh part of the log holds, in order.
      expect: what the job must do.
      check_may_refuse: `log check` may end with a refusal, too.
      settings: of the job, `key=value`.
      settings_decide: the settings, and not the entries alone, decide what is sound.
      new_users: ids that the history has grown by.
      new_items: ids of items.
    """

    folder: Path
    entries: list[Entry]
    expect: Expect = "either"
    check_may_refuse: bool = True
    settings: list[str] = dataclasses.field(default_factory=list)
    settings_decide: bool = False
    new_users: list[str] = dataclasses.field(default_factory=list)
    new_items: list[str] = dataclasses.field(default_factory=list)

    @property
    def registry(self) -> Path:
        """The registry's folder."""
        return self.folder / "registry"

    @property
    def log(self) -> Path:
        """The log's folder."""
        return self.folder / "log"

    def file(self, name: str) -> Path:
        """Where a file of the log's newest day lies; the day is made."""
        day = self.log / DAY
        day.mkdir(parents=True, exist_ok=True)
        return day / name

    def write(self, name: str = "fresh.tfrecord") -> Path:
        """Writes the entries as one file."""
        path = self.file(name)
        path.write_bytes(b"".join(frame(entry.content) for entry in self.entries))
        return path


def copy_base(base: Path, folder: Path, rng: np.random.Generator) -> LogCase:
    """Copies the base; every other time with a history that has grown."""
    shutil.copytree(base, folder, symlinks=True, dirs_exist_ok=True)
    with np.load(folder / "fresh.npz") as stored:
        case = LogCase(folder, [Entry(stored[name].tobytes()) for name in stored.files])
    if rng.random() < 0.5:
        case.new_users, case.new_items = ["u new", "Zoé"], ["i new"]
        with (folder / "history.csv").open("a", encoding="utf-8") as file:
            for user in case.new_users:
                for place, item in enumerate(["i new", "i1", "i2", "i3", "i4"]):
                    file.write(f"{user},{item},{1_700_001_000 + place}\n")
    return case


def frame(content: bytes) -> bytes:
    """`content` as a TFRecord file holds it."""
    from cloud.uplink_log.framing import frame as framed

    return framed(content)
