"""From the name of an edge model to the model, for given sizes."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from ecct_tf import fixed_order as order
from ecct_tf.config import EdgeConfig, FeatureConfig, Tier
from ecct_tf.config.edge_names import is_own_tier
from ecct_tf.edge.architecture import READABLE, Architecture
from ecct_tf.edge.layout import WeightLayout
from ecct_tf.edge.model import EdgeInputs, EdgeModel, EdgeOutputs, EdgeSpec, Forward
from ecct_tf.edge.operators import check_operators
from ecct_tf.edge.order import refusing_functions
from ecct_tf.edge.plain import phone_gradient
from ecct_tf.edge.profile import with_profile
from ecct_tf.edge.registry import find_builder
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import guarded

__all__ = ["build_edge_model", "check_edge_models", "largest_tier", "model_of"]


def build_edge_model(tier: Tier, spec: EdgeSpec) -> EdgeModel:
    """Builds the edge model `tier` for the sizes in `spec`.

    A model that is not the library's own is traced once, forward and gradient, alone and stacked:
    an operator that a phone has not is refused here, not at the export.

    Args:
      tier: one of the library's, one that a package registers, or `module:name`.
      spec: the sizes.

    Raises:
      ConfigError: when nothing has the name, its builder fails or returns something else, or the
        model has operators, shapes or dtypes that no phone could run.
    """
    return _built(find_builder(tier), tier, spec)


# A run asks for a model once for each of its parts, and checking one takes a second.
@functools.lru_cache(maxsize=64)
def _built(builder: Callable[[EdgeSpec], Any], tier: Tier, spec: EdgeSpec) -> EdgeModel:
    what = f"edge model {tier!r}: its builder"
    with guarded(what, module=builder.__module__, hint=f"; it was called with {spec}"):
        found = builder(spec)
    model = model_of(tier, spec, found)
    if not is_own_tier(tier):
        check_operators(model)
    return model


def model_of(tier: Tier, spec: EdgeSpec, found: Any) -> EdgeModel:
    """The model of what a builder returned.

    Raises:
      ConfigError: when it is no architecture, or reads what there is not.
    """
    what = f"edge model {tier!r}"
    if not isinstance(found, Architecture):
        raise ConfigError(
            f"{what}: expected its builder to return an ecct_tf.edge.Architecture, got "
            f"{type(found).__name__}; ecct_tf.edge.architecture(layers, forward) makes one"
        )
    if not isinstance(found.layout, WeightLayout) or not callable(found.forward):
        raise ConfigError(
            f"{what}: expected a WeightLayout and a function forward, got "
            f"{type(found.layout).__name__} and {type(found.forward).__name__}"
        )
    if not found.layout.size or not all(weight.size for weight in found.layout.weights):
        empty = [repr(weight.name) for weight in found.layout.weights if not weight.size]
        got = f"{', '.join(empty)} without any" if empty else "no weights"
        raise ConfigError(f"{what}: expected weights of at least one number each, got {got}")
    if isinstance(found.reads, str) or not isinstance(found.reads, Iterable):
        raise ConfigError(
            f"{what}: reads: expected names out of {READABLE}, got {found.reads!r}; give a set"
        )
    unknown = sorted(set(found.reads) - set(READABLE))
    if unknown:
        raise ConfigError(f"{what}: reads: expected names out of {READABLE}, got {unknown}")
    if "items" in found.reads and not spec.item_dim:
        raise ConfigError(
            f"{what} reads item vectors: expected their width in EdgeSpec.item_dim, got 0"
        )
    return EdgeModel(
        tier, spec, found.layout, frozenset(found.reads), _forward_of(tier, spec, found)
    )


def _forward_of(tier: Tier, spec: EdgeSpec, found: Architecture) -> Forward:
    layout, own = found.layout, is_own_tier(tier)
    # The library's own are written without plain arithmetic: nothing changes how they are traced.
    inner = found.forward if own else refusing_functions(found.forward, what=f"edge model {tier!r}")

    def by_name(flat: tf.Tensor, inputs: EdgeInputs) -> EdgeOutputs:
        return inner(layout.unpack(flat), inputs)

    traced = by_name if own else phone_gradient(by_name)

    def forward(
        flat: tf.Tensor, inputs: EdgeInputs, *, fixed_order: bool | None = None
    ) -> EdgeOutputs:
        with order.fixed_order(order.is_fixed() if fixed_order is None else fixed_order):
            return traced(flat, with_profile(inputs, spec, reads=found.reads))

    return forward


def check_edge_models(
    edge: EdgeConfig, features: FeatureConfig, *, targets: tuple[str, ...] = ()
) -> dict[Tier, EdgeModel]:
    """Builds each edge model of a configuration for sizes like those of its run.

    What cannot work is refused so before data are read, whose sizes are not known yet.

    Args:
      edge: the models and their sizes.
      features: how histories are pooled.
      targets: names of the further targets.

    Returns:
      The models of all tiers that devices have.

    Raises:
      ConfigError: as `build_edge_model` does.
    """
    spec = dataclasses.replace(_likely_spec(edge, features), targets=targets)
    return {tier: build_edge_model(tier, spec) for tier in _present(edge)}


def largest_tier(edge: EdgeConfig) -> Tier:
    """The tier with the most weights among those that devices have: a bound must not lack any.

    >>> largest_tier(EdgeConfig(tiers={"mlp": 0.3, "linear": 0.7, "attention": 0.0}))
    'mlp'
    """
    present = list(_present(edge))
    if len(present) == 1:
        return present[0]
    models = check_edge_models(edge, FeatureConfig())
    return max(present, key=lambda tier: (models[tier].layout.size, tier))


def _present(edge: EdgeConfig) -> Iterable[Tier]:
    return sorted(tier for tier, share in edge.tiers.items() if share > 0)


def _likely_spec(edge: EdgeConfig, features: FeatureConfig) -> EdgeSpec:
    return EdgeSpec(
        interaction_dim=features.width(num_blocks=3, num_attributes=1),
        history_length=features.history_length,
        num_blocks=3,
        profile_sizes=(3, 4),
        cloud_dim=16,
        embedding_dim=edge.embedding_dim,
        hidden_dim=edge.hidden_dim,
        profile_dim=edge.profile_dim,
        heads=edge.heads,
        item_dim=48,
        # A model may need numbers or sets: whether the data have any is known once they are read.
        profile_numbers=2,
        profile_sets=(3, 2),
    )
