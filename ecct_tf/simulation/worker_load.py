"""What decides how much memory TFF's worker takes in a run, in words for an error."""

from ecct_tf.config import RunConfig

__all__ = ["worker_load"]


def worker_load(config: RunConfig, *, num_devices: int) -> str:
    """The settings that decide, with their values.

    Args:
      config: of the run.
      num_devices: devices that can take part.

    >>> worker_load(RunConfig(), num_devices=943).split(", ")[:2]
    ['943 devices in a round (participation.devices_per_round=null)', 'runtime.shard_size=64']
    """
    wanted, share = config.participation.devices_per_round, config.participation.share
    present = config.participation.wanted(num_devices)
    own, section = config.federated_baseline, "federated_baseline"
    if config.method in ("pfedrec", "fedrecon"):
        local = getattr(own, config.method)
        pairs = [(f"{section}.{config.method}.{name}", getattr(local, name)) for name in _LOCAL]
    elif config.method in ("fedavg", "fedprox", "fine-tuning", "fedmd"):
        pairs = [(f"{section}.{name}", getattr(own, name)) for name in _LOCAL]
    else:
        pairs = [
            ("training.batch_size", config.training.batch_size),
            ("samples.max_positions", config.samples.max_positions),
            ("samples.negatives", config.samples.negatives),
            ("exchange.queries", config.exchange.queries),
        ]
    runtime = config.runtime
    pairs = [
        ("runtime.shard_size", runtime.shard_size),
        ("runtime.concurrent_calls", runtime.concurrent_calls),
        *pairs,
    ]
    given = f"devices_per_round={'null' if wanted is None else wanted}"
    given = given if share is None else f"share={share:g}"
    first = f"{present:,} devices in a round (participation.{given})"
    return ", ".join([first, *(f"{name}={value}" for name, value in pairs)])


_LOCAL = ("batch_size", "embedding_dim", "max_positions", "negatives")
