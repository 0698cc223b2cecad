"""Python's garbage collector while much is imported.

TensorFlow and TFF make half a million objects as they are imported, nearly all of which stay. The
collector would look at them again and again, which takes a second, and once more each time that
something is traced.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importing"]


@contextmanager
def importing() -> Iterator[None]:
    """Runs the body, which imports, without collections; what it made is never looked at again.

    For the command line, whose process does one thing: what is garbage by then stays in memory.
    Where TensorFlow is there already, as in tests, nothing changes.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
