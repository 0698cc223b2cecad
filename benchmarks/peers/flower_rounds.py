"""Rounds of Flower: its simulation on Ray, `FedAvg`, with a PyTorch model.

python flower_rounds.py WORK.npz FD
"""

import functools
import logging
import os
import sys
from pathlib import Path

import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from rows import Row, change_of, device_samples, read_work, serve
from torch_model import EdgeModule, tensors


@functools.cache
def _device_data(path: str):
    """Read once in each of Ray's processes."""
    torch.set_num_threads(1)
    work = read_work(Path(path))
    return work, [tensors(samples) for samples in device_samples(work)]


def client_app(path: str) -> ClientApp:
    """What a device does: an epoch of SGD from the weights that it received."""
    app = ClientApp()

    @app.train()
    def train(message, context):
        # By name, since Ray's processes import this module anew.
        from flower_rounds import _device_data

        work, devices = _device_data(path)
        samples = devices[context.node_config["partition-id"]]
        received = message.content["arrays"].to_torch_state_dict()
        module = EdgeModule({name: received[name].numpy() for name in work.start}, work.settings)
        module.losses = []
        optimizer = torch.optim.SGD(module.parameters(), lr=work.settings["learning_rate"])
        parts = (part.split(work.settings["batch_size"]) for part in samples)
        for batch in zip(*parts, strict=True):
            optimizer.zero_grad()
            module.loss(*batch).backward()
            optimizer.step()
        count = len(samples[0])
        loss = float(sum(module.losses)) / count
        metrics = MetricRecord({"loss": loss, "num-examples": count})
        content = RecordDict({"arrays": ArrayRecord(module.state_dict()), "metrics": metrics})
        return Message(content=content, reply_to=message)

    return app


def server_app(path: str) -> ServerApp:
    """Serves the row: rounds are measured where the strategy runs."""
    app = ServerApp()

    @app.main()
    def main(grid, context):
        del context
        work = read_work(Path(path))
        number = len(work.counts)
        strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=number)
        arrays = ArrayRecord({name: torch.tensor(value) for name, value in work.start.items()})

        def one_round():
            nonlocal arrays
            result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=1)
            arrays = result.arrays
            return result.train_metrics_clientapp[1]["loss"]

        loss = one_round()
        change = change_of(work, arrays.to_torch_state_dict())
        row = Row("Flower, averaging", one_round, loss, change, slow=True)
        serve([row], packages=["flwr", "ray", "torch"])

    return app


def main() -> None:
    """Runs the simulation until no more rounds are asked for."""
    path = sys.argv[1]
    logging.getLogger("flwr").setLevel(logging.WARNING)
    # What Ray leaves goes with the work.
    os.environ["RAY_TMPDIR"] = str(Path(path).parent)
    devices = len(read_work(Path(path)).counts)
    run_simulation(
        server_app(path),
        client_app(path),
        num_supernodes=devices,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False},
        },
    )


if __name__ == "__main__":
    main()
