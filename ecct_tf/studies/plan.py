"""The runs of a study: each point by each method by each seed, with its whole configuration."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ecct_tf.config import RunConfig, load_config
from ecct_tf.config.parsing import near_miss
from ecct_tf.errors import ConfigError
from ecct_tf.simulation.campaign import parse_seeds, plan_runs
from ecct_tf.studies.study import Point, Study, slug_of

__all__ = ["StudyPlan", "parse_study_seeds", "plan_study"]


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """What a study will run.

    Attributes:
      study: the study.
      points: those that are asked for, in the study's order.
      seeds: ascending or as they were given.
      runs: configuration by run folder, below the study's folder: `point/method-seed0`.
    """

    study: Study
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    runs: dict[str, RunConfig]


def parse_study_seeds(text: str) -> tuple[int, ...]:
    """Reads how many seeds (`3` for 0, 1 and 2), or a list of them (`4,5`; `4,` for one).

    Raises:
      ConfigError: it is neither.

    >>> parse_study_seeds("3"), parse_study_seeds("4,7"), parse_study_seeds("4,")
    ((0, 1, 2), (4, 7), (4,))
    """
    if "," in text:
        return tuple(parse_seeds(text.removesuffix(",")))
    if not text.strip().isdecimal() or int(text) < 1:
        raise ConfigError(
            "--seeds: expected how many, such as 3 for the seeds 0, 1 and 2, or a list such as "
            f"4,7 (4, for one); got {text!r}"
        )
    return tuple(range(int(text)))


def plan_study(
    study: Study,
    *,
    seeds: Sequence[int],
    config_path: Path | None = None,
    overrides: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
) -> StudyPlan:
    """Builds the configuration of every run.

    A setting comes from the file, then the study's settings, then `overrides`, then the point's.

    Args:
      study: what is asked.
      seeds: one run of each method at each point for each.
      config_path: YAML file of what all runs have in common.
      overrides: `key=value`, of all runs.
      labels: of the points that are run, or the names of their folders; all by default.
      methods: instead of the study's; a point that names its own keeps them.

    Raises:
      ConfigError: a point, a method or a setting is unknown, or `overrides` has one that the axis
        decides.
    """
    points = _chosen(study, labels)
    _check_axis_is_free(study, overrides)
    by_point: dict[str, dict[str, RunConfig]] = {}
    for point in points:
        config = load_config(config_path, overrides=[*study.settings, *overrides, *point.overrides])
        names = point.methods or methods or study.methods
        by_point[slug_of(point.label)] = plan_runs(config, methods=names, seeds=seeds)
    # Seed by seed: what is there early has every point.
    runs = {
        f"{slug}/{name}": config
        for seed in seeds
        for slug, planned in by_point.items()
        for name, config in planned.items()
        if config.seed == seed
    }
    return StudyPlan(study, points, tuple(seeds), runs)


def _chosen(study: Study, labels: Sequence[str] | None) -> tuple[Point, ...]:
    if labels is None:
        return study.points
    known = [point.label for point in study.points]
    # The folders that `--plan` prints are names of points, too.
    by_slug = {slug_of(label): label for label in known}
    wanted = [label.strip() for label in labels]
    wanted = [label if label in known else by_slug.get(label, label) for label in wanted]
    for label in wanted:
        if label not in known:
            raise ConfigError(
                f"--points: expected some of {', '.join(known)}, got {label!r}"
                f"{near_miss(label, known)}"
            )
    return tuple(point for point in study.points if point.label in wanted)


def _check_axis_is_free(study: Study, overrides: Sequence[str]) -> None:
    for override in overrides:
        key = override.partition("=")[0]
        for point in study.points:
            for decided in point.keys:
                if f"{key}.".startswith(f"{decided}.") or decided.startswith(f"{key}."):
                    raise ConfigError(
                        f"--set {override}: the study {study.name} varies {decided} along its "
                        "axis; choose among its points with --points instead"
                    )
