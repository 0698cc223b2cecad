"""Tiny edge specifications and random inputs, with or without the leading device axis."""

import numpy as np
import pytest

from ecct_tf.edge import EdgeInputs, EdgeSpec


@pytest.fixture
def spec():
    return EdgeSpec(
        interaction_dim=5,
        history_length=4,
        num_blocks=2,
        profile_sizes=(3, 2),
        cloud_dim=3,
        embedding_dim=4,
        hidden_dim=6,
        profile_dim=2,
        heads=2,
        item_dim=3,
    )


@pytest.fixture
def make_inputs():
    """`make_inputs(spec, *lead)`: NumPy inputs with the leading shape `lead`, the rows last."""

    def make(spec, *lead, seed=0):
        rng = np.random.default_rng(seed)

        def normal(*shape):
            return rng.standard_normal((*lead, *shape)).astype(np.float32)

        mask = (rng.random((*lead, spec.history_length, 1)) < 0.6).astype(np.float32)
        mask[..., 0, :, :] = 0.0  # the first pair has no history at all
        sizes = np.array(spec.profile_sizes)
        return EdgeInputs(
            interactions=normal(spec.interaction_dim),
            slots=normal(spec.history_length, spec.num_blocks) * mask,
            slot_mask=mask,
            profile=rng.integers(0, sizes, (*lead, len(sizes))).astype(np.int32),
            cloud_embedding=normal(spec.cloud_dim),
            cloud_logit=normal(),
            history_items=normal(spec.history_length, spec.item_dim) * mask,
            history_mask=mask,
            candidate_items=normal(spec.item_dim),
        )

    return make
