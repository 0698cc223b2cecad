"""TFF's worker as a service: started in a network of its own, relayed, watched, started again.

`ecct worker` binds the port and supervises one child. The child leaves the machine's network
for an empty one of its own, starts TFF's worker there and passes on what comes to the port:
the worker listens on every interface that it has, and so must have none but the loopback of
its own network. Nothing here imports TFF or TensorFlow.
"""

from ecct_tf.workers.health import answers, ping, trouble
from ecct_tf.workers.process import HOST, await_worker, start_worker, worker_binary
from ecct_tf.workers.serving import WorkerSettings, serve_worker
from ecct_tf.workers.tls import CHANNEL_OPTIONS, channel_to

__all__ = [
    "CHANNEL_OPTIONS",
    "HOST",
    "WorkerSettings",
    "answers",
    "await_worker",
    "channel_to",
    "ping",
    "serve_worker",
    "start_worker",
    "trouble",
    "worker_binary",
]
