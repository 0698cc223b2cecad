"""Trains ECCT on this project's data, and federated averaging for comparison."""

from pathlib import Path

import ecct_tf as ecct
from ecct_tf.reporting import read_run, write_report

HERE = Path(__file__).parent


def main() -> None:
    runs = []
    for method in ("ecct", "fedavg"):
        out = HERE / "runs" / method
        settings = {"baselines": False}
        runs.append(ecct.simulate(HERE / "config.yaml", method=method, out=out, settings=settings))
        for row in runs[-1].results.itertuples():
            print(f"{row.model}: HR@{row.k} {row.hr:.3f}")
    best = runs[0].recommend(runs[0].data.user_tokens[0], k=3)
    print(f"Recommended: {', '.join(best.items)} to {best.user}")
    print("Report:", write_report([read_run(run.path) for run in runs], HERE / "report.html"))


if __name__ == "__main__":
    main()
