"""What a run does before its first round, said while it does it.

At a terminal the phase under way stands in the last line; elsewhere nothing is shown. Either way
each phase leaves one line in the log, with its duration and the processor time of this process.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

__all__ = ["phase"]

_log = logging.getLogger(__name__)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Runs the body as the phase `name`.

    Args:
      name: what is done, with the size of it where that says why it takes long.
    """
    began, worked = time.monotonic(), time.process_time()
    with tqdm(total=1, desc=name, bar_format="{desc} …", leave=False, disable=None):
        yield
    _log.info(
        "%s: %.1f s, processors %.1f s",
        name,
        time.monotonic() - began,
        time.process_time() - worked,
    )
