"""What a file tells of the work of a device, and the sizes that follow from it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ecct_tf.config import FeatureConfig
from ecct_tf.edge import DeviceTask, EdgeModel, build_optimizer
from ecct_tf.errors import ConfigError, ExportError
from mobile_export.contract.samples import samples_of
from mobile_export.contract.signatures import Sizes, custom_codec_name, graph_codec

__all__ = ["check_exportable", "check_told", "device_settings", "file_sizes"]

_UNNAMED = {"loss": "bce", "distillation_loss": "tempered", "group_size": 1}


def device_settings(task: DeviceTask) -> dict[str, dict[str, Any]]:
    """The task as a file's metadata tells it: whoever runs the file takes its defaults from here.

    Args:
      task: what devices of the run do.

    Returns:
      The sections `samples`, `training`, `features` and `exchange`.
    """
    training = dataclasses.asdict(task.training)
    # Files of tables without it say nothing of it, as those of earlier releases.
    if task.counts_newest:
        training["counts_newest"] = True
    return {
        "samples": _samples(task),
        "training": {
            **training,
            "slot_starts": list(build_optimizer(task.training.optimizer).slot_starts),
            "group_size": task.group_size,
            "distillation_weight": task.distillation_weight,
        },
        "features": _features(task.features),
        "exchange": {**_exchange(task), "receives": task.receives},
    }


def _samples(task: DeviceTask) -> dict[str, Any]:
    settings = dataclasses.asdict(task.samples)
    # Files whose samples weigh alike say nothing of weights, as those of earlier releases.
    if not task.samples.half_life:
        del settings["half_life"]
    for name in ("grade", "weight"):
        if settings[name]["column"] is None:
            del settings[name]
    if not settings["targets"]:
        del settings["targets"]
    return settings


def _features(features: FeatureConfig) -> dict[str, Any]:
    settings = dataclasses.asdict(features)
    # Files that read no context say nothing of it, as those of earlier releases.
    del settings["context"]
    if features.context:
        # A list, for JSON of files is sorted by names, and the order says which code is whose.
        settings["context"] = [
            {"name": name, "values": list(words)} for name, words in features.context.items()
        ]
    return settings


def _exchange(task: DeviceTask) -> dict[str, Any]:
    settings = dataclasses.asdict(task.exchange)
    # Files of user embeddings say nothing of rows, as those of earlier releases.
    del settings["num_rows"]
    return settings


def check_exportable(task: DeviceTask) -> None:
    """Refuses devices whose cloud sends rows.

    Raises:
      ConfigError: so it is.
    """
    if task.exchange.num_rows:
        raise ConfigError(
            "export: the cloud of these devices sends rows (h_c and z_c of items that it chose), "
            "and exported files read a user embedding alone; simulate with it, or bring two towers "
            "(ecct.TwoTowerCloud), whose devices can be exported"
        )


def check_told(task: DeviceTask, metadata: Mapping[str, Any]) -> str:
    """Whether a file tells the settings of `task`.

    Returns:
      Some of them, in words.

    Raises:
      ExportError: one differs: a phone would train otherwise than the run's devices.
    """
    training = metadata["training"]
    # Files of before losses had names tell the one in words.
    told = {
        **metadata,
        "samples": dataclasses.asdict(samples_of(metadata)),
        "training": {
            "counts_newest": False,
            **(training if "group_size" in training else {**training, **_UNNAMED}),
        },
    }
    sections = {**device_settings(task), "samples": dataclasses.asdict(task.samples)}
    sections["training"].setdefault("counts_newest", False)
    sections["features"].setdefault("context", [])
    told["features"] = {"context": [], **told["features"]}
    for section, settings in sections.items():
        for name, ours in settings.items():
            # As JSON has it: no tuples.
            expected = list(ours) if isinstance(ours, tuple) else ours
            found = told[section].get(name)
            if found != expected:
                raise ExportError(
                    f"{section}.{name}: the run has {expected!r}, the file tells {found!r}; a "
                    "device would behave differently from the run's. Export the file again"
                )
    samples, used = task.samples, task.training
    return (
        f"loss {used.loss}, negatives {samples.negatives}, positions {samples.max_positions}, "
        f"held back {samples.guard_positions}, "
        f"batch {used.batch_size}, epochs {used.epochs}, {used.optimizer} "
        f"{used.learning_rate:g}/{used.private_learning_rate:g}"
    )


def file_sizes(
    model: EdgeModel,
    task: DeviceTask,
    *,
    trained: int,
    batch: int | None = None,
    candidates: int | None = None,
    item_rows: int = 0,
    row_bytes: int = 0,
) -> Sizes:
    """The sizes of a file.

    Args:
      model: the edge model.
      task: what the device does.
      trained: P, trained values.
      batch: B, None for a dynamic file.
      candidates: C, None for a dynamic file.
      item_rows: R, of a file that takes rows of items as an input.
      row_bytes: of each of them, its item's number included.

    Raises:
      ConfigError: the cloud sends rows.
    """
    check_exportable(task)
    slots = len(build_optimizer(task.training.optimizer).slot_starts)
    return Sizes(
        history_length=task.features.history_length,
        profile_columns=len(model.profile.rows),
        cloud_dim=model.spec.cloud_dim,
        embedding_dim=model.spec.embedding_dim,
        num_queries=task.exchange.num_queries,
        codec=graph_codec(task.exchange.codec),
        custom_codec=custom_codec_name(task.exchange.codec),
        with_logits=task.exchange.with_logits,
        with_noise=task.exchange.noise_multiplier > 0,
        weights=trained,
        state=trained * (1 + slots) + 1,
        batch=batch,
        candidates=candidates,
        clock_width=task.features.clock_width,
        context=tuple(task.features.context),
        targets=task.targets,
        item_rows=item_rows,
        row_bytes=row_bytes,
    )
