"""A run whose devices hold the item table in a smaller form."""

import csv
import dataclasses

import numpy as np
import pytest

from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.knowledge.table_files import item_table_file, transmit
from ecct_tf.runs.opening import open_models
from ecct_tf.simulation.ecct import build_ecct
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.run_cloud import restored_cloud
from ecct_tf.simulation.simulate import simulate
from ecct_tf.wire.compressed import compressed


def test_devices_work_with_what_the_form_decodes_to_and_its_bytes_are_counted(
    small_config, tmp_path
):
    config = small_config(
        "exchange.item_table=int4",
        "runtime.engine=local",
        "rounds=1",
        "edge.tiers={linear: 1.0}",
        "edge.start=random",
        "cloud.next_item.epochs=1",
    )
    result = simulate(config, out=tmp_path / "run")
    table = transmit(result.algorithm.cloud.publish(), "int4", "int8").table
    np.testing.assert_array_equal(result.algorithm.table.cloud, table.cloud)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    models = open_models(tmp_path / "run")
    # What crossed, with what the cloud's logits were before it learned.
    once = len(compressed(item_table_file(models.table, "int4").to_bytes()))
    assert int(row["item_table_bytes"]) == once * len(result.experiment.groups)
    assert models.table.form == "int4"
    np.testing.assert_array_equal(models.table.blocks[0].source, table.blocks[0].source)


@pytest.mark.parametrize("form", ["auto", "fine"])
def test_the_cloud_is_opened_beside_a_table_in_any_form(form, small_config):
    config = small_config(
        f"exchange.item_table={form}",
        "edge.tiers={linear: 1.0}",
        "edge.start=random",
        "cloud.next_item.epochs=1",
    )
    experiment = build_experiment(config)
    algorithm = build_ecct(experiment)
    state, table = algorithm.initialize(), algorithm.table
    arrays = algorithm.to_arrays(state)
    cloud, test = restored_cloud(experiment, arrays, table), experiment.test
    np.testing.assert_allclose(
        cloud.scores(test.users, test.items, knowledge=state.edge.knowledge, round_number=0),
        algorithm.scores(state, test)["cloud"],
        rtol=1e-4,
        atol=1e-4,
    )
    # As where a decomposition has the other sign on another machine.
    other = table.cloud * np.where(np.arange(table.cloud.shape[1]) == 0, -1, 1).astype(np.float32)
    with pytest.raises(CheckpointError, match="not those that the cloud learned with"):
        restored_cloud(experiment, arrays, dataclasses.replace(table, cloud=other))


@pytest.mark.parametrize(("form", "near"), [("int5", "int"), ("atuo", "auto")])
def test_a_form_that_there_is_not_is_refused_before_there_is_a_folder(
    form, near, small_config, tmp_path
):
    config = small_config(f"exchange.item_table={form}")
    wanted = rf"exchange\.item_table: expected a form .* of auto, .* lean, .* did you mean {near}"
    with pytest.raises(ConfigError, match=wanted):
        simulate(config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
