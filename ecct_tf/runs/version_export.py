"""A version of the cloud as files for phones: what a run's export writes, from a registry alone."""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cloud.device_models import DeviceModels
from cloud.published_files import put, put_starts
from cloud.registry import Registry, Version
from cloud.version_files import StoredCloud
from ecct_tf.config import CodecName, RunConfig, Tier
from ecct_tf.config.table_names import table_form
from ecct_tf.edge import DeviceTask, EdgeModel
from ecct_tf.edge.start_files import start_file
from ecct_tf.errors import ExportError, RegistryError
from ecct_tf.knowledge import ExchangeSpec, ItemTable
from ecct_tf.knowledge.table_files import item_table_file, read_item_table_file
from ecct_tf.runs.version_settings import (
    changed_settings,
    check_settings,
    version_settings,
)
from ecct_tf.wire import digest_of
from mobile_export.flatbuffer.origin import fingerprint
from mobile_export.making.export import ExportedFile, Labels, export_edge_model

__all__ = ["VersionModels", "export_version", "open_version"]

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class VersionModels:
    """What the devices of a version run.

    Attributes:
      version: of the registry.
      stored: its content.
      devices: its edge models.
      table: the item table as devices receive it.
      form: in which it crosses.
      settings: how devices train and answer; `samples`, `training`, `edge.shared` and
        `exchange.answer_by` count.
      start_codec: how starting weights cross.
    """

    version: Version
    stored: StoredCloud
    devices: DeviceModels
    table: ItemTable
    form: str
    settings: RunConfig
    start_codec: CodecName

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """That there are."""
        return tuple(self.devices.specs)

    def model(self, tier: Tier) -> EdgeModel:
        """The edge model of a tier."""
        return self.devices.model(tier)

    def weights(self, tier: Tier) -> Array:
        """`[P] float32`, what a new device begins with, as it would receive it."""
        start = self.stored.starts.get(tier)
        if start is None:
            return self.model(tier).layout.initial(self.stored.seed)
        file, _ = start_file(start.model, start.weights, self.start_codec)
        return file.weights

    def task(self) -> DeviceTask:
        """What a device does: it pools and answers as the version says, and trains as told.

        Devices that start at random have nothing to fall back on, so none hold positions back.
        """
        exchange, settings = self.version.manifest.config["exchange"], self.settings
        samples = settings.samples
        if not self.stored.starts:
            samples = dataclasses.replace(samples, guard_positions=0)
        return DeviceTask(
            features=self.stored.features,
            samples=samples,
            counts_newest=self.table.counts_newest,
            training=settings.training,
            exchange=ExchangeSpec(
                cloud_dim=self.table.cloud_dim,
                embedding_dim=self.stored.edge_dim,
                num_queries=self.stored.num_queries,
                codec=exchange["codec"],
                clip_norm=exchange["clip_norm"],
                clip_logit=exchange["clip_logit"],
                noise_multiplier=exchange["noise_multiplier"],
                num_rows=self.stored.config.rows if self.table.row_dim else 0,
                answer_by=settings.exchange.answer_by,
            ),
            sharing=settings.edge.shared,
        )

    def labels(self, tier: Tier, *, profile: Mapping[str, Sequence[str]]) -> Labels:
        """Item ids, where the file comes from, and the values of private columns if given.

        Raises:
          ExportError: `profile` has other columns than the version's devices.
        """
        names, sets = self.devices.profile, self.devices.sets
        if profile and (names or sets) and list(profile) != [*names, *sets]:
            raise ExportError(
                f"profile: expected the values of {', '.join((*names, *sets))}, in this order, got "
                f"{', '.join(profile)}"
            )
        weights, manifest = self.weights(tier), self.version.manifest
        settings = dataclasses.asdict(self.task())
        return Labels(
            profile={name: values for name, values in profile.items() if name not in sets},
            sets={name: profile[name] for name in sets if name in profile},
            numbers=self.devices.numbers,
            items=self.stored.vocabulary.items,
            provenance={
                "cloud_version": self.version.number,
                "made": manifest.created_at,
                "seed": self.stored.seed,
                "weights": f"{tier}: a device that has not trained",
            },
            fingerprints={
                "settings": fingerprint(settings),
                "data": str(manifest.data["history"]["sha256"]),
                "vocabulary": fingerprint(
                    [
                        list(self.stored.vocabulary.items),
                        {name: list(values) for name, values in profile.items()},
                    ]
                ),
                "item_table": digest_of(item_table_file(self.table, self.form).to_bytes()),
                "weights": hashlib.sha256(np.ascontiguousarray(weights).tobytes()).hexdigest(),
            },
        )


def open_version(
    registry: Registry,
    *,
    number: int | None = None,
    settings: RunConfig | None = None,
    overrides: Iterable[str] = (),
    start_codec: CodecName = "float16",
) -> VersionModels:
    """Reads what devices of a version run.

    Args:
      registry: of the versions.
      number: of the version; None for the one in force.
      settings: how devices train, of which what `VersionModels.settings` names counts; None
        for what the version says, or the defaults of a run if an earlier release made it.
      overrides: `key=value`, over what the version says; without `settings`.
      start_codec: how starting weights cross, as `ecct cloud publish` is told.

    Raises:
      RegistryError: it is not stored or damaged, none is in force, or it does not say which edge
        models its devices run.
      ConfigError: `settings` pool histories, or answer, in another way than the version, or an
        override changes something else than how devices train.
    """
    version = registry.promoted() if number is None else registry.version(number)
    if version is None:
        raise RegistryError(
            f"{registry.path}: no version is in force; promote one (`ecct cloud promote`) or name "
            "the version to export"
        )
    stored = StoredCloud.of(version)
    if stored.devices is None:
        raise RegistryError(
            f"version {version.number}: expected device_models.json, which says what its devices "
            "run, it has none: an earlier release made it. Make a version with this one (`ecct "
            "cloud retrain`), or export a run (`ecct export`)"
        )
    exchange = version.manifest.config["exchange"]
    form = table_form(
        exchange.get("item_table"), codec=exchange["codec"], num_items=stored.table.num_items
    )
    table = read_item_table_file(item_table_file(stored.table, form))
    own = version_settings(version, stored)
    told = changed_settings(own, overrides) if settings is None else settings
    check_settings(told, own, version=version)
    return VersionModels(
        version,
        stored,
        stored.devices,
        table,
        form,
        told,
        start_codec,
    )


def export_version(
    models: VersionModels,
    out: Path,
    *,
    variants: Sequence[str] | None = None,
    tier: Tier | None = None,
    static: tuple[int, int] | None = None,
    profile: Mapping[str, Sequence[str]] | None = None,
    overwrite: bool = False,
) -> Iterator[ExportedFile]:
    """Writes files of each tier, their manifest and card, item table and starting weights.

    Args:
      models: of the version.
      out: folder; made when it is missing.
      variants: names out of `mobile_export.making.variants.VARIANTS`; None for the one in which
        the item table is exact.
      tier: the one to export; None for every one of the version.
      static: B and C of additional static-shape files.
      profile: for each private category in order, its name and the values of rows 1, 2, …; None
        leaves them out of the files.
      overwrite: whether files of another version in `out` may be replaced.

    Raises:
      ConfigError: a variant is unknown.
      ExportError: `out` has files of another version, or `profile` does not fit.
      RegistryError: the version lacks the tier, or this release builds another model for it.
    """
    task = models.task()
    for chosen in models.tiers if tier is None else [tier]:
        yield from export_edge_model(
            models.model(chosen),
            models.weights(chosen),
            models.table,
            task=task,
            out=out,
            variants=variants,
            static=static,
            labels=models.labels(chosen, profile=profile or {}),
            overwrite=overwrite,
        )
    put(out, "items", ".ecit", item_table_file(models.table, models.form).to_bytes())
    starts = models.stored.starts
    wanted = starts if tier is None else {name: s for name, s in starts.items() if name == tier}
    put_starts(out, wanted, models.start_codec)
