"""What a version of the cloud consists of on disk, beside its SavedModel.

    recommender.json   settings: cloud, features, widths, seed
    recommender.npz    input space, weights and optimiser, the user tower's inputs
    history.npz        the cloud's older interactions, which queries and retrieval leave out
    item_table.npz     the item table that devices hold of this version
    knowledge.npz      what is known of the uplinks, and its round
    vocabulary.json    original ids of users and items by number
    edge_starts.*      starting weights of edge models, where the job trained some
    device_models.json sizes of edge models, for files that are made of the version
    columns.*          centralized columns, where the cloud is one's own

Only the owner may read what is about single users: `history.npz`, `knowledge.npz`, `columns.npz`.
With them a recommender is built without the data that it was trained on. All of it comes
from a `CloudView` and from uplinks.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.array_files import read_arrays, write_arrays
from cloud.columns import StoredColumns
from cloud.device_models import DeviceModels
from cloud.edge_starts import EdgeStart, read_starts, write_starts
from cloud.features import category_matrix
from cloud.input_space import InputSpace
from cloud.origin import changed_clouds
from cloud.recommender import CloudRecommender
from cloud.registry import Version
from cloud.vocabulary import Vocabulary
from ecct_tf.config import CloudConfig, FeatureConfig, Tier
from ecct_tf.config.parsing import build
from ecct_tf.config.stored import complete_settings
from ecct_tf.data import CentralizedTable, CloudView, FeatureSchema, OlderInteractions
from ecct_tf.errors import ConfigError, RegistryError
from ecct_tf.files import read_plain_text, write_text
from ecct_tf.knowledge import ItemTable, KnowledgeStore
from ecct_tf.knowledge.table_arrays import item_table, item_table_arrays
from ecct_tf.plugins import Origin

__all__ = ["StoredCloud"]

Array = npt.NDArray[np.float32]
Arrays = Mapping[str, npt.NDArray[Any]]

_log = logging.getLogger(__name__)

_SECTIONS = ("cloud", "features")


@dataclasses.dataclass(frozen=True)
class StoredCloud:
    """A version as values.

    Attributes:
      config: the recommender's settings.
      features: how devices pool histories.
      edge_dim: d_e.
      num_queries: Q.
      seed: of the recommender.
      space: its input space.
      snapshot: its weights and optimiser, the item side frozen.
      states: `[users, s]`, the user tower's inputs.
      older: the cloud's interactions.
      table: the item table that devices hold.
      knowledge: the uplinks.
      round_number: the round that their staleness counts to.
      vocabulary: of users and items.
      starts: starting weights of edge models, by tier.
      devices: the edge models that devices run; None where the version does not say.
      columns: what a custom cloud reads; None for the library's own.
      origin: where the cloud's code came from, by its name, when the version was made.
    """

    config: CloudConfig
    features: FeatureConfig
    edge_dim: int
    num_queries: int
    seed: int
    space: InputSpace
    snapshot: Mapping[str, Array]
    states: npt.NDArray[Any]
    older: OlderInteractions
    table: ItemTable
    knowledge: KnowledgeStore
    round_number: int
    vocabulary: Vocabulary
    starts: Mapping[Tier, EdgeStart] = dataclasses.field(default_factory=dict)
    devices: DeviceModels | None = None
    columns: StoredColumns | None = None
    origin: Mapping[str, Origin] = dataclasses.field(default_factory=dict)

    def user_columns(self) -> Array:
        """`[users, c] float32`: the users' categories, as `space.user_categories` names them."""
        names = self.space.user_categories
        if self.columns is None:
            # They are the last columns of the user tower's inputs.
            return self.states[:, self.states.shape[1] - len(names) :]
        return category_matrix(self.columns.users, rows=len(self.vocabulary.users), names=names)

    def warn_of_changes(self) -> None:
        """Warns in the log if the code of the cloud is not what the version was made with.

        Raises:
          ConfigError: it cannot be imported.
        """
        for change in changed_clouds(self.origin):
            _log.warning("%s. What is computed now need not be what the version learned", change)

    def recommender(self) -> CloudRecommender:
        """The recommender of this version, ready to serve.

        That of the library's own cloud has no columns to train on.

        Raises:
          ConfigError: the cloud is one's own, and cannot be imported or built.
        """
        self.warn_of_changes()
        nothing = CentralizedTable(FeatureSchema("stored", ()), ())
        columns = self.columns or StoredColumns(nothing, nothing)
        cloud = CloudRecommender(
            CloudView(
                num_users=len(self.vocabulary.users),
                num_items=len(self.vocabulary.items),
                older=self.older,
                items=columns.items,
                users=columns.users,
            ),
            self.config,
            features=self.features,
            edge_dim=self.edge_dim,
            num_queries=self.num_queries,
            seed=self.seed,
            space=self.space,
            states=self.states if self.columns is None else None,
        )
        cloud.freeze()
        cloud.restore(self.snapshot)
        return cloud

    def write(self, folder: Path) -> None:
        """Writes the files into `folder`."""
        settings = {
            "cloud": dataclasses.asdict(self.config),
            "features": dataclasses.asdict(self.features),
            "edge_dim": self.edge_dim,
            "num_queries": self.num_queries,
            "seed": self.seed,
            "clouds": dict(self.origin),
        }
        write_text(folder / "recommender.json", json.dumps(settings, indent=2) + "\n")
        arrays = {f"space/{name}": value for name, value in self.space.to_arrays().items()}
        arrays |= {f"snapshot/{name}": value for name, value in self.snapshot.items()}
        write_arrays(folder / "recommender.npz", {**arrays, "states": self.states})
        write_arrays(folder / "history.npz", _fields(self.older), private=True)
        write_arrays(folder / "item_table.npz", item_table_arrays(self.table))
        store = {**_fields(self.knowledge), "round_number": np.array(self.round_number, np.int64)}
        write_arrays(folder / "knowledge.npz", store, private=True)
        tokens = dataclasses.asdict(self.vocabulary)
        write_text(folder / "vocabulary.json", json.dumps(tokens, ensure_ascii=False) + "\n")
        write_starts(folder, self.starts)
        if self.devices is not None:
            self.devices.write(folder)
        if self.columns is not None:
            self.columns.write(folder)

    @classmethod
    def of(cls, version: Version) -> "StoredCloud":
        """Reads a version of the registry once all its files are those that were committed.

        Raises:
          RegistryError: a file is missing, damaged or not listed in the manifest.
        """
        version.verify()
        return cls.read(version.path)

    @classmethod
    def read(cls, folder: Path) -> "StoredCloud":
        """Reads what `write` wrote, without a look at the manifest; see `of`.

        Raises:
          RegistryError: a file is missing or damaged.
        """
        recommender = read_arrays(folder / "recommender.npz", in_place=True)
        knowledge = read_arrays(folder / "knowledge.npz", in_place=True)
        starts = read_starts(folder)
        devices = DeviceModels.read(folder)
        columns = StoredColumns.read(folder)
        try:
            settings = json.loads(read_plain_text(folder / "recommender.json"))
            tokens = json.loads(read_plain_text(folder / "vocabulary.json"))
            known = complete_settings(
                {name: settings[name] for name in _SECTIONS},
                where="recommender.json",
                sections=_SECTIONS,
            )
            return cls(
                config=build(CloudConfig, known["cloud"]),
                features=build(FeatureConfig, known["features"]),
                edge_dim=settings["edge_dim"],
                num_queries=settings["num_queries"],
                seed=settings["seed"],
                space=InputSpace.from_arrays(_below(recommender, "space/")),
                snapshot=_below(recommender, "snapshot/"),
                states=recommender["states"],
                older=OlderInteractions(**read_arrays(folder / "history.npz")),
                table=item_table(read_arrays(folder / "item_table.npz")),
                round_number=int(knowledge.pop("round_number")),
                knowledge=KnowledgeStore.from_arrays(knowledge),
                vocabulary=Vocabulary(tuple(tokens["users"]), tuple(tokens["items"])),
                starts=starts,
                devices=devices,
                columns=columns,
                origin=settings.get("clouds", {}),
            )
        except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
            raise RegistryError(
                f"{folder}: expected the files of a version of the cloud: {error!r}. It is "
                "damaged or was written by another version of ECCT-TF; restore it from a copy."
            ) from error


def _fields(value: Any) -> dict[str, npt.NDArray[Any]]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _below(arrays: Arrays, prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
