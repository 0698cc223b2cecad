"""What is measured of a cycle: quality on both sides, uplinks, and bytes that crossed."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Literal

import numpy.typing as npt

from cloud.registry import Registry
from cloud.version_files import StoredCloud
from ecct_tf.config import CodecName, Tier
from ecct_tf.cycle.edge import Fetched
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.cycle.quality import cloud_scores, edge_scores, edge_target_logits
from ecct_tf.data.outcomes import target_names
from ecct_tf.evaluation import evaluate_scores, target_quality
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.sharing import ShareSchedule
from ecct_tf.knowledge import build_codec
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.target_outcome import tested_labels
from ecct_tf.wire import placed_bytes
from ecct_tf.wire.record import CRC_BYTES, HEADER
from mobile_export.contract.wire import uplink_form
from mobile_export.device import DeviceFleet

__all__ = ["CycleMeasures", "target_aucs"]

_RANKING_AUC = re.compile("edge_test_(.+)_ranking_auc")


@dataclasses.dataclass(frozen=True)
class CycleMeasures:
    """A cycle at its end, as columns of `metrics.csv`.

    Attributes:
      experiment: the data.
      folder: of the cycles.
      fetched: what is published now.
      fleets: the devices, by tier.
      servers: the shared weights, by tier.
      codec: of the shared weights.
      schedule: in which rounds they cross, counted over all cycles.
      rounds_per_cycle: rounds of a cycle.
    """

    experiment: Experiment
    folder: CycleFolder
    fetched: Fetched
    fleets: Mapping[Tier, DeviceFleet]
    servers: Mapping[Tier, ServerState]
    codec: CodecName
    schedule: ShareSchedule
    rounds_per_cycle: int

    def heard(self, version: int) -> dict[str, int]:
        """Uplinks that the job which made `version` read, and refused."""
        uplinks = Registry(self.folder.registry).version(version).manifest.data["uplinks"]
        rejected = sum(uplinks["rejected"].values())
        return {"uplinks_read": int(uplinks["read"]), "uplinks_rejected": int(rejected)}

    def quality(
        self, part: Literal["validation", "test"], *, measure: bool, cycle: int
    ) -> dict[str, float | str]:
        """HR and NDCG of both sides for users with a device; blanks where nothing is measured.

        Args:
          part: which interactions are tested.
          measure: whether anything is measured.
          cycle: cycles done.
        """
        if not measure:
            sides = ("edge", "cloud")
            return {f"{side}_{part}_{name}": "" for side in sides for name in ("hr", "ndcg")}
        users = [user for fleet in self.fleets.values() for user in fleet.users]
        candidates = getattr(self.experiment, part).of_users(users)
        version = Registry(self.folder.registry).version(self.fetched.publication.cloud_version)
        scores: dict[str, npt.ArrayLike] = {
            "edge": edge_scores(
                self.fleets,
                self.servers,
                candidates=candidates,
                split=self.experiment.split,
                downlinks=self.fetched.downlinks,
                codec=self.codec,
                receives=self.schedule.begins(cycle * self.rounds_per_cycle),
            ),
            "cloud": cloud_scores(StoredCloud.of(version), candidates),
        }
        columns: dict[str, float | str] = {}
        for side, logits in scores.items():
            k = self.experiment.config.evaluation.k
            found = evaluate_scores(logits, k=k, users=candidates.users)
            columns |= {f"{side}_{part}_hr": found.hr, f"{side}_{part}_ndcg": found.ndcg}
        return columns

    def targets(self, *, measure: bool, cycle: int) -> dict[str, float | str]:
        """AUC of each further target at the tested interactions.

        By its own head and by the logit that ranks; blanks where nothing is measured, or the labels
        are of one class.

        Args:
          measure: whether anything is measured.
          cycle: cycles done.
        """
        experiment = self.experiment
        columns: dict[str, float | str] = {}
        names = target_names(experiment.config.samples)
        if not names or not measure:
            for name in names:
                columns |= dict.fromkeys(_target_columns(name), "")
            return columns
        users = [user for fleet in self.fleets.values() for user in fleet.users]
        tested = experiment.test.of_users(users)
        ranking, logits = edge_target_logits(
            self.fleets,
            self.servers,
            tested=tested,
            split=experiment.split,
            downlinks=self.fetched.downlinks,
            codec=self.codec,
            receives=self.schedule.begins(cycle * self.rounds_per_cycle),
        )
        labels = tested_labels(experiment, tested)
        for place, name in enumerate(names):
            found = target_quality(name, labels[:, place], logits=logits[name], ranking=ranking)
            values = (found.auc, found.ranking_auc)
            for column, value in zip(_target_columns(name), values, strict=True):
                columns[column] = "" if math.isnan(value) else value
        return columns

    def crossed(self, cycle: int) -> dict[str, int | str]:
        """Bytes of all devices together in a cycle; cycle 0, the first version, has no rounds.

        A device fetches its downlink once a cycle and answers once, sends and receives shared
        weights in the rounds in which they cross, and fetches its file when the item table is a new
        one.
        """
        end = cycle * self.rounds_per_cycle
        rounds = range(end - self.rounds_per_cycle, end) if cycle else range(0)
        times = self.schedule.crossings(rounds)
        table = self.fetched.publication.item_table.sha256[:16]
        rows = self.folder.rows()
        new_file = not rows or rows[-1]["item_table"] != table
        totals = dict.fromkeys(("downlink_bytes", "uplink_bytes", "weights_bytes", "file_bytes"), 0)
        for fleet in self.fleets.values():
            devices, model = len(fleet.users), fleet.model
            if rounds:
                payload = placed_bytes(uplink_form(model.file.sizes))
                record = payload + HEADER.itemsize + CRC_BYTES
                shared = build_codec(self.codec).encoded_bytes(1, model.shared_size)
                totals["downlink_bytes"] += devices * self.fetched.publication.device_bytes
                totals["uplink_bytes"] += devices * record
                totals["weights_bytes"] += devices * times * shared * (model.shared_size > 0)
            if new_file:
                totals["file_bytes"] += devices * model.file.num_bytes
        return {**totals, "item_table": table}


def target_aucs(row: Mapping[str, str]) -> dict[str, tuple[float, float] | None]:
    """AUC of each further target in a line of `metrics.csv`: by its head, by the ranking logit.

    None where it has none.

    >>> target_aucs({"edge_test_like_auc": "0.7", "edge_test_like_ranking_auc": "0.5"})
    {'like': (0.7, 0.5)}
    """
    names = [found[1] for column in row if (found := _RANKING_AUC.fullmatch(column))]
    aucs: dict[str, tuple[float, float] | None] = {}
    for name in names:
        own, ranking = (row.get(column) for column in _target_columns(name))
        # None for the head of a target `like_ranking`, which reads like `like`.
        if own is not None and ranking is not None:
            aucs[name] = (float(own), float(ranking)) if own and ranking else None
    return aucs


def _target_columns(name: str) -> tuple[str, str]:
    return f"edge_test_{name}_auc", f"edge_test_{name}_ranking_auc"
