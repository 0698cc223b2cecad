"""Trains ECCT on this project's data, and federated averaging beside it."""

from pathlib import Path

from ecct_tf.config import load_config
from ecct_tf.reporting import read_run, write_report
from ecct_tf.simulation.simulate import simulate

HERE = Path(__file__).parent


def main() -> None:
    runs = []
    for method in ("ecct", "fedavg"):
        out = HERE / "runs" / method
        overrides = [f"method={method}", "baselines=false"]
        result = simulate(load_config(HERE / "config.yaml", overrides=overrides), out=out)
        runs.append(out)
        for row in result.rows:
            print(f"{row.model}: HR@{row.metrics.k} {row.metrics.hr:.3f}")
    print("Report:", write_report([read_run(run) for run in runs], HERE / "report.html"))


if __name__ == "__main__":
    main()
