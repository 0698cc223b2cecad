"""What exported edge models promise, measured: operators, parity, sizes, latency, quality, abuse.

    python benchmarks/mobile.py --run runs/my-run --litert-python litert/bin/python

RUN is a run of all three tiers. Exit code 1 when a goal is missed. `--only` takes a list out of
verify, parity, sizes, latency, quality, abuse.
"""

import argparse
import dataclasses
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from mobile_tables import export_bench

from ecct_tf.errors import ExportError
from ecct_tf.runs.models import RunModels
from ecct_tf.runs.opening import open_models
from ecct_tf.runs.quality import measure_quality
from mobile_export.checking.behaviour import TRAINING_TOLERANCE, check_guards
from mobile_export.checking.hostile import damaged_files
from mobile_export.checking.reference import Reference
from mobile_export.checking.synthetic import synthetic_examples
from mobile_export.checking.verification import verify_file
from mobile_export.contract.signatures import contract_of
from mobile_export.flatbuffer.packing import check_digest, expected_digest, read_metadata
from mobile_export.making.examples import DeviceExample, example_inputs
from mobile_export.making.export import ExportedFile, export_edge_model
from mobile_export.making.variants import VARIANTS, find_variant
from mobile_export.runtime.interpreter import CallRefusedError, Interpreter, ProcessDiedError

SMALL, LARGE = (3706, 16), (100_000, 32)
SIZE_GOALS = {
    (SMALL, "trainable-int8"): 160_000,
    (LARGE, "trainable-int8"): 3_500_000,
    (LARGE, "trainable-int4"): 1_950_000,
}
LATENCY_GOALS = {"score": 30.0, "train": 90.0}
QUALITY_GOAL = 0.002
# Of each of 42 files in both interpreters; `abuse` takes more.
VERIFY_CALLS = 60
# Half of them end the process of TensorFlow's interpreter, which takes seconds to start again.
TENSORFLOW_COPIES = 10
RATES = {"sgd": (0.1, 0.05), "adagrad": (0.02, 0.01), "adam": (0.002, 0.001)}
PARTS = ("verify", "parity", "sizes", "latency", "quality", "abuse")


@dataclasses.dataclass
class Bench:
    """What the parts share.

    Attributes:
      models: the run.
      run: its folder.
      interpreters: LiteRT, then TensorFlow's.
      out: for files.
      calls: hostile calls and damaged copies.
      missed: goals that were missed.
    """

    models: RunModels
    interpreters: list[Interpreter]
    out: Path
    calls: int
    missed: list[str] = dataclasses.field(default_factory=list)

    def judge(self, told: str, *, met: bool) -> None:
        """Prints a line with its verdict."""
        print(f"{told}  {'ok' if met else 'MISSED'}", flush=True)
        if not met:
            self.missed.append(told)

    def export(
        self, reference: Reference, folder: str, variants: list[str], *, static: bool = False
    ) -> list[ExportedFile]:
        """Writes files of one tier of the run."""
        tier = reference.model.tier
        return export_edge_model(
            reference.model,
            reference.weights,
            reference.table,
            task=reference.task,
            out=self.out / folder,
            variants=variants,
            static=(reference.task.batch_size, 100) if static else None,
            labels=self.models.labels(tier),
            examples=self.models.examples(tier, count=32),
        )


def verify(bench: Bench) -> None:
    """Goal 1: every variant of every tier, dynamic and static, in both interpreters."""
    for tier in bench.models.tiers:
        reference = bench.models.reference(tier, user=None, steps=200)
        for file in bench.export(reference, "verify", list(VARIANTS), static=True):
            checks = verify_file(
                file.path,
                bench.interpreters,
                examples=reference.examples,
                reference=reference,
                damaged=min(bench.calls, VERIFY_CALLS),
                hostile=min(bench.calls, VERIFY_CALLS),
            )
            failed = [f"{check.name}: {check.found}" for check in checks if not check.passed]
            count = sum(sum(found.values()) for found in file.operators.values())
            bench.judge(
                f"verify  {file.path.stem:45} {count:5} operators, 0 Flex or custom, "
                f"{len(checks)} checks {'; '.join(failed)}",
                met=not failed,
            )


def parity(bench: Bench) -> None:
    """Goal 2: 200 steps against the simulation's device work."""
    for tier in bench.models.tiers:
        for optimizer, (shared, private) in RATES.items():
            training = dataclasses.replace(
                bench.models.task(tier).training,
                optimizer=optimizer,
                learning_rate=shared,
                private_learning_rate=private,
            )
            reference = bench.models.reference(tier, user=None, steps=200, training=training)
            (file,) = bench.export(reference, f"parity-{tier}-{optimizer}", ["trainable-int8"])
            simulated = reference.simulate and reference.simulate(find_variant(file.variant))
            if not simulated:
                bench.judge(f"parity  {tier}: no device with samples", met=False)
                continue
            for interpreter in bench.interpreters:
                interpreter.load(file.path)
                interpreter.run("set_weights", {"weights": simulated.start})
                for batch in simulated.batches:
                    interpreter.run("train", batch)
                found = interpreter.run("get_weights", {"unused": np.zeros(1, np.float32)})
                worst = float(np.abs(found["weights"] - simulated.final).max())
                moved = float(np.abs(found["weights"] - simulated.start).max())
                bench.judge(
                    f"parity  {tier:9} {optimizer:7} {interpreter.name:22} "
                    f"{len(simulated.batches)} steps, max |Δw| {worst:.1e}, moved {moved:.2g}",
                    met=worst <= TRAINING_TOLERANCE,
                )


def sizes(bench: Bench) -> None:
    """Goal 3."""
    for (items, width), variants in (
        (SMALL, ["trainable-float32", "trainable-int8", "trainable-int4"]),
        (LARGE, ["trainable-int8", "trainable-int4"]),
    ):
        for file in export_bench(items, width, variants=variants, out=bench.out / f"bench-{items}"):
            goal = SIZE_GOALS.get(((items, width), file.variant))
            bench.judge(
                f"size    {items + 1} x {width} {file.variant:18} {file.num_bytes:>10,} bytes"
                + (f", at most {goal:,}" if goal else ""),
                met=goal is None or file.num_bytes <= goal,
            )


def latency(bench: Bench) -> None:
    """Goal 4, in LiteRT with one thread; the better of three medians, files in turn."""
    files = export_bench(
        *SMALL,
        variants=["trainable-float32", "trainable-int8"],
        out=bench.out / "latency",
        static=(32, 100),
    )
    litert = bench.interpreters[0]
    found: dict[tuple[str, bool, str], float] = {}
    for _ in range(3):
        for file in files:
            litert.load(file.path)
            contract = contract_of(read_metadata(file.path.read_bytes()))
            example = synthetic_examples(file.path, count=1, candidates=100)[0]
            for name in ("score", "infer", "train"):
                given = example
                if name != "score":
                    given = dataclasses.replace(example, candidates=example.candidates[:32])
                taken = litert.median_microseconds(name, example_inputs(given, contract[name]))
                key = (file.variant, "-b32" in file.path.stem, name)
                found[key] = min(found.get(key, np.inf), taken)
    for (variant, static, name), taken in found.items():
        ratio = taken / found["trainable-float32", static, name]
        goal = LATENCY_GOALS.get(name) if variant == "trainable-int8" and not static else None
        rows = "100 candidates" if name == "score" else "32 rows"
        bench.judge(
            f"latency {variant:18} {'static ' if static else 'dynamic'} {name:5} of {rows:14} "
            f"{taken:6.1f} µs, {ratio:.2f} of float32" + (f", at most {goal:g} µs" if goal else ""),
            met=goal is None or taken <= goal,
        )


def quality(bench: Bench) -> None:
    """Goal 5: every variant over all test rows, through LiteRT."""
    for tier in bench.models.tiers:
        reference = bench.models.reference(tier, user=None, steps=0)
        for file in bench.export(reference, "quality", list(VARIANTS)):
            measured = measure_quality(file.path, bench.models, bench.interpreters[0])
            change = measured.file.hr - measured.source.hr
            bench.judge(
                f"quality {tier:9} {file.variant:22} {measured.rows} rows, "
                f"HR@{measured.file.k} {measured.file.hr:.4f} ({change:+.4f}), "
                f"NDCG@{measured.file.k} {measured.file.ndcg:.4f} "
                f"({measured.file.ndcg - measured.source.ndcg:+.4f})",
                met=file.variant != "trainable-int8" or change >= -QUALITY_GOAL,
            )


def abuse(bench: Bench) -> None:
    """Goal 6: damaged copies and hostile calls, for files of each tier."""
    for tier in bench.models.tiers:
        reference = bench.models.reference(tier, user=None, steps=0)
        variants = ["trainable-int8"]
        if tier == bench.models.tiers[-1]:
            variants.append("inference-dynamic-int8")
        for file in bench.export(reference, "abuse", variants):
            contract = contract_of(read_metadata(file.path.read_bytes()))
            _refused_by_hash(bench, file.path)
            for interpreter in bench.interpreters:
                told = f"abuse   {file.path.stem:36} {interpreter.name:22} "
                _loaded_without_hash(bench, file.path, interpreter, told, reference.examples[0])
                try:
                    found = check_guards(
                        interpreter, file.path, contract, reference.examples[0], calls=bench.calls
                    )
                except ExportError as error:
                    bench.judge(f"{told}{error}", met=False)
                else:
                    bench.judge(f"{told}{found}, weights as before after each", met=True)


def _refused_by_hash(bench: Bench, path: Path) -> None:
    content = path.read_bytes()
    expected, refused, damaged = expected_digest(path), 0, 0
    for _, altered in damaged_files(content, bench.calls, np.random.default_rng(1)):
        damaged += altered != content
        try:
            check_digest(altered, expected, name=path.name)
        except ExportError:
            refused += 1
    bench.judge(
        f"abuse   {path.stem:36} {refused} of {damaged} damaged copies refused by their hash",
        met=refused == damaged > 0,
    )


def _loaded_without_hash(
    bench: Bench, path: Path, interpreter: Interpreter, told: str, example: DeviceExample
) -> None:
    """What a runtime makes of damaged copies that nobody checked.

    That its own process may die of one is why files are refused by their hash, and is told. The
    one that asks must live on, and the whole file answer afterwards as before.
    """
    content = path.read_bytes()
    copies = bench.calls if interpreter.runtime == "litert" else min(bench.calls, TENSORFLOW_COPIES)
    inputs = example_inputs(example, contract_of(read_metadata(content))["score"])
    interpreter.load(path)
    before = interpreter.run("score", inputs)["logit"]
    counts = {"refused": 0, "loaded": 0, "ended the runtime's process": 0}
    for _, altered in damaged_files(content, copies, np.random.default_rng(1)):
        try:
            interpreter.load_bytes(altered)
            counts["loaded"] += 1
        except CallRefusedError:
            counts["refused"] += 1
        except ProcessDiedError:
            counts["ended the runtime's process"] += 1
    interpreter.load(path)
    after = interpreter.run("score", inputs)["logit"]
    found = ", ".join(f"{count} {name}" for name, count in counts.items())
    bench.judge(
        f"{told}{copies} damaged copies without their hash: {found}",
        met=np.array_equal(before, after) and sum(counts.values()) == copies,
    )


def main() -> None:
    """Runs the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--litert-python", default=sys.executable)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--only", default=",".join(PARTS))
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    parts: dict[str, Callable[[Bench], None]] = {
        "verify": verify, "parity": parity, "sizes": sizes, "latency": latency,
        "quality": quality, "abuse": abuse,
    }  # fmt: skip
    chosen = given.only.split(",")
    if unknown := set(chosen) - set(parts):
        parser.error(f"--only takes {', '.join(PARTS)}; got {', '.join(sorted(unknown))}")
    with (
        tempfile.TemporaryDirectory() as folder,
        Interpreter("litert", python=given.litert_python) as litert,
        Interpreter("tensorflow") as tensorflow,
    ):
        bench = Bench(open_models(given.run), [litert, tensorflow], Path(folder), given.calls)
        for name in chosen:
            parts[name](bench)
    if bench.missed:
        print(f"{len(bench.missed)} goals missed:", *bench.missed, sep="\n  ")
        sys.exit(1)
    print("all goals met")


if __name__ == "__main__":
    main()
