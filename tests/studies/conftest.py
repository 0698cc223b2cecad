"""A study of methods without rounds, which take no time, in a module of a user's own."""

import pytest
from module_files import load_file

from ecct_tf.studies import Point, Study

SMALL = (
    "data.dataset=synthetic",
    "data.synthetic_users=12",
    "data.synthetic_items=120",
    "evaluation.negatives=20",
    "evaluation.catalog=none",
    "runtime.engine=local",
)


@pytest.fixture(scope="session")
def small():
    """Settings of a tiny population."""
    return SMALL


@pytest.fixture(scope="session")
def recency():
    """Three points, two methods; the last point has one of its own."""
    return Study(
        name="recency",
        question="How much of a history may stay on devices?",
        axis="share on the device",
        points=(
            Point("0.2", ("data.recent_fraction=0.2",), at=0.2),
            Point("0.5", ("data.recent_fraction=0.5",), at=0.5),
            Point("cut", ("data.keep_last=6",), methods=("popularity",)),
        ),
        methods=("popularity", "ease-recency"),
        settings=("evaluation.k=5",),
        reference="0.2",
    )


# The fixtures that make run folders by hand.
_FOLDERS = load_file("tests/reporting/conftest.py")
make_run, result, course = _FOLDERS.make_run, _FOLDERS.result, _FOLDERS.course
