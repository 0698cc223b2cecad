"""What one sees of runs: comparison, plots and the report, made from run folders alone.

`read_run` reads and checks a folder, `compare_runs` groups runs by model over their seeds,
and the rest shows what they found: `write_comparison` (CSV, Markdown, plots), `write_report`
(one HTML file that needs no network) and `write_plots` (the plots in a run's own folder).
Nothing here imports TensorFlow or TFF, so a report also comes of a copied folder elsewhere.
"""

from ecct_tf.reporting.comparison import Comparison, Model, compare_runs
from ecct_tf.reporting.comparison_files import write_comparison
from ecct_tf.reporting.page import write_report
from ecct_tf.reporting.plots import write_plots
from ecct_tf.reporting.run import Run, read_run, read_runs
from ecct_tf.reporting.spread import Spread

__all__ = [
    "Comparison",
    "Model",
    "Run",
    "Spread",
    "compare_runs",
    "read_run",
    "read_runs",
    "write_comparison",
    "write_plots",
    "write_report",
]
