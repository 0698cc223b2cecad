"""Starting weights of edge models as a version of the cloud holds them.

    edge_starts.json   tier, sizes, fingerprint of the architecture, how they were trained
    edge_starts.npz    the weights, by tier

A version without starting weights has neither file.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.array_files import read_arrays, write_arrays
from ecct_tf.config import Tier
from ecct_tf.edge import EdgeModel, EdgeSpec, build_edge_model
from ecct_tf.errors import ConfigError, RegistryError
from ecct_tf.files import read_plain_text, write_text

__all__ = ["EdgeStart", "read_starts", "write_starts"]

Array = npt.NDArray[np.float32]

_ABOUT, _WEIGHTS = "edge_starts.json", "edge_starts.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class EdgeStart:
    """Starting weights of one edge model.

    Attributes:
      tier: the edge architecture.
      spec: the sizes it was built for.
      fingerprint: of the architecture, as it was when they were trained.
      settings: how they were trained, by name.
      weights: `[P] float32`.
    """

    tier: Tier
    spec: EdgeSpec
    fingerprint: str
    settings: Mapping[str, Any]
    weights: Array

    @classmethod
    def of(cls, model: EdgeModel, weights: Array, *, settings: Mapping[str, Any]) -> "EdgeStart":
        """The starting weights of `model`."""
        return cls(model.tier, model.spec, model.fingerprint, settings, weights)

    @property
    def model(self) -> EdgeModel:
        """The architecture.

        Raises:
          RegistryError: this release builds another one for the same tier and sizes.
        """
        model = build_edge_model(self.tier, self.spec)
        if model.fingerprint != self.fingerprint or self.weights.shape != (model.layout.size,):
            raise RegistryError(
                f"starting weights of tier {self.tier!r}: expected those of the architecture "
                f"{model.fingerprint[:16]}… with {model.layout.size} weights, found "
                f"{len(self.weights)} of {self.fingerprint[:16]}…; another release trained them. "
                "Train a version with this one (`ecct cloud retrain`)."
            )
        return model


def write_starts(folder: Path, starts: Mapping[Tier, EdgeStart]) -> None:
    """Writes the files into `folder`, none where there are no starting weights."""
    if not starts:
        return
    about = {
        tier: {
            "sizes": dataclasses.asdict(start.spec),
            "fingerprint": start.fingerprint,
            "settings": dict(start.settings),
        }
        for tier, start in starts.items()
    }
    write_text(folder / _ABOUT, json.dumps(about, indent=2) + "\n")
    write_arrays(folder / _WEIGHTS, {str(tier): start.weights for tier, start in starts.items()})


def read_starts(folder: Path) -> dict[Tier, EdgeStart]:
    """The starting weights of a version, by tier; none for a version from before there were any.

    Raises:
      RegistryError: they are damaged.
    """
    if not (folder / _ABOUT).exists():
        return {}
    weights = read_arrays(folder / _WEIGHTS)
    try:
        about = json.loads(read_plain_text(folder / _ABOUT))
        return {
            tier: EdgeStart(
                tier=tier,
                spec=EdgeSpec.of(each["sizes"]),
                fingerprint=each["fingerprint"],
                settings=each["settings"],
                weights=weights[tier],
            )
            for tier, each in about.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise RegistryError(
            f"{folder / _ABOUT}: expected starting weights of edge models: {error!r}; restore the "
            "version from a copy"
        ) from error
