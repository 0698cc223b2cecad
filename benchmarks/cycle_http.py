"""The cycle over HTTP beside the cycle through files: same seed, same devices, same figures?

make cycle-http                                   # 200 devices, 3 cycles on MovieLens-100K
python -m benchmarks.cycle_http --devices 20 --cycles 1 --set data.dataset=synthetic
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.http_faults.evidence import log_records
from benchmarks.http_faults.plan import FaultPlan
from benchmarks.http_faults.service import FaultyRun
from ecct_tf.cycle import CycleConfig, CycleResult, HttpOptions, load_cycle_config, run_cycles
from ecct_tf.errors import EcctError

_BROWSER_HOST = Path(__file__).parents[1] / "mobile_export/web/checks/host.mjs"
_NEAR = 0.02
SIDES = [(side, part) for part in ("validation", "test") for side in ("edge", "cloud")]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/cycle-http"), help="of both chains")
    parser.add_argument("--devices", type=int, default=200, help="users that have a device")
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="that the devices share")
    parser.add_argument("--runtime", default="tensorflow", choices=["tensorflow", "litert"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kills", type=int, default=0,
        help="how often the service or a process of devices is killed, with --browsers half of the "
        "times while a device in Chromium asks, and its page or Chromium itself, too; requests are "
        "also lost, repeated, late and broken off, the disk is full and tokens are revoked",
    )  # fmt: skip
    parser.add_argument("--fault-seed", type=int, default=0, help="of which request it happens to")
    parser.add_argument(
        "--browsers", type=int, default=0,
        help="how many of the devices live in headless Chromium (`make test-browser` installs it)",
    )  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    given = parser.parse_args(arguments)
    overrides = [
        f"runtime={given.runtime}", f"devices={given.devices}", f"seed={given.seed}",
        *given.overrides,
    ]  # fmt: skip
    faults = None
    command = ("node", str(_BROWSER_HOST)) if given.browsers else ()
    options = HttpOptions(
        processes=given.processes, browsers=given.browsers, browser_command=command
    )
    if given.kills:
        requests = given.devices * (3 * given.cycles + 3)
        plan = FaultPlan.draw(
            given.fault_seed,
            requests=requests,
            kills=given.kills,
            revoked=given.kills // 4 + 1,
            browser_requests=given.browsers * 3 * given.cycles,
        )
        faults = FaultyRun(plan, devices=given.out / "http" / "devices")
        options = faults.options(
            processes=given.processes, browsers=given.browsers, browser_command=command
        )
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
                http=options,
            ),
        }
    except EcctError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    code = _compare(results, browsers=given.browsers)
    return code if faults is None else max(code, _judge(faults, results["http"][0]))


def _judge(faults: FaultyRun, result: CycleResult) -> int:
    """Prints what went wrong and what came of it; 1 where something was lost, doubled or torn."""
    evidence = faults.evidence
    if evidence is None:
        print("Nothing went wrong: the chain had ended before. Remove --out to run it anew.")
        return 1
    print(", ".join(f"{what} {count}" for what, count in sorted(evidence.counts.items())))
    log = result.path / "uplinks"
    killed = sum(count for what, count in evidence.counts.items() if what.startswith("kill: "))
    problems, records = evidence.verdict(log), log_records(log)
    if faults.left:
        problems.append(f"{killed} kills happened; these did not: {', '.join(faults.left)}")
    expected = int(result.rows[-1]["devices"]) * int(result.rows[-1]["cycle"])
    if len(records) != expected:
        problems.append(f"expected {expected} answers in the log, there are {len(records)}")
    for problem in problems:
        print(problem)
    if not problems:
        print(
            f"{killed} kills. {len(evidence.confirmed)} answers were confirmed to devices; the log "
            f"has {len(records)}, each once, and nothing torn was served."
        )
    return 1 if problems else 0


def _timed(
    config: CycleConfig, out: Path, *, cycles: int, http: HttpOptions | None
) -> tuple[CycleResult, float]:
    begin = time.monotonic()
    result = run_cycles(config, out, cycles=cycles, http=http)
    return result, time.monotonic() - begin


def _compare(results: dict[str, tuple[CycleResult, float]], *, browsers: int) -> int:
    """Prints both chains; 1 where a figure of one is not that of the other.

    Devices in browsers draw negatives of their own: with any, figures of quality may differ by as
    much as `_NEAR`, and bytes of files do.
    """
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
        if one[name] != other[name] and not (browsers and _is_near(name, one[name], other[name]))
    )
    if different:
        print(f"different: {', '.join(different)}")
        return 1
    if browsers:
        print(
            f"{browsers} of the devices lived in headless Chromium; every figure of every cycle is "
            f"the same, but for quality, which is within {_NEAR}."
        )
    else:
        print("Every figure of every cycle is the same, to the last digit.")
    return 0


def _is_near(name: str, one: str, other: str) -> bool:
    return name.endswith(("_hr", "_ndcg")) and abs(float(one) - float(other)) <= _NEAR


def _figure(value: str) -> str:
    return f"{float(value):.4f}" if value else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
