"""The model as a PyTorch module, for pfl and Flower."""

import functools

import torch
from model import Operations, Samples, batch_losses, logits

__all__ = ["EdgeModule", "tensors"]

_OPERATIONS = Operations(
    concat=functools.partial(torch.cat, dim=-1),
    relu=torch.relu,
    tanh=torch.tanh,
    sigmoid=torch.sigmoid,
    softplus=torch.nn.functional.softplus,
)


class EdgeModule(torch.nn.Module):
    """The weights, and the loss of a batch; `losses`, if it is a list, gets the sums of losses."""

    def __init__(self, start, settings) -> None:
        super().__init__()
        for name, value in start.items():
            self.register_parameter(name, torch.nn.Parameter(torch.tensor(value)))
        self._settings = settings
        self.losses = None

    def forward(self, *samples: torch.Tensor) -> torch.Tensor:
        """`[B] float32`, logits."""
        return logits(_OPERATIONS, self._parameters, Samples(*samples))

    def loss(self, *samples: torch.Tensor) -> torch.Tensor:
        """`[] float32`."""
        mean = batch_losses(
            _OPERATIONS,
            self(*samples),
            Samples(*samples),
            distillation_weight=self._settings["distillation_weight"],
            temperature=self._settings["temperature"],
        ).mean()
        if self.losses is not None:
            self.losses.append(mean.detach() * len(samples[0]))
        return mean

    def metrics(self, *samples: torch.Tensor) -> dict[str, object]:
        """None; pfl asks for some."""
        del samples
        return {}


def tensors(samples: Samples) -> tuple[torch.Tensor, ...]:
    """The same samples; ids as PyTorch indexes with them."""
    ids = {name: getattr(samples, name).astype("int64") for name in ("profile", "item")}
    return tuple(map(torch.tensor, samples._replace(**ids)))
