"""What a run shows while it runs, and the rows it writes."""

from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm

from ecct_tf.federated import EcctState
from ecct_tf.simulation.loop import Callback, RoundResult
from ecct_tf.simulation.run_folder import RunFolder

__all__ = ["KeepState", "MetricsWriter", "ProgressBar"]


class ProgressBar(Callback):
    """Rounds, devices a second and the quality so far; silent when not at a terminal."""

    def __init__(self, description: str = "ECCT", *, k: int = 10) -> None:
        self._description = description
        self._k = k
        self._bar: Any = None

    def on_start(self, *, rounds: int, num_devices: int) -> None:
        """Opens the bar."""
        del num_devices
        self._bar = tqdm(total=rounds, desc=self._description, unit="round", disable=None)

    def on_round(self, result: RoundResult, state: EcctState) -> None:
        """Advances it."""
        del state
        rate = result.report.devices / max(result.seconds, 1e-9)
        shown = {"stage": result.report.stage, "devices/s": f"{rate:,.0f}"}
        if result.validation is not None:
            shown[f"val HR@{self._k}"] = f"{result.validation.hr:.4f}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def on_end(self) -> None:
        """Closes it."""
        if self._bar is not None:
            self._bar.close()


class MetricsWriter(Callback):
    """Appends one row a round to `metrics.csv`, flushed, so that a stopped run can be read."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def on_round(self, result: RoundResult, state: EcctState) -> None:
        """Writes the row."""
        del state
        report = result.report
        row: dict[str, Any] = {
            "round": result.round_number,
            "stage": report.stage,
            "devices": report.devices,
            "seconds": round(result.seconds, 4),
            "train_loss": report.train_loss,
            "downlink_bytes": report.downlink_bytes,
            "uplink_bytes": report.uplink_bytes,
            "weights_bytes": report.weights_bytes,
            "item_table_bytes": report.item_table_bytes,
            "cloud_loss": report.cloud.get("cloud_loss", ""),
        }
        names = ("hr", "ndcg", "mrr", "auc", "gauc", "log_loss")
        for name in names:
            value = "" if result.validation is None else getattr(result.validation, name)
            row[f"validation_{name}"] = value
        self._folder.append_metrics(row)


class KeepState(Callback):
    """Hands each new state on, so that an interrupted run can still save its last one."""

    def __init__(self, keep: Callable[[EcctState], None]) -> None:
        self._keep = keep

    def on_round(self, result: RoundResult, state: EcctState) -> None:
        """Hands the state on."""
        del result
        self._keep(state)
