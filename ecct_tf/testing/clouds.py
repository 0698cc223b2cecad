"""The conformance kit for clouds: what a run, a version and devices rely on."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cloud.input_space import InputSpace
from cloud.origin import check_cloud as check_name
from cloud.ranker import RankerCloud
from cloud.recommender import CloudRecommender
from cloud.two_tower import CloudSpec, TwoTowerCloud
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.data import CloudView, Dataset
from ecct_tf.testing.cloud_checks import CHECKS, EDGE_DIM, QUERIES, CloudCase, Make
from ecct_tf.testing.cloud_data import SMALL_SHOP, view_of
from ecct_tf.testing.findings import CheckFailedError, Finding, raise_failures, words_of

__all__ = ["check_cloud", "check_trainable_cloud", "cloud_findings", "trainable_cloud_findings"]

Array = npt.NDArray[np.float32]

_ROWS = 8

Builder = Callable[[CloudSpec], TwoTowerCloud | RankerCloud]


def check_cloud(
    cloud: str | Builder, data: Dataset = SMALL_SHOP, *, seed: int = 0
) -> tuple[Finding, ...]:
    """Checks a cloud model, for the tests of the package that brings it.

    Args:
      cloud: its name, as in `cloud.model`, or its builder.
      data: with the columns that it reads; by default `SMALL_SHOP`, whose users have the
        column `plan` and whose items have `price`, `brand`, `tags` and `text`, a vector of 64.
      seed: of the initial weights.

    Returns:
      What was found.

    Raises:
      ConformanceError: it failed in anything; the message names every failure.
    """
    findings = cloud_findings(cloud, data, seed=seed)
    name = cloud if isinstance(cloud, str) else getattr(cloud, "__qualname__", repr(cloud))
    raise_failures(findings, what=f"cloud model {name!r}")
    return findings


def cloud_findings(
    cloud: str | Builder, data: Dataset = SMALL_SHOP, *, seed: int = 0
) -> tuple[Finding, ...]:
    """What each check of `check_cloud` finds; nothing is raised for a failure."""
    config = CloudConfig(
        model=cloud if isinstance(cloud, str) else "of_ones_own:build",
        rank=3,
        fit_epochs=1,
        batch_size=32,
        update_batch_size=8,
        update_epochs=1,
        rows=_ROWS,
        next_item=dataclasses.replace(CloudConfig().next_item, epochs=0),
    )

    def make(view: CloudView, *, space: InputSpace | None = None) -> CloudRecommender:
        if isinstance(cloud, str):
            check_name(cloud)
        return CloudRecommender(
            view,
            config,
            features=FeatureConfig(history_length=4, decays=(1.0,), last_items=1, clock=False),
            edge_dim=EDGE_DIM,
            num_queries=QUERIES,
            seed=seed,
            space=space,
            builder=None if isinstance(cloud, str) else cloud,
        )

    return trainable_cloud_findings(make, data)


def check_trainable_cloud(make: Make, data: Dataset = SMALL_SHOP) -> tuple[Finding, ...]:
    """Checks whatever has the methods of `ecct_tf.federated.TrainableCloud`.

    Args:
      make: a cloud of a view, the same one each time; edge embeddings have a width of 3, and
        devices are asked about 4 items.
      data: a small data set.

    Raises:
      ConformanceError: it failed in anything; the message names every failure.
    """
    findings = trainable_cloud_findings(make, data)
    raise_failures(findings, what=f"cloud {getattr(make, '__qualname__', make)!r}")
    return findings


def trainable_cloud_findings(make: Make, data: Dataset = SMALL_SHOP) -> tuple[Finding, ...]:
    """What each check of `check_trainable_cloud` finds; nothing is raised for a failure."""
    view = view_of(data)
    try:
        case = CloudCase.of(make, view)
    except Exception as error:
        rest = [Finding(name, None, "there is no cloud") for name in CHECKS]
        return (Finding("build", False, words_of(error)), *rest)
    width = case.table.cloud_dim
    what = "items, pairs" if case.sends_rows else "items"
    findings = [Finding("build", True, f"{view.num_items} {what} of {width} numbers")]
    for name, check in CHECKS.items():
        try:
            told = check(case)
            findings.append(Finding(name, None if told is None else True, told or "not asked"))
        except CheckFailedError as failure:
            findings.append(Finding(name, False, str(failure)))
        except Exception as error:
            findings.append(Finding(name, False, words_of(error)))
    return tuple(findings)
