"""The cycle over HTTP beside the cycle through files: same seed, same devices, same figures?

make cycle-http                                   # 200 devices, 3 cycles on MovieLens-100K
python -m benchmarks.cycle_http --devices 20 --cycles 1 --set data.dataset=synthetic
"""

import argparse
import sys
import time
from pathlib import Path

from ecct_tf.cycle import CycleConfig, CycleResult, HttpOptions, load_cycle_config, run_cycles
from ecct_tf.errors import EcctError

SIDES = [(side, part) for part in ("validation", "test") for side in ("edge", "cloud")]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/cycle-http"), help="of both chains")
    parser.add_argument("--devices", type=int, default=200, help="users that have a device")
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="that the devices share")
    parser.add_argument("--runtime", default="tensorflow", choices=["tensorflow", "litert"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    given = parser.parse_args(arguments)
    overrides = [
        f"runtime={given.runtime}", f"devices={given.devices}", f"seed={given.seed}",
        *given.overrides,
    ]  # fmt: skip
    try:
        over_http = load_cycle_config(None, overrides=overrides, http=True)
        # Over files shared weights could cross; over HTTP they cannot, so neither has any.
        by_files = load_cycle_config(None, overrides=[*overrides, "edge.shared=none"])
        results = {
            "files": _timed(by_files, given.out / "files", cycles=given.cycles, http=None),
            "http": _timed(
                over_http,
                given.out / "http",
                cycles=given.cycles,
                http=HttpOptions(processes=given.processes),
            ),
        }
    except EcctError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return _compare(results)


def _timed(
    config: CycleConfig, out: Path, *, cycles: int, http: HttpOptions | None
) -> tuple[CycleResult, float]:
    begin = time.monotonic()
    result = run_cycles(config, out, cycles=cycles, http=http)
    return result, time.monotonic() - begin


def _compare(results: dict[str, tuple[CycleResult, float]]) -> int:
    """Prints both chains; 1 where a figure of one is not that of the other."""
    (files, files_seconds), (http, http_seconds) = results["files"], results["http"]
    print(f"{http.rows[-1]['devices']} devices, edge.shared=none: no shared weights cross")
    print(
        "cycle  version  uplinks  " + "  ".join(f"{f'{s} {p} HR@{http.k}':>22}" for s, p in SIDES)
    )
    print(" " * 26 + "  ".join(f"{'files':>11}{'HTTP':>11}" for _ in SIDES))
    for one, other in zip(files.rows, http.rows, strict=True):
        figures = [
            "".join(f"{_figure(row[f'{side}_{part}_hr']):>11}" for row in (one, other))
            for side, part in SIDES
        ]
        own = f"{other['cycle']:>5}  {other['version']:>7}  {other['uplinks_read']:>7}"
        print(f"{own}  " + "  ".join(figures))
    print(f"files {files_seconds:.0f} s, HTTP {http_seconds:.0f} s, of which jobs take the most")
    different = sorted(
        name
        for one, other in zip(files.rows, http.rows, strict=True)
        for name in one
        if one[name] != other[name]
    )
    if different:
        print(f"different: {', '.join(different)}")
        return 1
    print("Every figure of every cycle is the same, to the last digit.")
    return 0


def _figure(value: str) -> str:
    return f"{float(value):.4f}" if value else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
