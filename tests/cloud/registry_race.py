"""One of two processes that use a registry at once: `registry_race.py REGISTRY NAME ROUNDS`.

In each round it commits a version, waits for the other, and tries to promote its own over the
version that both saw. It prints a line of JSON for each round.
"""

import json
import sys
import time
from pathlib import Path

from cloud.registry import Registry
from ecct_tf.errors import PromotionConflictError


def commit(registry, text):
    with registry.draft() as draft:
        (draft.path / "saved_model").mkdir()
        (draft.path / "saved_model" / "saved_model.pb").write_text(text)
        return draft.commit(config={"job": text}).number


def meet(folder, name, point):
    """Waits until both are at `point`."""
    (folder / f"{point}-{name}").touch()
    while len(list(folder.glob(f"{point}-*"))) < 2:
        time.sleep(0)


def main(path, name, rounds):
    registry = Registry(path)
    meeting = path.parent / "meeting"
    meeting.mkdir(exist_ok=True)
    for number in range(rounds):
        own = commit(registry, f"{name}{number}")
        promoted = registry.promoted()
        expected = promoted.number if promoted else None
        meet(meeting, name, f"ready{number}")
        try:
            registry.promote(own, expected=expected)
            told = "won"
        except PromotionConflictError:
            told = "lost"
        line = json.dumps({"version": own, "expected": expected, "told": told})
        sys.stdout.write(f"{line}\n")
        meet(meeting, name, f"done{number}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
