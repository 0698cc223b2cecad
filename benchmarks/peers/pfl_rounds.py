"""Rounds of pfl: `FederatedAveraging` on its simulated backend, with a PyTorch model.

python pfl_rounds.py WORK.npz FD
"""

import sys
from pathlib import Path

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from rows import Row, Work, change_of, device_samples, read_work, serve
from torch_model import EdgeModule, tensors

# pfl evaluates in its first iteration, and then in none that is reached.
_NEVER = 10**9


class _PauseAfterEach(TrainingProcessCallback):
    """Leaves the algorithm's loop after an iteration; the next `run` continues from there."""

    def after_central_iteration(self, *told, **more):
        del told, more
        return True, Metrics()


class Rounds:
    """Federated averaging."""

    def __init__(self, work: Work) -> None:
        settings = work.settings
        self.module = EdgeModule(work.start, settings)
        data = {
            str(user): PyTorchTensorDataset(tensors(samples), user_id=str(user))
            for user, samples in enumerate(device_samples(work))
        }
        sampler = get_user_sampler("minimize_reuse", list(data))
        federated = FederatedDataset(data.__getitem__, sampler)
        self._algorithm = FederatedAveraging()
        self._arguments = {
            "algorithm_params": NNAlgorithmParams(
                central_num_iterations=_NEVER,
                evaluation_frequency=_NEVER,
                train_cohort_size=len(data),
                val_cohort_size=None,
            ),
            "backend": SimulatedBackend(federated, federated, [WeightByDatapoints()]),
            "model": PyTorchModel(
                self.module,
                local_optimizer_create=torch.optim.SGD,
                central_optimizer=torch.optim.SGD(self.module.parameters(), lr=1.0),
            ),
            "model_train_params": NNTrainHyperParams(
                local_num_epochs=1,
                local_learning_rate=settings["learning_rate"],
                local_batch_size=settings["batch_size"],
            ),
            "callbacks": [_PauseAfterEach()],
            "send_metrics_to_platform": False,
        }

    def __call__(self) -> None:
        """Does a round."""
        self._algorithm.run(**self._arguments)


def _row(name: str, *, table: bool) -> Row:
    work = read_work(Path(sys.argv[1]), table=table)
    rounds = Rounds(work)
    rounds.module.losses = []
    rounds()
    loss = sum(map(float, rounds.module.losses)) / np.sum(work.counts)
    rounds.module.losses = None
    weights = {name: value.detach() for name, value in rounds.module.named_parameters()}
    return Row(name, rounds, loss, change_of(work, weights), table=table, slow=True)


def main() -> None:
    """Serves the rows."""
    torch.set_num_threads(1)
    rows = [_row("pfl, averaging", table=False), _row("pfl, with item table", table=True)]
    serve(rows, packages=["pfl", "torch"])


if __name__ == "__main__":
    main()
