"""The README's quality table: `ecct simulate` over several seeds, mean and spread."""

from pathlib import Path

import click
import pandas as pd

from ecct_tf.config import load_config
from ecct_tf.simulation.simulate import simulate


@click.command()
@click.option("--seeds", default="0,1,2", show_default=True, help="Comma-separated.")
@click.option("--config", type=click.Path(path_type=Path), help="YAML file of the runs.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
def main(seeds: str, config: Path | None, overrides: tuple[str, ...]) -> None:
    """Run every seed and print mean and standard deviation of each model's test quality."""
    rows = []
    for seed in seeds.split(","):
        result = simulate(load_config(config, overrides=[*overrides, f"seed={int(seed)}"]))
        rows += [{**row.as_dict(), "seed": seed} for row in result.rows]
    table = pd.DataFrame(rows).groupby("model", sort=False)[["hr", "ndcg", "mrr", "gauc"]]
    mean, spread = table.mean(), table.std(ddof=1)
    print(f"test items, mean ± standard deviation over seeds {seeds}")
    for model in mean.index:
        cells = [f"{mean[c][model]:.4f} ± {spread[c][model]:.4f}" for c in mean.columns]
        print(f"{model:<24}" + "  ".join(cells))


if __name__ == "__main__":
    main()
