"""The uplink of a file is the simulation's, and its bytes are those that were declared."""

import numpy as np

from ecct_tf.knowledge import Uplink
from mobile_export.examples import DeviceExample, example_inputs
from mobile_export.items import ItemStore
from mobile_export.source import SourceModel
from mobile_export.task import file_sizes
from mobile_export.wire import pack_uplink, unpack_uplink


def test_the_cloud_reads_what_a_file_answers(
    works, table, task_of, weights_of, exported, interpreter
):
    work = works["mlp"]
    task, spec = task_of(work), work.model.spec
    example = DeviceExample(
        history=np.array([0, 2, 3, 9, 4, 11], np.int32),
        candidates=np.array([5, 1, 40, 7], np.int32),
        profile=np.ones(len(spec.profile_sizes), np.int32),
        user_embedding=np.arange(spec.cloud_dim).astype(np.int8),
        user_embedding_scale=2.0**-7,
    )
    inputs = example_inputs(example, exported("mlp")[0].contract["uplink"])
    form = file_sizes(work.model, task, trained=work.model.layout.size)
    content = pack_uplink(11, interpreter("mlp")("uplink", **inputs), form)
    assert len(content) == work.exchange.uplink_bytes
    found = unpack_uplink(content, form)
    uplink = Uplink(
        users=np.array([found.user], np.int32),
        items=found.items[None],
        embeddings=tuple(part[None] for part in found.embeddings),
        logits=tuple(part[None] for part in found.logits),
    )
    work.exchange.check_uplink(uplink)
    store = ItemStore(table, "int8")
    source = SourceModel(
        work.model, weights_of(work), store.decoded(), store.block_sizes, task
    ).answer("uplink", inputs)
    coder = work.exchange.coder
    # A step of the int8 codec is the scale.
    step = float(np.max(found.embeddings[1])) * 1.01
    np.testing.assert_allclose(
        coder.decode(uplink.embeddings).numpy()[0], source["embeddings"], atol=step
    )
    np.testing.assert_allclose(
        coder.decode(uplink.logits).numpy()[0],
        source["logits"],
        atol=float(found.logits[1][0]) * 1.01,
    )
