"""Of a run that has ended nothing is kept, so that a study's memory stays flat."""

import gc
import weakref

import pytest

from ecct_tf.config import ROUNDS_KEYS
from ecct_tf.simulation import campaign
from ecct_tf.simulation.campaign import plan_runs, run_all

SLOW = ["fedavg", "fine-tuning", "pfedrec", "fedrecon", "fedmd", "centralized", "dccl"]


def graphs():
    return [found for found in gc.get_objects() if type(found).__name__ == "FuncGraph"]


@pytest.mark.parametrize(
    "method", ["ecct", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_nothing_of_a_finished_run_is_referenced(small_config, tmp_path, monkeypatch, method):
    simulate, earlier, kept = campaign.simulate, graphs(), []

    def watched(config, **given):
        result = simulate(config, **given)
        traced = [graph for graph in graphs() if not any(graph is each for each in earlier)]
        assert traced
        kept.extend(map(weakref.ref, [result.algorithm, result.experiment, *traced]))
        return result

    monkeypatch.setattr(campaign, "simulate", watched)
    config = small_config(
        *(f"{key}=1" for key in ROUNDS_KEYS.values()),
        "exchange.stage_1_rounds=0",
        "runtime.engine=local",
        "edge.start=cloud",
        "data.synthetic_users=8",
        "centralized={epochs: 1, patience: 1}",
    )
    run_all(plan_runs(config, methods=[method], seeds=[0]), out=tmp_path, say=lambda _: None)
    assert len(kept) > 2
    assert [type(each()).__name__ for each in kept if each() is not None] == []
