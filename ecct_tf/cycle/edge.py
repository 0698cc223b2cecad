"""The edge side: files for the published item table, and a device for each user."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CodecName, Tier, data_title, tier_slug
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.data import DeviceView
from ecct_tf.data.profile import (
    ProfileShape,
    device_profile,
    private_numbers,
    private_sets,
    private_words,
    profile_shape,
)
from ecct_tf.errors import ConfigError
from ecct_tf.federated import DeviceWork
from ecct_tf.federated.server import begin_server
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_files import read_item_table_file
from ecct_tf.simulation.builder import assign_tiers, device_work
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.wire import CURRENT_NAME, DownlinkFile, ItemTableFile, Publication, StartFile
from mobile_export.device import DeviceFleet, DeviceModel
from mobile_export.device.moments import context_words
from mobile_export.making.export import Labels, export_edge_model
from mobile_export.making.items import exact_encoding
from mobile_export.runtime.interpreter import Runtime

__all__ = ["EdgeSide", "Fetched", "fetch"]

Array = npt.NDArray[np.float32]

# Of a static file: as many as a browser scores at once.
_CANDIDATES = 100


@dataclasses.dataclass(frozen=True)
class Fetched:
    """What devices find in the cloud's public folder.

    Attributes:
      publication: its `current.json`.
      downlinks: of all users.
      starts: starting weights of edge models, by tier; none where devices start at random.
    """

    publication: Publication
    downlinks: DownlinkFile
    starts: Mapping[str, StartFile]


def fetch(public: Path, *, codec: CodecName | None = None) -> Fetched:
    """Reads what is published.

    Args:
      public: the folder.
      codec: of the devices' own configuration; None for any of the library's.

    Raises:
      CodecError: when a file is damaged.
    """
    publication = Publication.from_json((public / CURRENT_NAME).read_text(encoding="utf-8"))
    downlinks = [
        DownlinkFile.from_bytes((public / file.path).read_bytes(), codec=codec)
        for file in publication.downlink_files
    ]
    starts = {
        start.tier: StartFile.from_bytes((public / start.file.path).read_bytes())
        for start in publication.starts
    }
    return Fetched(publication, DownlinkFile.joined(downlinks), starts)


class EdgeSide:
    """The devices of all tiers and their files.

    Args:
      experiment: the data; a device gets its own user's training part and nothing else.
      folder: of the cycles.
      runtime: what runs the files.
      devices: how many users have one, drawn from the seed; None for all.
      static: whether to export files with static shapes too, which browsers need.

    Raises:
      ConfigError: there are not so many users.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: CycleFolder,
        *,
        runtime: Runtime,
        devices: int | None = None,
        static: bool = False,
    ) -> None:
        self.experiment = experiment
        self._folder = folder
        self._runtime = runtime
        self._static = static
        config = experiment.config
        views = [view for (view,) in experiment.groups]
        tiers = assign_tiers(config.edge.tiers, num_devices=len(views), seed=config.seed)
        chosen = _drawn(len(views), devices, seed=config.seed)
        own = [(tiers[place], views[place]) for place in chosen]
        self.views: Mapping[Tier, list[DeviceView]] = {
            tier: [view for its, view in own if its == tier]
            for tier in sorted({tier for tier, _ in own})
        }

    @property
    def num_devices(self) -> int:
        """Devices of all tiers."""
        return sum(len(views) for views in self.views.values())

    def files(self, fetched: Fetched) -> Path:
        """The folder of the files that hold the published item table; made if it is missing."""
        out = self._folder.export / fetched.publication.item_table.sha256[:16]
        if out.exists():
            return out
        table = self.table(fetched)
        prepared = out.with_name(f".{out.name}.part")
        shutil.rmtree(prepared, ignore_errors=True)
        for tier in self.views:
            work = self._work(tier, table)
            export_edge_model(
                work.model,
                self._initial(work, fetched),
                table,
                task=work.task,
                out=prepared,
                variants=[f"trainable-{exact_encoding(table)}"],
                static=(work.task.batch_size, _CANDIDATES) if self._static else None,
                labels=self._labels(fetched),
            )
        prepared.rename(out)
        return out

    def begin(self, fetched: Fetched) -> None:
        """Makes the devices with the initial weights, where that was not done yet."""
        table = self.table(fetched)
        for tier, views in self.views.items():
            if self._folder.edge(tier, 0).exists():
                continue
            model = self._model(tier, fetched)
            work = self._work(tier, table)
            self._folder.write_edge(
                tier,
                0,
                states=[
                    # As a phone keeps it: a file with another table is adopted by its tokens.
                    model.labelled(
                        model.begin(
                            user=view.user,
                            history=view.history,
                            profile=device_profile(view, shape=work.model.profile),
                            num_older=view.num_older,
                            times=view.times,
                            context=context_words(view.context, values=model.file.kept_columns),
                        )
                    )
                    for view in views
                ],
                server=begin_server(self._initial(work, fetched)[: work.shared_size]),
            )

    def fleets(self, fetched: Fetched, *, cycle: int) -> dict[Tier, DeviceFleet]:
        """The devices after `cycle`, by tier, with the file of the published item table."""
        fleets = {}
        for tier in self.views:
            model = self._model(tier, fetched)
            states = self._folder.edge(tier, cycle) / "states"
            fleets[tier] = DeviceFleet(states, model).move_to(model)
        return fleets

    def table(self, fetched: Fetched) -> ItemTable:
        """The published item table as devices read it."""
        path = self._folder.public / fetched.publication.item_table.path
        return read_item_table_file(ItemTableFile.from_bytes(path.read_bytes()))

    def file_of(self, tier: Tier, fetched: Fetched, *, static: bool = False) -> Path:
        """The file that devices of a tier run with the published item table.

        Raises:
          ConfigError: one with static shapes is asked for, and the chain began without.
        """
        found = {
            path.stem.endswith(f"-c{_CANDIDATES}"): path
            for path in self.files(fetched).glob(f"edge-{tier_slug(tier)}-*.tflite")
        }
        if static not in found:
            raise ConfigError(
                f"{self.files(fetched)}: expected files with static shapes for browsers, it was "
                "made without; begin the cycles anew in another --out"
            )
        return found[static]

    def profile(self, tier: Tier, fetched: Fetched) -> ProfileShape:
        """The shape of the profiles that devices of a tier read."""
        return self._work(tier, self.table(fetched)).model.profile

    def _model(self, tier: Tier, fetched: Fetched) -> DeviceModel:
        codec = self.experiment.config.exchange.codec
        return DeviceModel(self.file_of(tier, fetched), runtime=self._runtime, codec=codec)

    def _work(self, tier: Tier, table: ItemTable) -> DeviceWork:
        profile = profile_shape(self.views[tier][0].profile.columns)
        return device_work(self.experiment.config, tier, table=table, profile=profile)

    def _initial(self, work: DeviceWork, fetched: Fetched) -> Array:
        """What a new device of a tier starts with, as it receives it: `[P] float32`."""
        config = self.experiment.config
        if config.edge.start == "random":
            return work.model.layout.initial(config.seed)
        start = fetched.starts.get(work.model.tier)
        if start is None:
            raise ConfigError(
                f"edge.start=cloud: expected starting weights of tier {work.model.tier!r} with "
                f"version {fetched.publication.cloud_version}, which has none; an earlier release "
                "made it. Start the cycles again in another --out"
            )
        start.check(work.model.fingerprint, where="the edge model of this configuration")
        return start.weights

    def _labels(self, fetched: Fetched) -> Labels:
        view = self.experiment.groups[0][0]
        return Labels(
            profile=private_words(view.profile.columns),
            numbers=private_numbers(view.profile.columns),
            sets=private_sets(view.profile.columns),
            items=self.experiment.dataset.item_tokens,
            provenance={
                "cloud_version": fetched.publication.cloud_version,
                "dataset": data_title(self.experiment.config.data),
                "seed": self.experiment.config.seed,
                "weights": "initial",
            },
        )


def _drawn(users: int, devices: int | None, *, seed: int) -> list[int]:
    """Which of `users` places have a device, in their order."""
    if devices is None:
        return list(range(users))
    if devices > users:
        raise ConfigError(
            f"devices: expected at most {users}, since the data have so many users, got {devices}"
        )
    drawn = np.random.default_rng([seed, 0xDE71CE]).choice(users, size=devices, replace=False)
    return sorted(drawn.tolist())
