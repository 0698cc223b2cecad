"""Files for item tables that count what devices met lately, and samples without their own part."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.edge import item_tensors
from ecct_tf.errors import ExportError
from ecct_tf.federated import prepare_devices
from ecct_tf.federated.drawn import sample_histories
from ecct_tf.simulation.builder import device_work
from mobile_export.contract.task import check_told
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.export import export_edge_model
from mobile_export.making.inputs import InputGraph
from mobile_export.making.items import ItemStore


@pytest.fixture(scope="module")
def counted(config, table, works):
    """The work of devices that hold a table whose last attribute counts."""
    rng = np.random.default_rng(3)
    recent = np.log1p(rng.integers(0, 9, len(table.bias)) / 2).astype(np.float32)
    attributes = table.attributes.copy()
    attributes[:, -1] = recent
    attributes[0] = 0.0
    table = dataclasses.replace(table, attributes=attributes, counts_newest=True)
    return table, device_work(config, "mlp", table=table, profile=works["mlp"].model.profile)


def test_a_file_reads_samples_as_the_simulation_does(counted, experiment, config):
    table, work = counted
    shared = {
        "items": item_tensors(table),
        "features": config.features,
        "samples": config.samples,
        "seed": config.seed,
    }
    group = max(experiment.groups, key=lambda group: len(group[0].recent))

    def data(counts_newest):
        made = prepare_devices(
            [group],
            block_sizes=work.block_sizes,
            with_slots=False,
            counts_newest=counts_newest,
            **shared,
        )
        return made.devices[0]

    plain, expected = data(False), data(True)
    differs = (plain.features != expected.features).any(axis=1)
    assert differs.any()
    # Of negatives nothing is taken out.
    assert not differs[expected.labels == 0].any()
    graph = InputGraph(work.model, ItemStore(table, "float32"), work.task)
    given = {
        "history": sample_histories(group, **shared),
        "candidates": expected.candidates,
        "labels": expected.labels.astype(np.float32),
        "profile": expected.profile[0],
        "user_embedding": np.zeros(work.exchange.cloud_dim, np.float32),
    }
    read, _ = graph.samples({name: tf.constant(value) for name, value in given.items()})
    np.testing.assert_allclose(
        read.interactions, expected.features.astype(np.float32), rtol=2e-3, atol=2e-3
    )
    assert np.mean(read.interactions.numpy() == expected.features) > 0.99


def test_a_file_tells_it(counted, task_of, weights_of, tmp_path):
    table, work = counted
    task = task_of(work)
    (file,) = export_edge_model(work.model, weights_of(work), table, task=task, out=tmp_path)
    metadata = read_metadata(file.path.read_bytes())
    assert metadata["training"]["counts_newest"] is True
    check_told(task, metadata)
    plain = task.changed(counts_newest=False)
    with pytest.raises(ExportError, match="counts_newest: the run has False, the file tells True"):
        check_told(plain, metadata)
