"""The federated process: devices that train and answer, simulated by TFF or without it.

`build_ecct_process` composes the four stages of a round (distribute, device work,
aggregate, finalize), in which a client value is a shard of stacked devices (or, for
reference, one device). An engine runs them: TFF, whose worker `federated_runtime` starts
and reliably ends, or TensorFlow in this process. The cloud is known here only by its
protocol, `Cloud`.

TFF is imported by its engine and by its worker, so that all else works where it is missing.
"""

from typing import TYPE_CHECKING, Any

from ecct_tf.federated.aggregators import AggregatorSpec
from ecct_tf.federated.algorithm import Algorithm, Arrays, GuardedAlgorithm, RoundReport
from ecct_tf.federated.cloud_protocol import Cloud, DownlinkSource, TrainableCloud
from ecct_tf.federated.cohort import Cohort, CohortState
from ecct_tf.federated.device_set import DeviceSet, prepare_devices
from ecct_tf.federated.device_work import DeviceResult, DeviceWork
from ecct_tf.federated.devices import DeviceData, stack_devices
from ecct_tf.federated.engine import chosen_engine, federated_runtime
from ecct_tf.federated.own_stages import Stages, StageSpec
from ecct_tf.federated.participation import draw_participants
from ecct_tf.federated.process import EcctProcess, EcctState, build_ecct_process
from ecct_tf.federated.schedule import RoundDraw, Schedule
from ecct_tf.federated.witness import CohortRound, SimulatedDevice, Witness

if TYPE_CHECKING:
    from ecct_tf.federated.runtime import FederatedRuntime

__all__ = [
    "AggregatorSpec",
    "Algorithm",
    "Arrays",
    "Cloud",
    "Cohort",
    "CohortRound",
    "CohortState",
    "DeviceData",
    "DeviceResult",
    "DeviceSet",
    "DeviceWork",
    "DownlinkSource",
    "EcctProcess",
    "EcctState",
    "FederatedRuntime",
    "GuardedAlgorithm",
    "RoundDraw",
    "RoundReport",
    "Schedule",
    "SimulatedDevice",
    "StageSpec",
    "Stages",
    "TrainableCloud",
    "Witness",
    "build_ecct_process",
    "chosen_engine",
    "draw_participants",
    "federated_runtime",
    "prepare_devices",
    "stack_devices",
]


def __getattr__(name: str) -> Any:
    if name == "FederatedRuntime":
        # `compat` first: where TFF is missing, it says so.
        from ecct_tf.federated import compat, runtime

        del compat
        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
