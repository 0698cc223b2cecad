"""The edge models of a run at its newest checkpoint, for whatever exports and checks them.

Here the simulation meets `mobile_export`; else only where real devices take part in a run.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import TrainingConfig, data_title
from ecct_tf.config.flat import flat_config, settings_with_effect
from ecct_tf.config.yaml_text import parse_yaml, resolved
from ecct_tf.data import Candidates
from ecct_tf.data.clock import clock_reading
from ecct_tf.data.profile import private_numbers, private_sets, private_words
from ecct_tf.edge import DeviceTask, pad_history
from ecct_tf.errors import ExportError
from ecct_tf.federated import Cohort, CohortState, EcctProcess, EcctState
from ecct_tf.knowledge import CloudRows, Encoded, ItemTable
from ecct_tf.runs.training import encoded_inputs, simulated_training
from ecct_tf.simulation.edge_state import table_digest
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.holding import Holding
from ecct_tf.touched_rows import parts_of
from mobile_export.checking.reference import Reference, SimulatedTraining
from mobile_export.contract.task import check_exportable
from mobile_export.flatbuffer.origin import check_origin, fingerprint
from mobile_export.making.examples import DeviceExample
from mobile_export.making.export import Labels
from mobile_export.making.items import ItemStore
from mobile_export.making.variants import Variant

__all__ = ["RunModels"]

Array = npt.NDArray[np.float32]

_HOUR = 3_600


@dataclasses.dataclass(frozen=True)
class RunModels:
    """A run at its newest checkpoint.

    Attributes:
      path: the run folder.
      experiment: its data.
      process: its devices.
      state: as in the checkpoint.
      table: the item table as devices hold it.
      known: what the next downlinks would say, `[users, d_c] float32` or `CloudRows`.
      starts: `[P] float32`, what devices of each tier started with.
      holding: of which items devices hold rows; None for all.
    """

    path: Path
    experiment: Experiment
    process: EcctProcess
    state: EcctState
    table: ItemTable
    known: Array | CloudRows
    starts: Mapping[str, Array]
    holding: Holding | None = None

    @property
    def tiers(self) -> list[str]:
        """The tiers that the run's devices have."""
        return [cohort.work.model.tier for cohort in self.process.cohorts]

    def tier_of(self, user: int) -> str:
        """The tier of the device that has the user with this number.

        Raises:
          ExportError: none has.
        """
        for cohort in self.process.cohorts:
            if np.any(cohort.devices.outlines.users == user):
                return cohort.work.model.tier
        raise ExportError(
            f"{self._called(user)} has no device in the run; devices.csv in its folder lists the "
            "numbers of those who have"
        )

    def task(self, tier: str) -> DeviceTask:
        """What devices of `tier` do, in the stage that the run has reached."""
        work = self._cohort(tier)[0].work
        stage = self.process.stage_of(max(self.state.round_number - 1, 0))
        return work.in_stage(stage).task

    def weights(self, tier: str, *, user: int | None = None, new_device: bool = False) -> Array:
        """`[P] float32`: the shared weights, with the mean of the private ones by default.

        Args:
          tier: which.
          user: whose device's own weights instead.
          new_device: those of a device that comes now and has not trained: the newest shared
            ones, and private ones as every device started with them.

        Raises:
          ExportError: when no device of the tier has the user, or the checkpoint does not say
            how devices started.
        """
        cohort, state = self._cohort(tier)
        every, shared = state.weights(), cohort.work.shared_size
        newest = np.asarray(state.server.shared, np.float32)
        if new_device:
            if tier not in self.starts:
                raise ExportError(
                    f"the checkpoint of {self.path} does not hold the starting weights of tier "
                    f"{tier!r}; an earlier release wrote it. Run its configuration anew."
                )
            found: Array = np.concatenate([newest, self.starts[tier][shared:]])
            return found
        if user is None:
            mean: Array = every.mean(axis=0, dtype=np.float64).astype(np.float32)
            # The mean of equal numbers need not be that number.
            mean[:shared] = newest
            return mean
        owns: Array = every[self._device_of(cohort, user)]
        return owns

    def weights_of(self, tier: str, users: Sequence[int]) -> Array:
        """`[users, P] float32`: the weights of each user's own device; raises as `weights` does."""
        cohort, state = self._cohort(tier)
        return state.weights(np.array([self._device_of(cohort, user) for user in users], np.int64))

    @property
    def sends_sums(self) -> bool:
        """Whether only sums over devices left the devices of the run."""
        config = self.experiment.config
        exchange = config.exchange
        return config.method == "ecct" and exchange.up and exchange.rows == "item"

    def labels(self, tier: str, *, user: int | None = None, new_device: bool = False) -> Labels:
        """Vocabularies, item tokens and where the weights come from."""
        columns = self.experiment.groups[0][0].profile.columns
        whose = "mean over devices" if user is None else f"device of user {user}"
        if new_device:
            whose = "a device that has not trained"
        return Labels(
            profile=private_words(columns),
            numbers=private_numbers(columns),
            sets=private_sets(columns),
            items=self.experiment.dataset.item_tokens,
            provenance={
                "run": self.path.name,
                "method": self.experiment.config.method,
                "dataset": data_title(self.experiment.config.data),
                "seed": self.experiment.config.seed,
                "rounds": self.state.round_number,
                "weights": f"{tier}: {whose}",
                "user": user,
                "new_device": new_device,
            },
            fingerprints=self.fingerprints(tier),
        )

    def fingerprints(self, tier: str) -> dict[str, str]:
        """What a file of `tier` is made of, by the names of `origin.FINGERPRINTS`.

        Taken of what the run folder holds, not of what is computed from it: the same in every
        environment that reads the folder.
        """
        _, state = self._cohort(tier)
        view, digest = self.experiment.groups[0][0], hashlib.sha256()
        waiting = () if state.unshared is None else parts_of(state.unshared)
        for array in (*state.server, *parts_of(state.private), *waiting):
            digest.update(np.ascontiguousarray(array).tobytes())
        return {
            "settings": fingerprint(_settings(self.path)),
            "data": self.experiment.fingerprint(),
            "vocabulary": fingerprint(
                [
                    list(self.experiment.dataset.item_tokens),
                    {column.column.name: column.vocabulary for column in view.profile.columns},
                ]
            ),
            "item_table": table_digest(self.table).tobytes().hex(),
            "weights": digest.hexdigest(),
        }

    def check_origin(self, file: Path, metadata: Mapping[str, Any]) -> None:
        """Refuses a file that was not exported from this run as it stands.

        Raises:
          ExportError: when it is of another run, or of another round; it shows both fingerprints.
        """
        tier = str(metadata.get("tier"))
        # A tier that the run lacks has no weights here; the other fingerprints tell the run.
        chosen = tier if tier in self.tiers else self.tiers[0]
        expected = self.fingerprints(chosen)
        check_origin(metadata, expected, file=file, run=self.path)

    def examples(self, tier: str, *, count: int = 8, candidates: int = 32) -> list[DeviceExample]:
        """What some devices of `tier` hold: training histories, profiles, downlinks.

        Their clocks say that an hour has passed since.
        """
        cohort, _ = self._cohort(tier)
        rng = np.random.default_rng(0)
        found = []
        for device in cohort.devices.devices[:count]:
            found.append(
                self._example(
                    cohort,
                    user=int(device.users[0]),
                    profile=device.profile[0],
                    history=device.history[0],
                    candidates=rng.integers(1, self.table.num_items + 1, candidates),
                    clock=self._later_on(int(device.users[0])),
                )
            )
        return found

    def tested(self, tier: str, candidates: Candidates) -> Iterator[tuple[int, DeviceExample]]:
        """For each row of `candidates` that a device of `tier` owns: the row and its inputs."""
        cohort, _ = self._cohort(tier)
        features, split = self.experiment.config.features, self.experiment.split
        known = cohort.devices.outlines
        owner = dict(zip(known.users.tolist(), known.profiles, strict=True))
        for row, user in enumerate(candidates.users.tolist()):
            if user in owner:
                position = int(candidates.positions[row])
                yield (
                    row,
                    self._example(
                        cohort,
                        user=user,
                        profile=owner[user],
                        history=pad_history(split.before(user, position), features.history_length),
                        candidates=candidates.items[row],
                        clock=clock_reading(
                            split.times_before(user, position),
                            now=split.time_of(user, position),
                            config=features,
                            context=split.context_of(user, position) if features.context else None,
                        ),
                    ),
                )

    def reference(
        self,
        tier: str,
        *,
        user: int | None,
        steps: int,
        new_device: bool = False,
        training: TrainingConfig | None = None,
    ) -> Reference:
        """What a file of `tier` is checked against.

        Args:
          tier: which.
          user: whose device's weights; None for the mean.
          steps: of training by the simulation's device work, at least; 0 for none.
          new_device: whether it has the weights of a device that has not trained.
          training: how to train; None for the run's own settings.
        """
        weights, task = self.weights(tier, user=user, new_device=new_device), self.task(tier)
        task = task.changed(training=training or task.training)
        return Reference(
            model=self._cohort(tier)[0].work.model,
            weights=weights,
            table=self.table,
            task=task,
            examples=self.examples(tier),
            simulate=functools.cache(
                functools.partial(
                    self._simulated_training, tier=tier, weights=weights, task=task, steps=steps
                )
            )
            if steps
            else None,
        )

    def _simulated_training(
        self, variant: Variant, *, tier: str, weights: Array, task: DeviceTask, steps: int
    ) -> SimulatedTraining | None:
        """The simulation's own device work on the samples of one device with one user.

        The device has the item table of a file of `variant`, dequantised.
        """
        cohort, _ = self._cohort(tier)
        known = cohort.devices.outlines
        alone = np.bincount(known.owners, minlength=len(cohort)) == 1
        if not known.samples[alone].any():
            return None
        most = int(np.argmax(np.where(alone, known.samples, -1)))
        user = int(known.users[known.owners == most][0])
        store = ItemStore(self.table, variant.table)
        return simulated_training(
            cohort.work,
            items=store.decoded(),
            task=task,
            parameters=Reference(cohort.work.model, weights, self.table, task, ()).parameters(
                variant
            ),
            group=self.experiment.groups[self.experiment.groups.device_of(user)],
            config=self.experiment.config,
            downlink=self._downlink(cohort, user),
            steps=steps,
        )

    def _example(
        self,
        cohort: Cohort,
        *,
        user: int,
        profile: npt.NDArray[np.int32],
        history: npt.NDArray[np.int32],
        candidates: npt.NDArray[Any],
        clock: Array,
    ) -> DeviceExample:
        inputs = encoded_inputs(self._downlink(cohort, user), cohort.work.exchange)
        return DeviceExample(
            history=history.astype(np.int32),
            candidates=candidates.astype(np.int32),
            profile=profile,
            user_embedding=inputs["user_embedding"],
            user_embedding_scale=float(inputs.get("user_embedding_scale", np.ones(1))[0]),
            clock=clock,
        )

    def _later_on(self, user: int) -> Array:
        """The reading of `user` an hour after the newest training interaction, in its context."""
        split, features = self.experiment.split, self.experiment.config.features
        times = split.train_times(user)
        now = int(times[-1]) + _HOUR if len(times) else 0
        context = split.train_context(user)[-1] if features.context and len(times) else None
        return clock_reading(times, now=now, config=features, context=context)

    def _downlink(self, cohort: Cohort, user: int) -> Encoded:
        check_exportable(cohort.work.task)
        known = tf.nest.map_structure(lambda part: tf.constant(part[user]), self.known)
        encoded: Encoded = cohort.work.exchange.encode_known(known)
        return encoded

    def _cohort(self, tier: str) -> tuple[Cohort, CohortState]:
        for cohort, state in zip(self.process.cohorts, self.state.cohorts, strict=True):
            if cohort.work.model.tier == tier:
                return cohort, state
        raise ExportError(
            f"the run {self.path} has no devices of tier {tier!r}, only of {', '.join(self.tiers)}"
        )

    def _device_of(self, cohort: Cohort, user: int) -> int:
        known = cohort.devices.outlines
        places = np.flatnonzero(known.users == user)
        if len(places):
            return int(known.owners[places[0]])
        raise ExportError(
            f"{self._called(user)} has no device of tier {cohort.work.model.tier}, but one of tier "
            f"{self.tier_of(user)}"
        )

    def _called(self, user: int) -> str:
        """A user by id; of another run's file the number may be beyond this one's users."""
        tokens = self.experiment.dataset.user_tokens
        known = f" ({tokens[user]!r})" if 0 <= user < len(tokens) else ""
        return f"user number {user}{known}"


def _settings(path: Path) -> dict[str, Any]:
    """What decides what the run in `path` learns: seed and settings, as its folder has them."""
    # The text of the folder, not the configuration read from it: a later version knows more.
    file = path / "config.yaml"
    flat = flat_config(resolved(parse_yaml(file.read_text(encoding="utf-8"), where=str(file))))
    return {"seed": flat["seed"], **settings_with_effect(flat)}
