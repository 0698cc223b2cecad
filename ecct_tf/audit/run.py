"""The audit of a run: what its cloud received, against what it knew anyway.

Here alone private columns and newest interactions are read, out of the simulation's data set, and
nothing but aggregated figures leaves.
"""

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud import CloudRecommender
from ecct_tf.audit.columns import probe_column, secrets_of
from ecct_tf.audit.features import central_knowledge, received_features
from ecct_tf.audit.findings import Finding
from ecct_tf.audit.log import received_of_log
from ecct_tf.audit.membership import CloudScores, membership
from ecct_tf.audit.received import Answers, Received, answers_of
from ecct_tf.audit.reconstruction import Catalog, reconstruction
from ecct_tf.audit.sums import received_of_sums
from ecct_tf.config import RunConfig
from ecct_tf.data import Dataset, Side, cloud_view
from ecct_tf.errors import AuditError
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.store import FIELDS, NEVER
from ecct_tf.phases import phase
from ecct_tf.runs.opening import newest_checkpoint, run_experiment
from ecct_tf.simulation.checkpoints import Checkpoint
from ecct_tf.simulation.device_sums import INCREMENTS, POPULARITY
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.privacy_meter import PrivacyMeter
from ecct_tf.simulation.run_cloud import build_cloud, restored_cloud
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.sums_log import stored_sums
from ecct_tf.simulation.uplink_log import log_folder

__all__ = ["Audit", "audit_run", "check_auditable"]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

# Pairs of users and items whose scores are held at once, and users from which more tell nothing.
_PAIRS = 20_000_000
_FEWEST_USERS, _MOST_USERS = 200, 5_000
# Users below which no probe can learn and be tested.
_NEEDED_USERS = 20
_USERS_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Audit:
    """What a curious cloud learns from what it received.

    Attributes:
      run: name of the run folder.
      rounds: that the audited checkpoint has behind it.
      source: where the uplinks were kept.
      uplinks: how many are audited.
      users: whose they are; at most 5,000.
      seeds: partitions into folds, whose predictions are meaned.
      privacy: what devices gave away by the account; empty without noise.
      epsilon: the largest ε of all devices by what has noise; None without noise.
      findings: the figures.
      not_measured: what, and why.
      labels: whether the cloud without uplinks, which figures are held against, learned on from its
        own labels for as many rounds as the run's.
    """

    run: str
    rounds: int
    source: str
    uplinks: int
    users: int
    seeds: int
    privacy: str
    epsilon: float | None
    findings: tuple[Finding, ...]
    not_measured: dict[str, str]
    labels: bool = False

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Where uplinks add to what the cloud knew anyway, by the whole interval."""
        return tuple(each for each in self.findings if each.leaks)

    def as_dict(self) -> dict[str, Any]:
        """As `audit.json` has it."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {"format": 1, **fields, "findings": [each.as_dict() for each in self.findings]}


def check_auditable(config: RunConfig, *, where: str) -> None:
    """Refuses a run whose cloud received no uplink.

    Raises:
      AuditError: names the method, or the setting.
    """
    if config.method != "ecct":
        raise AuditError(
            f"{where}: expected a run of method ecct, whose cloud receives uplinks, got method "
            f"{config.method}, of whose devices no cloud receives a row. Audit a run of "
            "`ecct simulate --method ecct`"
        )
    if not config.exchange.up:
        raise AuditError(
            f"{where}: expected a run whose devices send uplinks, got exchange.up=false: its cloud "
            "received nothing to audit. Audit a run with exchange.up=true"
        )


def audit_run(
    path: Path, *, dataset: Dataset | None = None, seeds: int = 3, labels: bool = False
) -> Audit:
    """Audits the run in `path` at its newest checkpoint; writes nothing.

    Args:
      path: the run folder.
      dataset: the run's data, where a program handed it over.
      seeds: partitions into folds, whose predictions are meaned.
      labels: whether the cloud that never received an uplink learns on from its own labels, as the
        run's cloud did.

    Raises:
      AuditError: the cloud received no uplink, or too few users sent one.
      RunFolderError: `path` is no run folder.
      ExportError: the run has no checkpoint, or other data.
      CheckpointError: the checkpoints are damaged, or the cloud is not the one that learned.
    """
    folder = RunFolder.open(path)
    check_auditable(folder.config, where=str(path))
    checkpoint = newest_checkpoint(folder)
    experiment = run_experiment(folder, checkpoint, dataset=dataset)
    store = KnowledgeStore.from_arrays(
        {name: checkpoint.arrays[f"knowledge/{name}"] for name in FIELDS}
    )
    received = _received(folder, checkpoint, store, num_items=experiment.dataset.num_items)
    users = _audited(np.unique(received.users), experiment, where=str(path))
    answers = answers_of(received)
    answers = answers.taken(np.isin(answers.users, users))
    before, after = _scores(folder, checkpoint, experiment, store=store, users=users, labels=labels)
    findings, not_measured = _findings(
        experiment, answers, users=users, before=before, after=after, seeds=range(seeds)
    )
    meter = PrivacyMeter.of(folder.config, num_devices=len(experiment.groups))
    epsilon = None if meter is None else meter.epsilon(checkpoint.round_number)
    return Audit(
        run=folder.path.name,
        rounds=checkpoint.round_number,
        source=received.source,
        uplinks=int(np.isin(received.users, users).sum()),
        users=len(users),
        seeds=seeds,
        privacy="" if meter is None or epsilon is None else meter.account.told(epsilon),
        epsilon=epsilon,
        findings=tuple(findings),
        not_measured={
            **not_measured,
            **_never_measured(folder.config, received, stored=checkpoint.arrays.keys()),
        },
        labels=labels,
    )


def _received(
    folder: RunFolder, checkpoint: Checkpoint, store: KnowledgeStore, *, num_items: int
) -> Received:
    """All uplinks where the run has a log of them, else those that the checkpoint keeps.

    Of sums over devices: guesses at single answers where the run kept the sums, else the rows
    that its cloud made of them.
    """
    if folder.config.exchange.rows == "item":
        rounds = checkpoint.round_number
        sums = stored_sums(folder.path, folder.config, rounds=rounds, num_items=num_items)
        if sums is not None:
            return received_of_sums(sums, width=folder.config.edge.embedding_dim)
    log, logged = log_folder(folder.config, folder.path), None
    if log is not None:
        rounds = checkpoint.round_number
        logged = received_of_log(log, folder.config, store, rounds=rounds, num_items=num_items)
    return logged or Received.from_store(store)


def _audited(senders: Ids, experiment: Experiment, *, where: str) -> Ids:
    if len(senders) < _NEEDED_USERS:
        raise AuditError(
            f"{where}: expected uplinks of at least {_NEEDED_USERS} users, of whom an attacker "
            f"learns on some and is tested on the others, got {len(senders)}. Let more devices "
            "take part, or resume the run for more rounds"
        )
    room = _PAIRS // (experiment.dataset.num_items + 1)
    most = min(max(room, _FEWEST_USERS), _MOST_USERS)
    if len(senders) <= most:
        return senders
    drawn = np.random.default_rng([experiment.config.seed, 5]).choice(senders, most, replace=False)
    return np.sort(drawn)


def _scores(
    folder: RunFolder,
    checkpoint: Checkpoint,
    experiment: Experiment,
    *,
    store: KnowledgeStore,
    users: Ids,
    labels: bool,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """`[n, items + 1] float32` of a cloud before any uplink, and of the run's with all of them."""
    # As no device ever told it of pairs of items, either.
    untaught = build_cloud(experiment)
    if labels:
        with phase("teaching a cloud its own labels"):
            _learn_labels(untaught, store, rounds=checkpoint.round_number)
    with phase("opening the cloud's model"):
        taught = restored_cloud(experiment, checkpoint.arrays, folder.read_item_table())
    every = np.arange(experiment.dataset.num_items + 1, dtype=np.int32)
    parts = []
    for start in range(0, len(users), _USERS_AT_ONCE):
        some = users[start : start + _USERS_AT_ONCE].astype(np.int32)
        items = np.broadcast_to(every, (len(some), len(every)))
        number = checkpoint.round_number
        parts.append(
            (
                untaught.scores(some, items, knowledge=None, round_number=0),
                taught.scores(some, items, knowledge=store, round_number=number),
            )
        )
    before, after = (np.concatenate(each) for each in zip(*parts, strict=True))
    return before, after


def _learn_labels(cloud: CloudRecommender, store: KnowledgeStore, *, rounds: int) -> None:
    """Has a cloud learn for so many rounds of the users it heard of, and nothing of what they said.

    Args:
      cloud: that has received nothing; it is changed.
      store: of the run, for its shape and for who sent an uplink.
      rounds: of the run.
    """
    nothing = KnowledgeStore.empty(
        num_users=len(store.rounds),
        num_queries=store.items.shape[1],
        embedding_dim=store.embeddings.shape[2],
        num_earlier=store.num_earlier,
        by_row=True,
    )
    heard = store.rounds != NEVER
    for number in range(rounds):
        there = np.where(heard, number, NEVER).astype(np.int32)
        cloud.update(
            dataclasses.replace(nothing, rounds=there), round_number=number, use_logits=False
        )


def _findings(
    experiment: Experiment,
    answers: Answers,
    *,
    users: Ids,
    before: npt.NDArray[np.float32],
    after: npt.NDArray[np.float32],
    seeds: Sequence[int],
) -> tuple[list[Finding], dict[str, str]]:
    split, dataset = experiment.split, experiment.dataset
    with phase("probing private columns"):
        knowledge = central_knowledge(cloud_view(dataset, split), seed=experiment.config.seed)
        private = [each for each in dataset.user_columns if each.column.side is Side.FEDERATED]
        secrets, not_measured = secrets_of(private, users)
        told = received_features(answers, knowledge, users)
        findings = [
            finding
            for secret in secrets
            for finding in probe_column(
                secret, known=knowledge.users[users], received=told, seeds=seeds
            )
        ]
    if not private:
        not_measured["private columns"] = "the data has none"
    older = [split.older(int(user)).astype(np.int64) for user in users]
    newest = [
        np.setdiff1d(split.recent(int(user)), known).astype(np.int64)
        for user, known in zip(users, older, strict=True)
    ]
    some = np.flatnonzero([len(items) > 0 for items in newest])
    if len(some) < _NEEDED_USERS:
        for attack in ("membership", "reconstruction"):
            not_measured[attack] = "too few devices hold interactions that the cloud does not know"
        return findings, not_measured
    catalog = Catalog(
        users=users[some],
        older=[older[row] for row in some],
        newest=[newest[row] for row in some],
        before=before[some],
        after=after[some],
        popularity=knowledge.popularity,
    )
    answers = answers.taken(np.isin(answers.users, catalog.users))
    with phase("attacking membership"):
        found, refused = _membership(experiment, answers, catalog, seeds=seeds)
    with phase("reconstructing the newest items"):
        found += reconstruction(catalog, answers, k=experiment.config.evaluation.k, seeds=seeds)
    return findings + found, {**not_measured, **refused}


def _membership(
    experiment: Experiment, answers: Answers, catalog: Catalog, *, seeds: Sequence[int]
) -> tuple[list[Finding], dict[str, str]]:
    refused = dict[str, str]()
    stride = catalog.before.shape[1]
    row = np.searchsorted(catalog.users, answers.users)
    keys = row * stride + answers.items

    def held(items: Sequence[npt.NDArray[np.integer[Any]]]) -> npt.NDArray[np.bool_]:
        return np.isin(keys, np.concatenate([n * stride + own for n, own in enumerate(items)]))

    touched = [np.unique(experiment.split.touched(int(user))) for user in catalog.users]
    members = held(catalog.newest)
    # Those of validation and test come later: neither on the device nor strange to the user.
    kept = members | ~held(touched)
    answers, members = answers.taken(kept), members[kept]
    found_users = len(np.unique(answers.users[members]))
    if found_users < _NEEDED_USERS or members.all():
        refused["membership"] = (
            f"devices of {found_users} users were asked about one of their newest items, "
            f"{_NEEDED_USERS} are needed"
        )
        return [], refused
    row = row[kept]
    tables = catalog.before, catalog.before_places, catalog.after, catalog.after_places
    scores = CloudScores(*(each[row, answers.items].astype(np.float64) for each in tables))
    return membership(answers, members, scores, catalog.popularity, seeds=seeds), refused


def _never_measured(
    config: RunConfig, received: Received, *, stored: Collection[str]
) -> dict[str, str]:
    """What no audit measures; `stored` names what the checkpoint holds."""
    found = {}
    if received.source == "checkpoint":
        found["earlier uplinks"] = (
            "of sums a checkpoint keeps what the cloud made of them; the run folder keeps all with "
            "exchange.item_sums.keep=true"
            if config.exchange.rows == "item"
            else "a checkpoint keeps the newest of each user, and a few logits before"
            if config.exchange.uplink_log is None
            else f"the log {config.exchange.uplink_log} does not hold them as the run sent them"
        )
    if config.edge.shared != "none":
        found["shared weights"] = "they cross as a sum over devices; no single change is kept"
    for name, told in ((INCREMENTS, "pairs of items"), (POPULARITY, "items met lately")):
        if name in stored:
            found[told] = "they cross as a sum over devices"
    return found
