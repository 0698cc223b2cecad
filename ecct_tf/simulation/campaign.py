"""Many runs over methods and seeds, each in a run folder of its own."""

import dataclasses
import gc
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ecct_tf.config import METHODS, RunConfig, dump_config, method_names
from ecct_tf.config.differences import differences
from ecct_tf.config.parsing import near_miss
from ecct_tf.data import Dataset, load_dataset
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.simulation.methods import ABLATIONS, display_name
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate

__all__ = ["parse_seeds", "plan_runs", "run_all"]

# What a file's name had better not hold, of `module:name`.
_NO_FILE = r"[^\w.-]+"


def parse_seeds(text: str) -> list[int]:
    """Reads `0,1,2`.

    Raises:
      ConfigError: when a part is not a whole number from 0, or comes twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) != len(parts):
        raise ConfigError(
            f"--seeds: expected different whole numbers from 0, such as 0,1,2; got {text!r}"
        )
    return [int(part) for part in parts]


def plan_runs(
    config: RunConfig,
    *,
    methods: Iterable[str],
    seeds: Sequence[int],
    option: str = "--methods",
) -> dict[str, RunConfig]:
    """The configuration of every run, by the name of its folder.

    Args:
      config: what all runs have in common.
      methods: method names, ablations (`no-exchange`, `down-only`, `up-only`,
        `embeddings-only`, `logits-only`), `ablations` for these five, or `all`, the library's
        methods and these.
      seeds: one run of each method for each.
      option: where the methods were named, for the message.

    Raises:
      ConfigError: for an unknown method.
    """
    slugs = {name.replace(" ", "-"): name for name in ABLATIONS}
    groups = {"ablations": list(slugs), "all": [*METHODS, *slugs]}
    names = [name for given in methods for name in groups.get(given.strip(), [given.strip()])]
    known = [*groups, *method_names(), *slugs]
    unknown = sorted({name for name in names if ":" not in name} - set(known))
    if unknown:
        raise ConfigError(
            f"{option}: unknown {', '.join(unknown)}{near_miss(unknown[0], known)} "
            f"(known: {', '.join(known)}, or module:name of your own)"
        )
    planned = {}
    for name in dict.fromkeys(names):
        plain = dataclasses.replace(config, baselines=False)
        if name in slugs:
            chosen = ABLATIONS[slugs[name]].of(plain)
        else:
            chosen = dataclasses.replace(plain, method=name)
        for seed in seeds:
            planned[f"{re.sub(_NO_FILE, '-', name)}-seed{seed}"] = dataclasses.replace(
                chosen, seed=seed
            )
    return planned


def run_all(planned: dict[str, RunConfig], *, out: Path, say: Callable[[str], None]) -> list[Path]:
    """Runs what is not complete yet; returns all run folders.

    Args:
      planned: from `plan_runs`.
      out: folder of the run folders.
      say: is told what happens.

    Raises:
      RunFolderError: when a folder holds a run of another configuration.
    """
    folders = []
    loaded: tuple[object, Dataset] | None = None
    for number, (name, config) in enumerate(planned.items(), start=1):
        path = out / name
        folders.append(path)
        progress = f"[{number}/{len(planned)}] {display_name(config)}, seed {config.seed}: {path}"
        existing = RunFolder.open(path) if path.exists() else None
        if existing is not None and existing.config != config:
            raise RunFolderError(
                f"{path} holds a run with another configuration: "
                f"{differences(dump_config(existing.config), dump_config(config))}; give another "
                "--out, or remove it"
            )
        if existing is not None and existing.status == "complete":
            say(f"{progress} is complete")
            continue
        # Loaded once; generated data depends on the seed.
        key = (config.data, config.seed if config.data.dataset == "synthetic" else None)
        if loaded is None or loaded[0] != key:
            loaded = (key, load_dataset(config.data, seed=config.seed))
        say(progress if existing is None else f"{progress}, going on")
        if existing is None:
            simulate(config, out=path, dataset=loaded[1])
        else:
            resume(path, dataset=loaded[1])
        # Graphs and models are cycles, which would wait for the collector with all their arrays.
        gc.collect()
    return folders
