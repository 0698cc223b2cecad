"""Where the cloud keeps what is about users, and what a step does there."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ecct_tf.wire.signing import SigningKey

__all__ = ["Places", "Step"]


@dataclasses.dataclass(frozen=True)
class Places:
    """Where to look.

    Attributes:
      registry: its folder.
      logs: folders of uplink logs.
      jobs: folders of jobs, or of folders of jobs.
      publications: folders that `ecct cloud publish` fills.
      tokens: files of `ecct cloud token`.
      quarantines: folders of refused records that are no job's and no log's own.
      key: signs publications anew; None where they are not signed.
    """

    registry: Path
    logs: tuple[Path, ...] = ()
    jobs: tuple[Path, ...] = ()
    publications: tuple[Path, ...] = ()
    tokens: tuple[Path, ...] = ()
    quarantines: tuple[Path, ...] = ()
    key: SigningKey | None = None


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that holds rows of the users, and how they leave it.

    Attributes:
      where: file or folder.
      what: that it holds of them.
      how: what becomes of it, `rewritten` or `removed`.
      run: does it; done twice it does nothing more.
    """

    where: Path
    what: str
    how: str
    run: Callable[[], object]
