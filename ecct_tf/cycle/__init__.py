"""The whole loop without a simulation: version, devices, uplinks, retraining, next version.

What production does over weeks happens here on one data set, through the very files:
a job trains the first version of the cloud from history alone and publishes it; edge
models are exported for its item table; then, cycle by cycle, each user's device reads its
published downlink, trains its file on its own recent interactions and writes its answer
into the uplink log, from which the next job retrains. With `transport=http` devices reach all of
it by `ecct cloud serve` alone. This is a composition root, like
`ecct_tf.simulation`, whose data and configuration it shares; TFF takes no part.
"""

from ecct_tf.cycle.config import CycleConfig, load_cycle_config
from ecct_tf.cycle.loop import CycleResult, run_cycles
from ecct_tf.cycle.over_http import HttpOptions

__all__ = ["CycleConfig", "CycleResult", "HttpOptions", "load_cycle_config", "run_cycles"]
