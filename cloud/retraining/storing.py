"""What a job stores: the trained recommender as a version of the cloud."""

import dataclasses
import logging
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.array_files import write_arrays
from cloud.columns import StoredColumns
from cloud.growth import grow_knowledge, grow_table
from cloud.ranker_serving import export_ranker_serving
from cloud.recommender import CloudRecommender
from cloud.registry import Draft, Registry, Version
from cloud.registry.version import SAVED_MODEL
from cloud.retraining.comparison import Comparison, carried_by
from cloud.retraining.config import JobConfig
from cloud.retraining.log_reading import WINDOW, WORK_NAME, write_files_read
from cloud.retraining.preparation import Prepared
from cloud.retraining.progress import Progress
from cloud.retraining.quality import by_user
from cloud.retraining.start import build_recommender, revived
from cloud.retraining.starts import device_models, edge_starts
from cloud.serving import ServingContent, export_serving
from cloud.user_rows import RowMaker, find_row_engine
from cloud.user_sources import FiledEmbeddings, FiledHistories
from cloud.user_states import UserStates
from cloud.version_files import StoredCloud
from ecct_tf.config.cloud_names import BUILT_IN_CLOUD
from ecct_tf.data import CloudView
from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.knowledge import ItemTable, KnowledgeStore
from ecct_tf.tensorflow_files import is_pattern

__all__ = ["store"]

_log = logging.getLogger(__name__)


def store(
    config: JobConfig,
    prepared: Prepared,
    trained: CloudRecommender,
    draft: Draft,
    *,
    folder: Path,
    progress: Progress,
) -> Version:
    """Trains the starting weights that are asked for, fills the draft and commits it.

    Args:
      config: the job.
      prepared: what the job worked with.
      trained: the recommender at the end of its training.
      draft: where to put it; what a kill left of an earlier attempt is removed.
      folder: of the job, which keeps what was trained of the starting weights.
      progress: says what was done.
    """
    engine = find_row_engine(config.engine.users)
    maker = RowMaker(engine, config.engine.beam, folder / WORK_NAME)
    stored = _stored(config, prepared, trained, folder=folder, maker=maker, progress=progress)
    shutil.rmtree(draft.path)
    draft.path.mkdir()
    stored.write(draft.path)
    write_arrays(draft.path / WINDOW, prepared.window, private=True)
    content = _serving_content(stored, draft.path, maker)
    if content.pairs is None:
        export_serving(content, draft.path / SAVED_MODEL)
    else:
        export_ranker_serving(content, draft.path / SAVED_MODEL)
    if is_pattern(draft.path):
        _log.warning(
            "%s: TensorFlow takes *, ?, [ and \\ in a path for a pattern, so it cannot load a "
            "SavedModel from here. The registry itself works; let TF Serving read it by another "
            "path, a mount or a link",
            config.registry,
        )
    version = draft.commit(
        data={
            **_data(prepared),
            "uplinks": write_files_read(draft.path, prepared.inputs.uplinks),
            "edge_starts": _about_starts(stored, prepared),
        },
        config=dataclasses.asdict(config),
        metrics=_metrics(config, prepared, trained),
    )
    shutil.rmtree(folder / WORK_NAME, ignore_errors=True)
    return version


def _stored(
    config: JobConfig,
    prepared: Prepared,
    trained: CloudRecommender,
    *,
    folder: Path,
    maker: RowMaker,
    progress: Progress,
) -> StoredCloud:
    # What was held out to measure is history again where the version serves.
    view = prepared.history.view
    serving = build_recommender(config, view, space=trained.space)
    serving.freeze()
    serving.restore(trained.snapshot())
    table = _table(prepared, serving)
    return StoredCloud(
        config=config.cloud,
        features=config.features,
        edge_dim=config.exchange.embedding_dim,
        num_queries=config.exchange.queries,
        seed=config.seed,
        space=serving.space,
        snapshot=serving.snapshot(),
        states=_states(serving, view, maker),
        older=view.older,
        table=table,
        knowledge=prepared.knowledge,
        round_number=prepared.inputs.round_number,
        vocabulary=prepared.history.vocabulary,
        devices=device_models(config, prepared.history, table),
        starts=edge_starts(config, prepared, table, folder=folder / "starts", say=progress.say),
        columns=StoredColumns.of(view) if config.cloud.model != BUILT_IN_CLOUD else None,
        origin=prepared.inputs.clouds,
    )


def _states(serving: CloudRecommender, view: CloudView, maker: RowMaker) -> npt.NDArray[Any]:
    """What the user tower reads of each user; of a custom cloud, the users' numbers."""
    states = serving.states
    if not isinstance(states, UserStates):
        return states
    return maker.make(
        "states",
        len(states),
        states.__getitem__,
        lambda folder: FiledHistories.write(folder, view=view, space=serving.space),
    )


def _serving_content(stored: StoredCloud, version: Path, maker: RowMaker) -> ServingContent:
    """What the SavedModel is made of; `version` has the files of `stored`."""
    users = len(stored.vocabulary.users)
    source = FiledEmbeddings(version.absolute(), secrets.token_hex(4))
    return ServingContent.of(
        stored, everybody=lambda here: maker.make("embeddings", users, here, lambda _: source)
    )


def _table(prepared: Prepared, serving: CloudRecommender) -> ItemTable:
    """In a warm chain the parent's, which devices hold, with rows for what is new."""
    parent = prepared.parent
    if parent is None or not prepared.inputs.warm:
        return serving.publish()
    if parent.table.num_items == prepared.history.view.num_items:
        return parent.table
    return grow_table(parent.table, serving.publish())


def _about_starts(stored: StoredCloud, prepared: Prepared) -> dict[str, Any]:
    """By tier: how many weights, of which architecture, and the version that they stay from."""
    before = {} if prepared.parent is None else prepared.parent.starts
    return {
        tier: {
            "weights": len(start.weights),
            "fingerprint": start.fingerprint,
            "kept_from": prepared.inputs.parent if before.get(tier) is start else None,
        }
        for tier, start in stored.starts.items()
    }


def _data(prepared: Prepared) -> dict[str, Any]:
    view, inputs = prepared.history.view, prepared.inputs
    times = view.older.timestamps
    return {
        "start": "warm" if inputs.warm else "scratch",
        "history": {
            "users": view.num_users,
            "items": view.num_items,
            "interactions": len(view.older.items),
            "first_timestamp_seconds": int(times.min()),
            "last_timestamp_seconds": int(times.max()),
            "sha256": inputs.fingerprint,
        },
        "forgotten": inputs.forgotten,
        "round_number": inputs.round_number,
        "users_heard_of": int((prepared.knowledge.rounds >= 0).sum()),
        "validation_users": len(prepared.validation.users),
    }


def _metrics(config: JobConfig, prepared: Prepared, trained: CloudRecommender) -> dict[str, float]:
    """Quality of the new version on what the gate held out, and the promoted one's beside it."""
    validation, k, metric = prepared.validation, config.validation.k, config.validation.metric
    after = _by_user(
        trained,
        prepared,
        knowledge=prepared.knowledge,
        round_number=prepared.inputs.round_number,
        k=k,
    )
    found = _means("validation", after)
    parent = prepared.parent
    if parent is None or prepared.inputs.parent is None:
        return found
    try:
        cloud = revived(parent, validation.view)
    except (CheckpointError, ConfigError) as error:
        # A job that starts from scratch needs nothing else of the promoted version's model.
        _log.warning("the promoted version cannot be compared with: %s", error)
        return found
    before = _by_user(
        cloud,
        prepared,
        knowledge=grow_knowledge(parent.knowledge, num_users=validation.view.num_users),
        round_number=parent.round_number,
        k=k,
    )
    manifest = Registry(config.registry).version(prepared.inputs.parent).manifest
    comparison = Comparison.of(
        after["cloud"][metric],
        before["cloud"][metric],
        confidence=config.gate.confidence,
        largest_loss=config.gate.largest_loss,
        carried=carried_by(manifest.metrics, metric),
    )
    return {**found, **_means("before", before), **comparison.metrics(metric)}


def _by_user(
    cloud: CloudRecommender,
    prepared: Prepared,
    *,
    knowledge: KnowledgeStore,
    round_number: int,
    k: int,
) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    """With the uplinks fused in, `cloud`, and without, `alone`."""
    return {
        name: by_user(
            cloud, prepared.validation.gate, knowledge=known, round_number=round_number, k=k
        )
        for name, known in (("cloud", knowledge), ("alone", None))
    }


def _means(
    prefix: str, measured: Mapping[str, Mapping[str, npt.NDArray[np.float64]]]
) -> dict[str, float]:
    return {
        f"{prefix}/{name}_{metric}": float(values.mean())
        for name, quality in measured.items()
        for metric, values in quality.items()
    }
