"""The federated baselines compute the same by both engines."""

import numpy as np
import pytest

from ecct_tf.federated import chosen_engine


@pytest.mark.skipif(chosen_engine() != "tff", reason="TFF is not installed")
@pytest.mark.parametrize("method", ["fedprox", "pfedrec", "fedrecon", "fedmd"])
def test_a_round_is_the_same_by_both_engines(build_baseline, run_baseline, method):
    (state, report), (other, repeated) = (
        run_baseline(build_baseline(method, engine=engine), 1) for engine in ("tff", "local")
    )
    for name, part in state.server._asdict().items():
        # Changes cross as float16: one between two steps may fall to either side.
        np.testing.assert_allclose(part, getattr(other.server, name), atol=1e-4, err_msg=name)
    np.testing.assert_allclose(state.private, other.private, atol=1e-6)
    assert repeated.train_loss == pytest.approx(report.train_loss, abs=1e-6)
    assert repeated.weights_bytes == report.weights_bytes


@pytest.mark.parametrize("method", ["fedavg", "fine-tuning", "pfedrec"])
def test_the_local_engine_learns_and_repeats_itself(build_baseline, run_baseline, method):
    baseline = build_baseline(method, engine="local")
    (state, first), (again, _) = (run_baseline(baseline, 2) for _ in range(2))
    assert state.private.tobytes() == again.private.tobytes()
    assert [part.tobytes() for part in state.server] == [part.tobytes() for part in again.server]
    assert np.abs(state.server.shared - baseline.initialize().server.shared).max() > 1e-4
    assert first.devices == baseline.num_devices
