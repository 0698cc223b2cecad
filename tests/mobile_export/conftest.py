"""A tiny experiment of all three tiers whose edge models the tests export."""

import dataclasses
import functools
import importlib.util
import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import (
    CloudConfig,
    EdgeConfig,
    EvaluationConfig,
    ExchangeConfig,
    FeatureConfig,
    RunConfig,
    SampleConfig,
    TrainingConfig,
)
from ecct_tf.data import SyntheticConfig, synthetic_dataset
from ecct_tf.data.profile import device_profile
from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.federated import DeviceData, prepare_devices, stack_devices
from ecct_tf.knowledge import Downlink
from ecct_tf.simulation.builder import device_work
from ecct_tf.simulation.ecct import build_ecct
from ecct_tf.simulation.experiment import build_experiment
from mobile_export.contract.signatures import signatures
from mobile_export.contract.task import file_sizes
from mobile_export.device import Device, DeviceModel, ReceivedDownlink, TrainingPlan
from mobile_export.making.conversion import convert
from mobile_export.making.export import export_edge_model
from mobile_export.making.graph import EdgeGraph
from mobile_export.making.items import ItemStore
from mobile_export.making.parameters import all_weights, low_rank

RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") else "tensorflow"


@pytest.fixture(scope="session")
def config():
    return RunConfig(
        seed=3,
        features=FeatureConfig(history_length=6, decays=(1.0, 0.8), last_items=2, clock=False),
        samples=SampleConfig(negatives=3, max_positions=16, guard_positions=0),
        edge=EdgeConfig(
            tiers={"linear": 0.34, "mlp": 0.33, "attention": 0.33},
            embedding_dim=3,
            hidden_dim=8,
            profile_dim=2,
            start="random",
        ),
        training=TrainingConfig(
            loss="bce",
            batch_size=6,
            learning_rate=0.1,
            private_learning_rate=0.05,
            distillation_weight=0.3,
        ),
        exchange=ExchangeConfig(codec="int8", weights_codec="float32", stage_1_rounds=0, queries=4),
        cloud=CloudConfig(rank=3, free_dim=2, hidden_dim=4),
        evaluation=EvaluationConfig(negatives=5, k=3),
    )


@pytest.fixture(scope="session")
def algorithm(config):
    dataset = synthetic_dataset(SyntheticConfig(users=24, items=40, interactions=12, seed=5))
    return build_ecct(build_experiment(config, dataset=dataset, progress=False))


@pytest.fixture(scope="session")
def experiment(config):
    dataset = synthetic_dataset(SyntheticConfig(users=24, items=40, interactions=12, seed=5))
    return build_experiment(config, dataset=dataset, progress=False)


@pytest.fixture(scope="session")
def works(algorithm):
    """Device work by tier."""
    return {cohort.work.model.tier: cohort.work for cohort in algorithm.process.cohorts}


@pytest.fixture(scope="session")
def table(algorithm):
    return algorithm.table


@pytest.fixture(scope="session")
def clocked_parts(config, table, works):
    """The mlp tier with a clock, hour and weekday included, and the default loss."""
    features = dataclasses.replace(config.features, clock=True, clock_calendar=True)
    # The default loss, of whole positions: the other files here learn sample by sample.
    training = dataclasses.replace(config.training, loss="sampled_softmax", batch_size=8)
    config = dataclasses.replace(config, features=features, training=training)
    added, rng = features.clock_features(num_blocks=len(table.blocks)), np.random.default_rng(4)
    table = dataclasses.replace(
        table,
        feature_mean=np.append(table.feature_mean, rng.uniform(-0.5, 0.5, added).astype("f4")),
        feature_scale=np.append(table.feature_scale, rng.uniform(0.5, 2.0, added).astype("f4")),
    )
    work = device_work(config, "mlp", table=table, profile=works["mlp"].model.profile)
    return SimpleNamespace(config=config, table=table, work=work)


@pytest.fixture(scope="session")
def clocked(clocked_parts, task_of, weights_of, tmp_path_factory):
    """The same with the `path` of its file."""
    work = clocked_parts.work
    (file,) = export_edge_model(
        work.model,
        weights_of(work),
        clocked_parts.table,
        task=task_of(work),
        out=tmp_path_factory.mktemp("clocked"),
    )
    return SimpleNamespace(**vars(clocked_parts), path=file.path)


@pytest.fixture(scope="session")
def items(table):
    """The item table as arrays."""
    return type(item_tensors(table))(*(np.asarray(array) for array in item_tensors(table)))


@pytest.fixture(scope="session")
def task_of():
    """The task of a device work; keyword arguments change its training."""

    def task_of(work, **training):
        return work.task.changed(training=dataclasses.replace(work.training, **training))

    return task_of


@pytest.fixture(scope="session")
def weights_of():
    """Weights that are zero nowhere, so that every path carries a gradient."""
    return lambda work: work.model.layout.initial(5) + np.float32(0.05)


@pytest.fixture(scope="session")
def graph_of(works, table, clocked_parts, task_of, weights_of):
    """`graph_of(tier, ...)`: a trainable file before its conversion; `mlp` also with a clock."""

    def graph_of(
        tier,
        encoding="int4",
        *,
        only=None,
        adapters=False,
        static=None,
        codec="int8",
        clip_norm=8.0,
        clock=False,
        **training,
    ):
        work = clocked_parts.work if clock else works[tier]
        exchange = dataclasses.replace(work.exchange, codec=codec, clip_norm=clip_norm)
        work = work.changed(exchange=exchange)
        task, weights = task_of(work, **training), weights_of(work)
        make = functools.partial(low_rank, rank=2) if adapters else all_weights
        parameters = make(work.model, weights, sharing=task.sharing)
        batch, candidates = static or (None, None)
        sizes = file_sizes(
            work.model, task, trained=parameters.size, batch=batch, candidates=candidates
        )
        contract = signatures(sizes, trainable=True)
        chosen = {name: contract[name] for name in only or contract}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mobile_export.making.graph.signatures", lambda *_, **__: chosen)
            return EdgeGraph(
                work.model,
                parameters=parameters,
                items=ItemStore(clocked_parts.table if clock else table, encoding),
                task=task,
                sizes=sizes,
                trainable=True,
            )

    return graph_of


@pytest.fixture(scope="session")
def exported(graph_of):
    """Content and graph of a converted file, once for each set of arguments.

    Converting takes seconds: a test that runs one signature names it in `only`.
    """

    @functools.cache
    def exported(*args, **kwargs):
        graph = graph_of(*args, **kwargs)
        return graph, convert(graph, precision="float32")

    return exported


@pytest.fixture(scope="session")
def interpreter(exported):
    """`interpreter(tier, ...)`: a call `run(signature, **inputs)` on a fresh interpreter."""

    def interpreter(*args, **kwargs):
        loaded = tf.lite.Interpreter(model_content=exported(*args, **kwargs)[1])
        runners = {name: loaded.get_signature_runner(name) for name in loaded.get_signature_list()}
        return lambda name, **inputs: runners[name](**inputs)

    return interpreter


@pytest.fixture(scope="session")
def packed(tmp_path_factory, works, table, task_of, weights_of):
    """`packed(tier)`: a file of the default variant and its manifest; `mlp` also static, 8 by 5."""

    @functools.cache
    def files(tier):
        work = works[tier]
        return export_edge_model(
            work.model,
            weights_of(work),
            table,
            task=task_of(work),
            out=tmp_path_factory.mktemp("export"),
            static=(8, 5) if tier == "mlp" else None,
        )

    return lambda tier, static=False: files(tier)[int(static)].path


@pytest.fixture(scope="session")
def simulated():
    def simulated(work, view, *, items, config, weights, downlink):
        """Weights and uplink of the simulation's device work."""
        (data,) = prepare_devices(
            [[view]],
            items=items,
            block_sizes=work.block_sizes,
            features=config.features,
            samples=config.samples,
            with_slots=work.model.reads_slots,
            group_size=work.task.group_size,
            seed=config.seed,
        ).devices
        padded = stack_devices([data], batch_size=work.task.batch_size)
        split = work.shared_size
        result = work(
            shared=tf.constant(weights[:split]),
            noise_seed=tf.constant(0),
            items=ItemTensors(*map(tf.constant, items)),
            data=DeviceData(*(tf.constant(part[0]) for part in padded)),
            private=tf.constant(weights[split:]),
            downlink=Downlink(
                (
                    tf.constant(downlink.user_embedding[None]),
                    tf.constant([[downlink.scale]], tf.float16),
                ),
                tf.constant(downlink.queries[None]),
            ),
            stacked=False,
        )
        shared = weights[:split] + result.delta.numpy() / float(result.weight)
        return np.concatenate([shared, result.private.numpy()]), result

    return simulated


@pytest.fixture(scope="session")
def wire():
    def wire(uplink):
        """The bytes of the simulation's uplink of one user."""
        parts = [uplink.users, uplink.items, *uplink.embeddings, *uplink.logits]
        return b"".join(np.asarray(part).tobytes() for part in parts)

    return wire


@pytest.fixture(scope="session")
def film_tokens():
    """Names of the 40 items, two of which a careless reader would split or lose."""
    return [f"film {k}" for k in range(1, 39)] + ["Amélie – 雨", "two\u2028lines"]


@pytest.fixture(scope="session")
def golden_files():
    """`(folder, fresh, case)`: the folder, whose files `WRITE_GOLDEN=1` writes anew."""

    def golden_files(folder, fresh, case):
        if os.environ.get("WRITE_GOLDEN"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(fresh, folder / "edge.tflite")
            manifest = json.loads((fresh.parent / "manifest.json").read_text(encoding="utf-8"))
            manifest["files"] = {"edge.tflite": manifest["files"][fresh.name]}
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
            (folder / "case.json").write_text(json.dumps(case(), indent=1) + "\n")
        return folder

    return golden_files


# Of devices in Python; tests of other devices have fixtures of their own by these names.


@pytest.fixture(scope="session")
def model(packed):
    return DeviceModel(packed("mlp"), runtime=RUNTIME)


@pytest.fixture(scope="session")
def plan(config):
    return TrainingPlan(seed=config.seed)


@pytest.fixture(scope="session")
def views(experiment):
    return [view for group in experiment.groups for view in group]


@pytest.fixture(scope="session")
def downlink(works):
    spec = works["mlp"].exchange
    rng = np.random.default_rng(0)
    return ReceivedDownlink(
        rng.integers(-127, 128, spec.cloud_dim).astype(np.int8),
        np.array([5, 1, 40, 7]),
        scale=2.0**-6,
    )


@pytest.fixture
def device(tmp_path, model, views, downlink, held):
    """Some user's, with a downlink."""
    found = Device.create(tmp_path / "device.state", model, **held(views[3]))
    found.receive(downlink)
    return found


@pytest.fixture(scope="session")
def held():
    """`(view) -> dict`: what a device holds of a view."""

    def of(view):
        return {
            "user": view.user,
            "history": view.history,
            "profile": device_profile(view),
            "num_older": view.num_older,
        }

    return of
