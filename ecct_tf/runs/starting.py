"""A run from data, a name or a file of settings, as a program begins it."""

import dataclasses
import datetime
import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecct_tf.config import (
    RunConfig,
    TypedOption,
    check_tier_names,
    data_title,
    dataset_names,
    load_config,
    rounds_key,
)
from ecct_tf.config.parsing import near_miss, read_mapping
from ecct_tf.data import Dataset, described
from ecct_tf.errors import ConfigError
from ecct_tf.installation import require_engine
from ecct_tf.quiet import quiet_tensorflow
from ecct_tf.runs.run import Run

if TYPE_CHECKING:
    from ecct_tf.simulation.loop import Callback

__all__ = ["default_folder", "run_config", "simulate"]

_log = logging.getLogger(__name__)


def simulate(
    data: Dataset | RunConfig | str | Path,
    *,
    rounds: int | None = None,
    seed: int | None = None,
    method: str | None = None,
    edge: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
    callbacks: "Sequence[Callback]" = (),
) -> Run:
    """Trains ECCT, or a baseline, on simulated devices; as `ecct simulate` does.

    It shows a bar, or lines where there is no terminal, and leaves a run folder. An
    interruption (Ctrl-C, a notebook's stop button) keeps the last whole round there and is raised
    again; `open_run(path).resume()` goes on.

    Args:
      data: a `Dataset`, as `from_frames` makes it; the name of data that can be loaded, such as
        `"movielens-100k"`; the path of a YAML file with settings or with the schema of files; or
        a `RunConfig`.
      rounds: of the run, whatever its method.
      seed: of all randomness.
      method: `"ecct"`, or a baseline.
      edge: share of the devices by edge model, such as `{"mlp": 0.5, "linear": 0.5}`.
      out: the run folder to make; by default one below `runs/` with the time in its name.
      settings: any others by dotted key, such as `{"training.epochs": 2}`.
      callbacks: further watchers of the rounds.

    Returns:
      The run, at its end.

    Raises:
      ConfigError: a setting is unknown or wrong, or `data` names nothing.
      DataError: the data is wrong, or a run of these settings could not use it.
      MissingPartError: the part `simulation`, or `local` without TFF, is not installed.

    Example:
      >>> import tempfile
      >>> small = {"data.synthetic_users": 8, "baselines": False}
      >>> folder = tempfile.mkdtemp() + "/run"
      >>> run = simulate("synthetic", method="popularity", seed=1, out=folder, settings=small)
      >>> run.status, run.config.seed
      ('complete', 1)
    """
    named = {"rounds": rounds, "seed": seed, "method": method, "edge": edge}
    config = run_config(data, named=named, settings=settings or {})
    require_engine(config.runtime.engine, by="`ecct_tf.simulate`")
    dataset = data if isinstance(data, Dataset) else None
    path = default_folder(config) if out is None else Path(out)
    quiet_tensorflow()
    from ecct_tf.simulation.simulate import simulate as run

    _log.info("%s on %s: run folder %s", config.method, data_title(config.data), path)
    try:
        run(config, out=path, dataset=dataset, callbacks=callbacks)
    except KeyboardInterrupt:
        if path.exists():
            _log.warning("stopped; resume with ecct_tf.open_run(%r).resume()", str(path))
        raise
    return Run(path, data=dataset)


def run_config(
    data: Dataset | RunConfig | str | Path,
    *,
    named: Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
) -> RunConfig:
    """The configuration of a run of `data`.

    Args:
      data: as `simulate` takes it.
      named: `rounds`, `seed`, `method` and `edge`, as `simulate` takes them.
      settings: others by dotted key.

    Raises:
      ConfigError: as `simulate`.

    Example:
      >>> run_config("synthetic", settings={"training.epochs": 2}).training.epochs
      2
      >>> run_config("movielens-100", settings={})
      Traceback (most recent call last):
      ...
      ecct_tf.errors.ConfigError: data: expected one of movielens-100k, ... did you mean ...?
    """
    if not isinstance(settings or {}, Mapping):
        raise ConfigError(
            'settings: expected settings by dotted key, such as {"training.epochs": 2}, got '
            f"{settings!r}"
        )
    settings = dict(settings or {})
    for key in settings:
        if not isinstance(key, str) or not key or "=" in key:
            raise ConfigError(
                f'settings: expected a dotted key such as "training.epochs", got {key!r}'
            )
    given = [
        _Argument.of(name, _KEYS[name], value)
        for name, value in (named or {}).items()
        if value is not None
    ]
    for name, key in _KEYS.items():
        if key in settings and any(argument.option == name for argument in given):
            raise ConfigError(f"settings[{key!r}]: {name} says the same; give one of the two")
    given += [_Argument.of(f"settings[{key!r}]", key, value) for key, value in settings.items()]
    config = _loaded(data, given)
    rounds = (named or {}).get("rounds")
    if rounds is not None and config.method != "ecct":
        key = rounds_key(config.method, option=f"rounds={rounds}")
        others = [argument for argument in given if argument.option != "rounds"]
        config = _loaded(data, [*others, _Argument.of("rounds", key, rounds)])
    check_tier_names(config.edge.tiers)
    return config


def _loaded(data: Dataset | RunConfig | str | Path, given: "Sequence[_Argument]") -> RunConfig:
    if isinstance(data, RunConfig):
        return load_config(overrides=given, default=data)
    if isinstance(data, Dataset):
        config = load_config(overrides=given)
        found = described(config.data, data, seed=config.seed)
        return dataclasses.replace(config, data=found)
    source, path = _source(data)
    return load_config(path, overrides=[*source, *given])


def default_folder(config: RunConfig) -> Path:
    """A folder below `runs/` that does not exist, named after the run and the time.

    Args:
      config: of the run.
    """
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    data = re.sub(r"[^\w.-]+", "-", data_title(config.data)).strip("-.") or "data"
    first = Path("runs") / f"{config.method}-{data}-seed{config.seed}-{now}"
    path, number = first, 1
    while path.exists():
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    return path


class _Argument(TypedOption):
    """An override that a program gave as an argument, such as `rounds=10`."""

    @classmethod
    def of(cls, option: str, key: str, value: object) -> "_Argument":
        # JSON is YAML in which each value says of which type it is.
        try:
            text = json.dumps(value, default=_plain, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{option}: expected a value that a YAML file can hold, got {value!r}"
            ) from error
        made = cls(f"{key}={text}")
        made.option = option
        return made

    @property
    def shown(self) -> str:
        """Argument and value, as Python has them."""
        return f"{self.option}={self.partition('=')[2]}"


_KEYS = {"rounds": "rounds", "seed": "seed", "method": "method", "edge": "edge.tiers"}


def _plain(value: Any) -> object:
    if isinstance(value, Path):
        return str(value)
    # NumPy's and pandas' numbers and arrays.
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _source(data: str | Path) -> tuple[list[str], Path | None]:
    """Overrides that name the data, and the file of settings."""
    if isinstance(data, str) and _names_data(data):
        return [_Argument.of("data", "data.dataset", data)], None
    if not isinstance(data, str | Path):
        raise ConfigError(
            f"data: expected a Dataset, a name, a path or a RunConfig, got {type(data).__name__}; "
            "from_frames makes a Dataset of tables"
        )
    path = Path(data)
    if path.suffix.lower() not in (".yaml", ".yml"):
        names = [name for name in dataset_names() if name != "files"]
        raise ConfigError(
            f"data: expected one of {', '.join(names)}, module:name of your own, or the path of a "
            f"YAML file, got {str(data)!r}{near_miss(str(data), names)}"
        )
    if "interactions" not in read_mapping(path):
        return [], path
    return [
        _Argument.of("data", "data.dataset", "files"),
        _Argument.of("data", "data.schema", path),
    ], None


def _names_data(text: str) -> bool:
    """Whether a text is a data set's name, not a path."""
    if ":" in text:
        return Path(text).suffix.lower() not in (".yaml", ".yml")
    return text != "files" and text in dataset_names()
