"""The loop: a version from history alone, then devices, uplinks, retraining, publication.

Each step looks at what is on disk and does what is missing, so that a loop that was killed
goes on where it was and ends with the same files.
"""

import contextlib
import dataclasses
import logging
import time
from pathlib import Path

from cloud.publishing import publish
from cloud.registry import Registry
from cloud.retraining import JobResult, retrain
from cloud.service.questions import Questions
from cloud.uplink_log import UplinkLogWriter
from cloud.version_files import StoredCloud
from ecct_tf.bars import open_bar, show_figures, validation_text
from ecct_tf.config import CODECS, Tier, is_own_codec, tier_slug
from ecct_tf.cycle.config import CycleConfig, TransportName
from ecct_tf.cycle.edge import EdgeSide, Fetched, fetch
from ecct_tf.cycle.folder import CycleFolder, Row
from ecct_tf.cycle.lines import CycleLines
from ecct_tf.cycle.measures import CycleMeasures
from ecct_tf.cycle.over_http import HttpDevices, HttpOptions
from ecct_tf.cycle.quality import check_numbers
from ecct_tf.cycle.rounds import answers, local_round
from ecct_tf.errors import ConfigError, RegistryError
from ecct_tf.federated.sharing import ShareSchedule
from ecct_tf.knowledge import build_codec
from ecct_tf.simulation.experiment import Experiment, build_experiment
from ecct_tf.simulation.increments import increment_spec
from ecct_tf.wire import CURRENT_NAME, PlacedRecord
from mobile_export.device import DeviceFleet, ReceivedDownlink, TrainingPlan
from mobile_export.runtime.loaded_file import interpreter_of

__all__ = ["CycleResult", "run_cycles"]

_log = logging.getLogger(__name__)

_DAY_SECONDS = 86_400


@dataclasses.dataclass(frozen=True)
class CycleResult:
    """What a chain of cycles came to.

    Attributes:
      path: its folder.
      k: list length of HR and NDCG.
      transport: how devices reached the cloud.
      rows: the lines of `metrics.csv`: one for the first version, one for each cycle.
    """

    path: Path
    k: int
    transport: TransportName
    rows: list[Row]

    @staticmethod
    def kib_per_device(row: Row) -> float:
        """KiB that crossed for one device in a cycle, its file included."""
        total = sum(int(value) for name, value in row.items() if name.endswith("_bytes"))
        return total / int(row["devices"]) / 1024


def run_cycles(
    config: CycleConfig,
    out: Path,
    *,
    cycles: int,
    show: bool = True,
    http: HttpOptions | None = None,
) -> CycleResult:
    """Runs `cycles` cycles in `out`, or what is missing of them.

    Args:
      config: of cloud and devices.
      out: the folder. With that of a shorter or a stopped chain it goes on.
      cycles: how many there shall be in all.
      show: whether to show bars where there is a terminal, and lines on stderr elsewhere.
      http: how devices over HTTP are run; None for the defaults. Only with `transport=http`.

    Raises:
      ConfigError: when the folder is another chain's.
      ExportError: when the runtime of devices' files is not installed.
      RunFolderError: when another process is at it.
      WorkerError: when the service or a process of devices over HTTP ended, or was too slow.
    """
    if cycles < 1:
        raise ConfigError(f"--cycles: expected at least 1, got {cycles}")
    if http is not None and config.transport != "http":
        raise ConfigError(
            f"transport: got {config.transport}, expected http where it is said how devices over "
            "HTTP are run"
        )
    if http is not None and http.browsers and not is_own_codec(config.exchange.codec):
        raise ConfigError(
            f"exchange.codec: got {config.exchange.codec}, a custom codec, but the browsers of a "
            f"cycle know {', '.join(CODECS)} alone; leave them out, or use one of these"
        )
    folder = CycleFolder(out)
    if len(folder.rows()) <= cycles:
        # Before the first version is trained, and before the folder remembers the runtime.
        interpreter_of(config.runtime)
        build_codec(config.exchange.weights_codec)
    with folder.claimed(config), contextlib.ExitStack() as ending:
        if len(folder.rows()) <= cycles:
            cycles_left = range(len(folder.rows()), cycles + 1)
            lines = CycleLines(
                cycles_left,
                rounds=config.rounds_per_cycle,
                tiers=sum(share > 0 for share in config.edge.tiers.values()),
                k=config.evaluation.k,
                show=show,
            )
            options = http or HttpOptions()
            loop = _Loop(config, folder, show=show, lines=lines, http=options, ending=ending)
            for cycle in cycles_left:
                loop.run(cycle, with_test=cycle in (0, cycles))
    return CycleResult(folder.path, config.evaluation.k, config.transport, folder.rows())


def _warn_of_pairs(experiment: Experiment, *, devices: int | None) -> None:
    """Says so where a simulation of the same data would ask devices for pairs of items."""
    spec = increment_spec(
        experiment.config,
        experiment.dataset.num_items,
        older_counts=experiment.split.older_counts,
        num_devices=len(experiment.groups) if devices is None else devices,
    )
    if spec is not None:
        _log.warning(
            "devices of a cycle report no pairs of items. Histories here are so short that ecct "
            "simulate would collect their sum before the first round "
            "(exchange.item_increments.positions=%d), which improves item table and ranking; "
            "compare with a simulation that has exchange.item_increments.positions=0",
            spec.positions,
        )


class _Loop:
    def __init__(
        self,
        config: CycleConfig,
        folder: CycleFolder,
        *,
        show: bool,
        lines: CycleLines,
        http: HttpOptions,
        ending: contextlib.ExitStack,
    ) -> None:
        self._config = config
        self._folder = folder
        self._show = show
        self._lines = lines
        self._experiment = build_experiment(config.run(), progress=show)
        _warn_of_pairs(self._experiment, devices=config.devices)
        self._edge = EdgeSide(
            self._experiment,
            folder,
            runtime=config.runtime,
            devices=config.devices,
            static=http.browsers > 0,
        )
        self._http = HttpDevices(config, folder, self._edge, options=http, ending=ending)
        # The cycles' clock: they begin at the newest interaction and take a day each.
        self._begin_seconds = int(self._experiment.split.timestamps.max())

    def run(self, cycle: int, *, with_test: bool) -> None:
        """One cycle; cycle 0 only makes the first version and the devices."""
        if cycle:
            self._train(cycle)
        job = self._retrain(cycle)
        fetched = self._publish(cycle)
        if not cycle:
            self._edge.begin(fetched)
        measured = CycleMeasures(
            experiment=self._experiment,
            folder=self._folder,
            fetched=fetched,
            fleets=self._edge.fleets(fetched, cycle=cycle),
            servers={tier: self._folder.shared(tier, cycle) for tier in self._edge.views},
            codec=self._config.exchange.weights_codec,
            schedule=ShareSchedule(self._config.edge.share_every),
            rounds_per_cycle=self._config.rounds_per_cycle,
        )
        row = {
            "cycle": cycle,
            "version": fetched.publication.cloud_version,
            "promoted": int(job.promoted),
            "devices": self._edge.num_devices,
            "device_rounds": cycle * self._config.rounds_per_cycle,
            **measured.heard(job.version),
            **measured.quality("validation", measure=True, cycle=cycle),
            **measured.quality("test", measure=with_test, cycle=cycle),
            **measured.targets(measure=with_test, cycle=cycle),
            **measured.crossed(cycle),
        }
        self._folder.add_row(row)
        self._folder.forget_before(cycle)
        self._lines.ended(cycle, row)
        _log.info("cycle %d: version %d in force", cycle, fetched.publication.cloud_version)

    def _seconds(self, cycle: int) -> int:
        # A service refuses answers of another time than its own.
        if self._config.transport == "http":
            return int(time.time())
        return self._begin_seconds + cycle * _DAY_SECONDS

    def _train(self, cycle: int) -> None:
        """The devices' part: rounds of local training, and their answers in the log."""
        done = [self._folder.edge(tier, cycle) / "answered" for tier in self._edge.views]
        if all(marker.exists() for marker in done):
            return
        fetched = fetch(self._folder.public, codec=self._config.exchange.codec)
        if self._config.transport == "http":
            self._train_over_http(cycle, fetched)
        else:
            self._train_by_files(cycle, fetched)
        # From here on the log stays as it is: a job may have read it.
        for marker in done:
            marker.touch()

    def _train_over_http(self, cycle: int, fetched: Fetched) -> None:
        self._lines.over_http(cycle, devices=self._edge.num_devices)
        self._http.answer(fetched)
        for tier in self._edge.views:
            if not self._folder.edge(tier, cycle).exists():
                states, server = self._http.states(tier), self._folder.shared(tier, cycle - 1)
                self._folder.write_edge(tier, cycle, states=states, server=server)

    def _train_by_files(self, cycle: int, fetched: Fetched) -> None:
        for tier, fleet in self._edge.fleets(fetched, cycle=cycle - 1).items():
            if not self._folder.edge(tier, cycle).exists():
                self._train_tier(cycle, tier, fleet, fetched)
        log = UplinkLogWriter(self._folder.uplinks)
        questions = Questions(self._folder.public)
        now = self._seconds(cycle)
        for tier, fleet in self._edge.fleets(fetched, cycle=cycle).items():
            sent = answers(fleet, created_at_seconds=now)
            # As they cross to a service, which knows what it asked.
            records = [questions.resolve(PlacedRecord.of(record)) for record in sent]
            log.append(records, name=f"cycle-{cycle:06d}-{tier_slug(tier)}")

    def _train_tier(self, cycle: int, tier: Tier, fleet: DeviceFleet, fetched: Fetched) -> None:
        config, model = self._config, fleet.model
        server = self._folder.shared(tier, cycle - 1)
        states = [
            model.receive(device.state, ReceivedDownlink.read(fetched.downlinks, device.state.user))
            for device in fleet
        ]
        schedule = ShareSchedule(config.edge.share_every)
        done = (cycle - 1) * config.rounds_per_cycle
        name, steps = f"cycle {cycle}, {tier}", range(done, done + config.rounds_per_cycle)
        bar = open_bar(name, steps, show=self._show, leave=False)
        show_figures(bar, name, self._quality_before(cycle))
        for number in bar:
            states, server = local_round(
                model,
                states,
                server,
                plan=TrainingPlan(seed=config.seed),
                config=config.server,
                codec=config.exchange.weights_codec,
                receives=schedule.begins(number),
                sends=schedule.sends(number),
            )
            self._lines.round(cycle, tier, number=number - done + 1, devices=len(states))
        self._folder.write_edge(tier, cycle, states=states, server=server)

    def _quality_before(self, cycle: int) -> list[str]:
        """For the bar: what both sides reached when the cycle before ended."""
        row = self._folder.rows()[cycle - 1]
        sides = {side: row[f"{side}_validation_hr"] for side in ("edge", "cloud")}
        reached = {side: float(value) for side, value in sides.items() if value}
        k = self._config.evaluation.k
        return [validation_text(f"HR@{k}", reached)] if reached else []

    def _retrain(self, cycle: int) -> JobResult:
        """The job of the cycle: trains, measures and promotes a version, or has done so."""
        job = self._config.job(
            registry=self._folder.registry, uplinks=self._folder.uplinks if cycle else None
        )
        now = self._seconds(cycle)
        result = retrain(job, self._folder.job(cycle), show=self._show, now_seconds=now)
        if result is None:
            raise RegistryError(f"{self._folder.job(cycle)}: expected the result of a job")
        return result

    def _publish(self, cycle: int) -> Fetched:
        """Publishes the version in force for the round of `cycle`, if that was not done."""
        registry, public = Registry(self._folder.registry), self._folder.public
        version = registry.promoted()
        if version is None:
            raise RegistryError(f"{registry.path}: expected a version in force after a job")
        stored = StoredCloud.of(version)
        check_numbers(stored, self._experiment.dataset)
        if (public / CURRENT_NAME).exists():
            found = fetch(public, codec=self._config.exchange.codec)
            current = found.publication
            if (current.cloud_version, current.round_number) == (version.number, cycle):
                return found
        # Each cycle asks anew, whether or not the gate let a new version through.
        publish(
            registry,
            public,
            start_codec=self._config.exchange.start_codec,
            round_number=cycle,
            now_seconds=self._seconds(cycle),
        )
        return fetch(public, codec=self._config.exchange.codec)
