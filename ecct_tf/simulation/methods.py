"""The methods that a run can have: what each is called, sees, and how it is built."""

import dataclasses
from typing import Any, NamedTuple

from cloud.shared_spaces import InputSpaces
from ecct_tf.baselines.centralized import build_centralized
from ecct_tf.config import AttackConfig, RunConfig, is_own_method
from ecct_tf.config.baselines import FEDERATED_BASELINES
from ecct_tf.edge import largest_tier
from ecct_tf.errors import ConfigError
from ecct_tf.federated import Algorithm
from ecct_tf.federated.device_sums import Summing
from ecct_tf.simulation import closed_form, ecct
from ecct_tf.simulation.device_cloud import build_device_cloud
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.own_methods import build_own_method

__all__ = [
    "ABLATIONS",
    "Ablation",
    "build_algorithm",
    "display_name",
    "model_name",
    "quick_references",
    "sees",
]

_NAMES = {
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fine-tuning": "FedAvg, fine-tuned",
    "pfedrec": "PFedRec, leak-free",
    "fedrecon": "FedRecon",
    "fedmd": "FedMD",
    "cloud-only": "cloud only",
    "edge-only": "edge only",
    "dccl": "DCCL, device side",
    "popularity": "popularity",
    "ease": "EASE",
    "ease-recency": "EASE, recency-weighted",
}
_DEVICES = "devices, no cloud"


class Ablation(NamedTuple):
    """Which parts of the exchange are on."""

    down: bool
    up: bool
    logits: bool
    embeddings: bool = True

    def of(self, config: RunConfig) -> RunConfig:
        """`config` with these parts of the exchange, and no setting that needs the others."""
        both = self.logits and self.embeddings
        compares = self.down and self.up and self.logits
        exchange = dataclasses.replace(
            config.exchange,
            down=self.down,
            up=self.up,
            logits=self.logits,
            embeddings=self.embeddings,
            stage_1_rounds=config.exchange.stage_1_rounds if both else None,
            speak_above=config.exchange.speak_above if compares else 0.0,
        )
        # Without uplinks there is nothing that the cloud could wait for.
        cloud = config.cloud if self.up else dataclasses.replace(config.cloud, buffer=0)
        return dataclasses.replace(config, method="ecct", exchange=exchange, cloud=cloud)


_WHOLE = Ablation(down=True, up=True, logits=True)
ABLATIONS = {
    "no exchange": Ablation(down=False, up=False, logits=True),
    "down only": Ablation(down=True, up=False, logits=True),
    "up only": Ablation(down=False, up=True, logits=True),
    "embeddings only": Ablation(down=True, up=True, logits=False),
    "logits only": Ablation(down=True, up=True, logits=True, embeddings=False),
}


def display_name(config: RunConfig) -> str:
    """What a run is called: by its method, or, for ECCT, by what of the exchange is on.

    The centralized bound is named with the tier that it trains, FedAvg with a buffer FedBuff, a
    method of a user's own as the user named it.

    >>> display_name(RunConfig()), display_name(RunConfig(method="centralized"))
    ('ECCT', 'centralized, mlp')
    """
    if config.method == "centralized":
        return f"centralized, {largest_tier(config.edge)}"
    if config.method == "fedavg" and config.federated_baseline.server.buffer:
        return "FedBuff"
    if config.method != "ecct":
        return _NAMES.get(config.method, config.method)
    exchange = config.exchange
    parts = Ablation(exchange.down, exchange.up, exchange.logits, exchange.embeddings)
    names = {found: name for name, found in ABLATIONS.items()}
    if parts in names or parts == _WHOLE:
        return names.get(parts, "ECCT")
    name = names[Ablation(exchange.down, exchange.up, logits=True)]
    # Where nothing crosses, logits and embeddings do not either.
    cut = "embeddings" if exchange.logits else "logits"
    return f"{name}, no {cut}" if exchange.down or exchange.up else name


def model_name(config: RunConfig, side: str) -> str:
    """What one side's model of a run is called; ECCT has two, most others have one."""
    name = display_name(config)
    return f"{name} {side}" if config.method == "ecct" else name


def sees(config: RunConfig, side: str) -> str:
    """What a side's model may look at."""
    if config.method == "ecct":
        if side == "cloud":
            return "older history" + (" + uplinks" if config.exchange.up else "")
        return "devices + item table" + (" + downlinks" if config.exchange.down else "")
    if config.method == "dccl":
        return "devices + item table"
    if config.method == "cloud-only":
        return "older history"
    if side == "everything":
        return "everything"
    if not is_own_method(config.method):
        return "as its method says"
    return _DEVICES


def quick_references(config: RunConfig) -> list[RunConfig]:
    """Runs of a few seconds each that put a result into perspective."""
    runtime = dataclasses.replace(config.runtime, real_devices=0)
    # A bound on ε is of what the run takes from devices; references are measured beside it.
    privacy = dataclasses.replace(config.privacy, max_epsilon=None)
    plain = dataclasses.replace(
        config,
        method="ecct",
        baselines=False,
        runtime=runtime,
        privacy=privacy,
        attack=AttackConfig(),
    )
    references = [
        dataclasses.replace(plain, method="popularity"),
        dataclasses.replace(plain, method="ease"),
        dataclasses.replace(plain, method="ease-recency"),
        dataclasses.replace(plain, method="edge-only"),
        ABLATIONS["no exchange"].of(plain),
        dataclasses.replace(plain, method="cloud-only"),
    ]
    return [found for found in references if display_name(found) != display_name(config)]


def build_algorithm(
    experiment: Experiment,
    *,
    spaces: InputSpaces | None = None,
    summed: Summing | None = None,
) -> Algorithm[Any]:
    """Builds the method that the experiment's configuration names.

    Args:
      experiment: the data and the configuration.
      spaces: the cloud's input spaces that other methods of the run computed already, and
        where new ones are kept for the next; by default everything is computed.
      summed: how devices' sums of pairs of items are computed; by default in this process.
    """
    method = experiment.config.method
    if experiment.config.runtime.real_devices and method not in ("ecct", "edge-only"):
        raise ConfigError(
            "runtime.real_devices: expected method ecct or edge-only, whose devices can run an "
            f"exported file, got {method}; set it to 0"
        )
    if not is_own_method(method):
        return build_own_method(experiment)
    if method == "ecct":
        return ecct.build_ecct(experiment, spaces=spaces, summed=summed)
    if method == "edge-only":
        return ecct.build_edge_only(experiment, spaces=spaces)
    if method == "dccl":
        return build_device_cloud(experiment, spaces=spaces)
    if method == "cloud-only":
        return closed_form.build_cloud_only(experiment, spaces=spaces)
    if method == "popularity":
        return closed_form.build_popularity(experiment)
    if method == "ease" or method == "ease-recency":
        return closed_form.build_ease(experiment, recency=method == "ease-recency")
    if method == "centralized":
        return build_centralized(
            experiment.config,
            dataset=experiment.dataset,
            split=experiment.split,
            groups=experiment.groups,
            validation=experiment.validation,
            spaces=spaces,
        )
    # Averaging is a TFF computation from the start; all others are built without TFF.
    from ecct_tf.baselines.federated import build_federated_baseline

    return build_federated_baseline(
        experiment.config,
        method=next(name for name in FEDERATED_BASELINES if name == method),
        dataset=experiment.dataset,
        split=experiment.split,
        groups=experiment.groups,
    )
