"""A sound registry with its log, made once and copied for each case.

schema.yaml, history.csv   the cloud's history
job.yaml                   a job of a few small steps
registry/                  version 1 from history alone, version 2 in force, after one round
log/                       that round's uplinks, which version 2 has read
fresh.npz                  honest answers to the round that version 2 asks, not in the log yet
"""

import time
from pathlib import Path

import numpy as np

from benchmarks.fuzz.command import Step, run
from benchmarks.fuzz.verdict import Fault

__all__ = ["EDGE_DIM", "QUERIES", "honest_answers", "make_base"]

QUERIES, EDGE_DIM = 4, 2
_USERS, _ITEMS = 24, 40
_SECONDS = 600.0

_JOB = """\
registry: registry
uplinks: log
history: all
data: {dataset: files, schema: schema.yaml}
features: {history_length: 4, last_items: 1}
exchange: {queries: 4, embedding_dim: 2}
cloud:
  rank: 2
  free_dim: 1
  hidden_dim: 4
  batch_size: 64
  update_batch_size: 16
  fit_epochs: 1
  update_epochs: 1
  next_item: {epochs: 0}
validation: {negatives: 12}
"""
_SCHEMA = "name: shop\ninteractions: {path: history.csv}\n"


def make_base(folder: Path, seed: int, step: Step) -> None:
    """Makes the files above in `folder`.

    Raises:
      Fault: a command on sound input did not end with exit code 0.
    """
    import tensorflow as tf

    # Tracing is what takes the time of jobs as small as these.
    tf.config.run_functions_eagerly(True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    lines = ["user,item,timestamp"]
    for user in range(_USERS):
        for place, item in enumerate(rng.choice(_ITEMS, rng.integers(5, 9), replace=False)):
            lines.append(f"u{user},i{item},{1_700_000_000 + 100 * place}")
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    (folder / "schema.yaml").write_text(_SCHEMA)
    (folder / "job.yaml").write_text(_JOB)
    for number in (1, 2):
        out = str(folder.with_name(f"base-job-{number}"))
        job = str(folder / "job.yaml")
        _sound(step, "cloud", "retrain", "--config", job, "--out", out, "--promote-anyway")
        _sound(step, "cloud", "publish", str(folder / "registry"), "--out", str(folder / "public"))
        answers = honest_answers(folder / "public", rng)
        if number == 1:
            _write_log(folder / "log", answers)
    np.savez(folder / "fresh.npz", *[np.frombuffer(a, np.uint8) for a in answers])


def honest_answers(public: Path, rng: np.random.Generator) -> list[bytes]:
    """A record of each user that answers what is published, as devices would send it."""
    from ecct_tf.wire import DownlinkFile, Publication, UplinkForm, UplinkRecord

    publication = Publication.from_json((public / "current.json").read_text())
    downlinks = DownlinkFile.from_bytes((public / publication.downlinks.path).read_bytes())
    form = UplinkForm(queries=QUERIES, embedding_dim=EDGE_DIM, codec="int8", with_logits=True)
    records = []
    for place, user in enumerate(downlinks.keys.tolist()):
        row = np.zeros((), form.dtype)
        row["user"], row["items"] = user, downlinks.records["queries"][place]
        row["embeddings"] = rng.integers(-127, 128, (QUERIES, EDGE_DIM))
        row["embedding_scales"], row["logit_scale"] = 0.03125, 0.0625
        row["logits"] = rng.integers(-127, 128, QUERIES)
        record = UplinkRecord(
            user=user,
            round_number=publication.round_number,
            cloud_version=publication.cloud_version,
            created_at_seconds=int(time.time()),
            form=form,
            payload=row.tobytes(),
        )
        records.append(record.to_bytes())
    return records


def _write_log(folder: Path, contents: list[bytes]) -> None:
    from cloud.uplink_log import UplinkLogWriter
    from ecct_tf.wire import UplinkRecord

    UplinkLogWriter(folder).append(map(UplinkRecord.from_bytes, contents), name="first")


def _sound(step: Step, *arguments: str) -> None:
    step(" ".join(arguments[:2]), _SECONDS)
    ran = run(*arguments)
    if ran.code:
        raise Fault(f"{ran.command}: expected exit code 0, got {ran.code}: {ran.error}")
