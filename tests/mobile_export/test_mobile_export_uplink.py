"""The uplink of a file is the simulation's, and its bytes are those that were declared."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.knowledge import Uplink
from ecct_tf.wire import placed_bytes
from mobile_export.checking.source import SourceModel
from mobile_export.contract.task import file_sizes
from mobile_export.contract.wire import pack_uplink, unpack_uplink, uplink_form
from mobile_export.making.examples import DeviceExample, example_inputs
from mobile_export.making.items import ItemStore


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
    by_item = dataclasses.replace(work.exchange, answer_by="item")
    assert len(content) == by_item.uplink_bytes
    # On its way to the cloud the file's answer leaves the items out.
    assert work.exchange.uplink_bytes == placed_bytes(uplink_form(form))
    found = unpack_uplink(content, form)
    uplink = Uplink(
        users=np.array([found.user], np.int32),
        items=found.items[None],
        embeddings=tuple(part[None] for part in found.embeddings),
        logits=tuple(part[None] for part in found.logits),
    )
    work.exchange.check_uplink(uplink)
    store = ItemStore(table, "int4")
    source = SourceModel(
        work.model, weights_of(work), store.decoded(), store.block_sizes, task
    ).answer("uplink", inputs)
    coder = work.exchange.coder
    # A step of the int8 codec is the scale.
    step = float(np.max(found.embeddings[1])) * 1.01
    np.testing.assert_allclose(
        coder.decode(uplink.embeddings, work.exchange.embedding_dim).numpy()[0],
        source["embeddings"],
        atol=step,
    )
    np.testing.assert_allclose(
        coder.decode(uplink.logits, work.exchange.num_queries).numpy()[0],
        source["logits"],
        atol=float(found.logits[1][0]) * 1.01,
    )


# Clipping and encoding see an embedding and logits, whatever the tier.
@pytest.mark.parametrize(
    ("tier", "codec", "clip_norm"),
    [
        ("linear", "int8", 8.0),
        ("mlp", "int8", 8.0),
        ("attention", "int8", 8.0),
        ("linear", "float32", 0.05),
        ("mlp", "int8", 0.05),
        ("attention", "float32", 8.0),
    ],
)
def test_every_runtime_answers_with_the_bits_of_the_simulation(
    works, table, task_of, weights_of, exported, tier, codec, clip_norm
):
    # The mlp file as a whole, as the test before needs it.
    settings = {} if (tier, codec, clip_norm) == ("mlp", "int8", 8.0) else {"only": ("uplink",)}
    if settings:
        settings |= {"codec": codec, "clip_norm": clip_norm}
    graph, content = exported(tier, **settings)
    try:
        from ai_edge_litert import interpreter as litert
    except ImportError:
        litert = tf.lite
    run = litert.Interpreter(model_content=content).get_signature_runner("uplink")
    exchange = dataclasses.replace(works[tier].exchange, codec=codec, clip_norm=clip_norm)
    work = works[tier].changed(exchange=exchange)
    store = ItemStore(table, "int4")
    source = SourceModel(
        work.model, weights_of(work), store.decoded(), store.block_sizes, task_of(work)
    )
    rng = np.random.default_rng(5)
    for _ in range(10):
        vector = rng.integers(-127, 128, work.model.spec.cloud_dim)
        example = DeviceExample(
            history=rng.integers(0, 41, work.features.history_length).astype(np.int32),
            candidates=rng.integers(1, 41, exchange.num_queries).astype(np.int32),
            profile=np.ones(len(work.model.spec.profile_sizes), np.int32),
            user_embedding=vector.astype(np.int8 if codec == "int8" else np.float32),
            user_embedding_scale=2.0**-7 if codec == "int8" else 1.0,
        )
        inputs = example_inputs(example, graph.contract["uplink"])
        found, expected = run(**inputs), source.answer("uplink", inputs)
        if codec == "int8":
            scales = found["embedding_scales"].astype(np.uint16).view(np.float16)
            found["embeddings"] = found["embeddings"] * scales.astype(np.float32)[:, None]
            scale = found["logit_scale"].astype(np.uint16).view(np.float16).astype(np.float32)
            found["logits"] = found["logits"] * scale
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)
        norms = np.linalg.norm(expected["embeddings"], axis=1)
        assert (norms <= clip_norm * 1.05).all()
        assert clip_norm > 1.0 or norms.max() > clip_norm * 0.9
