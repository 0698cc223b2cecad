"""Studies: a question about ECCT, answered by one command over a grid of runs.

A `Study` is a value: an axis of points, each with settings of its own, and the methods that are
compared at each. `find_study` finds it by name, which is open: the library's, one that a package
registers under the entry point group `ecct_tf.studies`, or `module:name`. `plan_study` makes
the configuration of every run, `run_study` runs what is not there yet, each in a run folder of
its own, `read_study` reads what they reached and `write_study` writes `study.csv`, figures and
a page. The runs are those of `ecct simulate`: there is no second runner.
"""

from ecct_tf.studies.page import write_study
from ecct_tf.studies.plan import StudyPlan, parse_study_seeds, plan_study
from ecct_tf.studies.registry import find_study
from ecct_tf.studies.result import PointResult, StudyResult, read_study
from ecct_tf.studies.run import check_study_folder, run_study
from ecct_tf.studies.study import Drawing, Measure, Point, Study, Table

__all__ = [
    "Drawing",
    "Measure",
    "Point",
    "PointResult",
    "Study",
    "StudyPlan",
    "StudyResult",
    "Table",
    "check_study_folder",
    "find_study",
    "parse_study_seeds",
    "plan_study",
    "read_study",
    "run_study",
    "write_study",
]
