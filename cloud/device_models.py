"""What devices run beside a version's item table, so that files can be made of the version alone.

    device_models.json   sizes and fingerprint of each tier's edge model, names of the private
                         columns, rules of private numbers, names of those of
                         several values

All of it is public: how many values a private column has and what it is called, never whose they
are, nor the values themselves.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecct_tf.config import Tier
from ecct_tf.data.numbers import Scaling
from ecct_tf.edge import EdgeModel, EdgeSpec, build_edge_model
from ecct_tf.errors import ConfigError, RegistryError
from ecct_tf.files import read_plain_text, write_text

__all__ = ["DeviceModels"]

_NAME = "device_models.json"


@dataclasses.dataclass(frozen=True)
class DeviceModels:
    """The edge models of a version.

    Attributes:
      specs: the sizes of each tier's.
      fingerprints: of their architectures, as they were when the version was made.
      profile: names of the private categorical columns, in their order; empty where a job was told
        their sizes alone.
      numbers: rules of the private numbers, in their order; empty likewise.
      sets: names of the private columns of several values; empty likewise.
    """

    specs: Mapping[Tier, EdgeSpec]
    fingerprints: Mapping[Tier, str]
    profile: tuple[str, ...] = ()
    numbers: Mapping[str, Scaling] = dataclasses.field(default_factory=dict)
    sets: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        models: Sequence[EdgeModel],
        *,
        profile: tuple[str, ...],
        numbers: Mapping[str, Scaling],
        sets: tuple[str, ...] = (),
    ) -> "DeviceModels":
        """What is to be known of `models`."""
        return cls(
            {model.tier: model.spec for model in models},
            {model.tier: model.fingerprint for model in models},
            profile,
            numbers,
            sets,
        )

    def model(self, tier: Tier) -> EdgeModel:
        """The edge model of a tier.

        Raises:
          RegistryError: the version has none, or this release builds another one.
        """
        spec = self.specs.get(tier)
        if spec is None:
            raise RegistryError(
                f"edge models: expected one of the version's tiers {', '.join(self.specs)}, got "
                f"{tier!r}; a job has others by edge.tiers"
            )
        model = build_edge_model(tier, spec)
        if model.fingerprint != self.fingerprints[tier]:
            raise RegistryError(
                f"edge model of tier {tier!r}: expected the architecture "
                f"{self.fingerprints[tier][:16]}…, as the version was made for, this release "
                f"builds {model.fingerprint[:16]}…; make a version with this one (`ecct cloud "
                "retrain`)"
            )
        return model

    def write(self, folder: Path) -> None:
        """Writes the file into `folder`."""
        about = {
            "tiers": {
                tier: {
                    "sizes": dataclasses.asdict(spec),
                    "fingerprint": self.fingerprints[tier],
                }
                for tier, spec in self.specs.items()
            },
            "profile": list(self.profile),
            "numbers": {name: rule.as_dict() for name, rule in self.numbers.items()},
            "sets": list(self.sets),
        }
        write_text(folder / _NAME, json.dumps(about, ensure_ascii=False, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "DeviceModels | None":
        """The edge models of a version; None of one from before they were kept.

        Raises:
          RegistryError: the file is damaged.
        """
        path = folder / _NAME
        if not path.exists():
            return None
        try:
            about = json.loads(read_plain_text(path))
            tiers = about["tiers"]
            return cls(
                {tier: EdgeSpec.of(each["sizes"]) for tier, each in tiers.items()},
                {tier: each["fingerprint"] for tier, each in tiers.items()},
                tuple(about["profile"]),
                {name: Scaling(**rule) for name, rule in about["numbers"].items()},
                # Versions of before know of none.
                tuple(about.get("sets", ())),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise RegistryError(
                f"{path}: expected the edge models of a version: {error!r}; restore the version "
                "from a copy"
            ) from error
