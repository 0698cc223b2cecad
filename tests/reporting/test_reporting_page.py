"""The report: what it says, that it loads nothing, and that it trusts no text."""

import base64
import hashlib
import html.parser
import itertools
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ecct_tf.commands.report import report as command
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.reporting import compare_runs, read_run, read_runs, write_report
from ecct_tf.reporting.theme import PAPER

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }} $x$ _a"


class Page(html.parser.HTMLParser):
    """Elements, texts and whether all tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def report(paths: list[Path], tmp_path: Path, **options: object) -> tuple[str, Page]:
    text = write_report(read_runs(paths), tmp_path / "report.html", **options).read_text()
    return text, Page(text)


@pytest.fixture(scope="module")
def told(campaign, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    """The report of the whole campaign."""
    return report(campaign, tmp_path_factory.mktemp("report"))


def test_it_says_what_was_reached(told) -> None:
    _, page = told
    assert page.open == []
    assert (
        "ECCT's edge model finds the held-out item among its first 10 of 100 candidates in "
        in page.text
    )
    # Of each user both seeds are drawn together: three of the four users are hit in both.
    assert (
        "in 76.0 % of the test interactions (mean of 2 seeds; 95 % interval over 4 users: "
        "25.0 to 100.0 %)." in page.text
    )
    # Seeds 0.75 and 0.77 against 0.6, and against 0.55 of the cloud alone. The strongest of all is
    # told first, and that its ranks are not at hand; "down only", a variant, is no baseline.
    assert (
        "That is 0.160 above no exchange edge, the strongest of 4 baselines here; 0.160 above "
        "FedAvg, the best federated one (95 % interval 0.000 to +0.750, which includes "
        "zero); and 0.210 above the cloud alone" in page.text
    )
    assert "+0.160 ± 0.014" in page.text
    # 400 + 800 + 4,000 bytes of four devices, against 40,000 of FedAvg.
    assert (
        "transmits 1.27 KiB in a round on average: 300 B of knowledge and 1000 B of shared weights"
        in page.text
    )
    assert "FedAvg ships 9.77 KiB, 7.7 times as much." in page.text


def test_the_least_flattering_baseline_comes_first_and_the_bound_last(
    make_run, result, tmp_path
) -> None:
    def run(name, method, side, hr, ranks, **more):
        rows = [result(name, side, hr, method=method)]
        return make_run(method, method=method, results=rows, ranks={(name, side): ranks}, **more)

    users = tuple(range(40))
    more = {"users": users, "interactions": users}
    # ECCT hits the users from 8 on, the others those from 12, 20 and 4 on.
    paths = [
        run(name, method, side, hr, [50 if user < missed else 1 for user in users], **more)
        for name, method, side, hr, missed in (
            ("ECCT edge", "ecct", "edge", 0.8, 8),
            ("EASE", "ease", "everything", 0.7, 12),
            ("FedAvg", "fedavg", "edge", 0.5, 20),
            ("centralized, mlp", "centralized", "everything", 0.9, 4),
        )
    ]
    _, page = report(paths, tmp_path)
    (told,) = re.findall(r"That is (.*?)\. A device", page.text)
    ease, averaged, bound = told.split("; ")
    assert ease.startswith(
        "0.100 above EASE, the strongest of 2 baselines here (95 % interval +0.025 to +0.200)"
    )
    assert averaged.startswith("0.300 above FedAvg, the best federated one (95 % interval +0.1")
    assert bound.startswith("and 0.100 below centralized, mlp, the upper bound (95 % interval −0.2")
    # The devices' gains are those over the same one.
    assert "Against EASE, NDCG@10 of 40 devices changes" in page.text
    _, page = report(paths, tmp_path, against="FedAvg")
    assert "That is 0.300 above FedAvg (95 % interval" in page.text


def test_what_a_run_carries_is_paired_by_the_ranks_beside_it(make_run, result, tmp_path) -> None:
    rows = [
        result("ECCT edge", "edge", 0.75),
        result("EASE", "everything", 0.5, method="ease"),
    ]
    path = make_run(results=rows, ranks={("ECCT edge", "edge"): (1, 2, 11, 4)})
    _, page = report([path], tmp_path)
    assert "That is 0.250 above EASE." in page.text
    ranks = "model,side,user,interactions,rank\n" + "".join(
        f"EASE,everything,{user},{10 * user},{rank}\n"
        for user, rank in zip((1, 2, 3, 4), (1, 2, 11, 12), strict=True)
    )
    (path / "references.csv").write_text(ranks)
    _, page = report([path], tmp_path)
    assert "0.250 above EASE (95 % interval 0.000 to +0.750" in page.text
    assert "Against EASE, NDCG@10 of 4 devices changes" in page.text


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("metrics.csv", "metrics.csv is missing though the run has 2 rounds behind it"),
        ("devices.csv", "devices.csv is missing: no intervals and no gains"),
        ("candidates_test.npz", "candidates_test.npz is missing"),
    ],
)
def test_a_missing_file_is_named_with_what_it_costs(make_run, tmp_path, file, words) -> None:
    path = make_run()
    _, page = report([path], tmp_path)
    assert " is missing" not in page.text
    (path / file).unlink()
    text, page = report([path], tmp_path)
    assert f"{path}/{words}" in page.text
    assert 'class="notice"' in text
    said = CliRunner().invoke(command, [str(path)], catch_exceptions=False)
    assert f"Missing: {path}/{words}" in said.stderr
    assert said.stdout == f"Report: {path / 'report.html'}\n"


def test_metrics_that_lack_rounds_are_named(make_run, course, tmp_path) -> None:
    path = make_run(metrics=course(0.5, 0.6))
    (path / "status.json").write_text('{"status": "complete", "round": 5, "seconds": 1}')
    _, page = report([path], tmp_path)
    assert "metrics.csv has 2 rows for 5 rounds" in page.text


def test_gains_are_told_against_the_strongest_whose_ranks_are_at_hand(
    told, campaign, tmp_path
) -> None:
    _, page = told
    # Ranks 1, 2, 11, 4 against 2, 2, 11, 20: gains 0.3691, 0, 0, 0.4307.
    assert "Against FedAvg, NDCG@10 of 4 devices changes by +0.200 on average" in page.text
    assert "50 % of the devices gain, 0 % lose" in page.text
    _, page = report(campaign, tmp_path, against="down only edge")
    assert "Against down only edge, NDCG@10 of 4 devices changes by 0.000" in page.text
    assert "--against 'down only edge'" in page.text


def test_a_baseline_without_runs_has_no_ranks_to_pair(campaign, tmp_path: Path) -> None:
    _, page = report(campaign, tmp_path, against="popularity")
    assert "popularity has no run itself" in page.text
    assert "references.csv is missing" in page.text
    assert "HR@10 over popularity" in page.text


def test_an_unknown_baseline_is_refused_with_those_that_there_are(campaign, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--against: expected one of .*'FedAvg'.*got 'fedavg'"):
        report(campaign, tmp_path, against="fedavg")
    assert not (tmp_path / "report.html").exists()


def test_seeds_that_only_one_has_do_not_enter_a_difference(make_run, result, tmp_path) -> None:
    paths = [
        make_run("a", seed=0, results=[result("ECCT edge", "edge", 0.8)]),
        make_run("b", seed=1, results=[result("ECCT edge", "edge", 0.6)]),
        make_run(
            "c", seed=1, method="fedavg", results=[result("FedAvg", "edge", 0.5, method="fedavg")]
        ),
    ]
    _, page = report(paths, tmp_path)
    assert "That is 0.100 above FedAvg (95 % interval 0.000 to 0.000" in page.text
    assert "Most models have seeds 0, 1; not so FedAvg (1)" in page.text


def test_a_single_run_without_baselines_says_what_would_add_them(make_run, tmp_path: Path) -> None:
    path = make_run()
    _, page = report([path], tmp_path)
    command = f"ecct baselines --config {path}/config.yaml"
    assert page.text.count(command) == 3
    assert "No federated baseline is among these runs." in page.text
    assert "No baseline has its own run here." in page.text
    assert "±" not in page.text
    assert page.open == []


def test_a_method_without_rounds_can_be_reported_alone(make_run, result, tmp_path: Path) -> None:
    rows = [result("popularity", "everything", 0.4, method="popularity", auc="", log_loss="")]
    path = make_run(method="popularity", results=rows, metrics=())
    _, page = report([path], tmp_path)
    assert "None of these methods was measured by round." in page.text
    assert "None of these methods transmits anything." in page.text
    assert page.open == []


def test_an_ablation_can_be_reported_alone(make_run, result, tmp_path: Path) -> None:
    rows = [result("no exchange edge", "edge", 0.4), result("no exchange cloud", "cloud", 0.3)]
    settings = {"exchange.down": False, "exchange.up": False}
    _, page = report([make_run(results=rows, settings=settings)], tmp_path)
    assert page.text.count("no exchange edge") >= 2
    assert page.open == []


def test_it_loads_nothing(told) -> None:
    text, page = told
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
                assert value.startswith("#") or value == "data:,", (tag, name, value)
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    (policy,) = [each["content"] for each in page.of("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'")


def test_the_policy_allows_this_script_only(told) -> None:
    text, _ = told
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_hostile_text_is_escaped_everywhere(make_run, result, tmp_path: Path) -> None:
    rows = [
        result(f"ECCT {HOSTILE} edge", "edge", 0.7),
        result(HOSTILE, "everything", 0.3, method=HOSTILE, sees=HOSTILE),
    ]
    path = make_run(
        "run <b>&amp; 'x",
        results=rows,
        ranks={(rows[0]["model"], "edge"): (1, 2, 3, 4)},
        settings={"data.folder": HOSTILE, "edge.tiers": {"</pre><b>": 1.0}},
    )
    environment = json.loads((path / "environment.json").read_text())
    environment.update(
        data=HOSTILE,
        command=["ecct", HOSTILE],
        platform=HOSTILE,
        started=HOSTILE,
        packages={HOSTILE: HOSTILE},
    )
    (path / "environment.json").write_text(json.dumps(environment))
    text, page = report([path], tmp_path)
    assert page.open == []
    assert len(page.of("script")) == 1
    assert len(page.of("b")) == text.count('<td class="number"><b>')
    assert "<script>alert" not in text
    # It is there, as text: in the table, in a figure, in the settings and the commands.
    assert page.text.count("<script>alert(1)</script>\"'&{{ 7 * 7 }} $x$ _a") >= 4
    assert "49 $x$" not in page.text
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert any(re.search(r"<text[^>]*>ECCT &lt;script&gt;.*\$x\$", drawing) for drawing in drawings)


def test_the_title_has_the_name_of_the_data(make_run, tmp_path: Path) -> None:
    path = make_run(settings={"data.dataset": "files", "data.schema": "schema.yaml"})
    assert "<h1>ECCT on files</h1>" in report([path], tmp_path)[0]
    environment = json.loads((path / "environment.json").read_text())
    (path / "environment.json").write_text(json.dumps({**environment, "data": "corner shop"}))
    text, _ = report([path], tmp_path)
    assert "<title>ECCT on corner shop</title>" in text
    assert "<h1>ECCT on corner shop</h1>" in text


def test_odd_environments_do_not_stop_a_report(make_run, tmp_path: Path) -> None:
    path = make_run()
    (path / "environment.json").write_text('{"command": "ecct", "packages": [], "resumed": 3}')
    _, page = report([path], tmp_path)
    assert page.open == []


def test_the_same_runs_give_the_same_bytes(told, campaign, tmp_path: Path) -> None:
    again, _ = report(campaign, tmp_path)
    assert again == told[0]


def test_it_can_be_read_without_eyes(told) -> None:
    _, page = told
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(headings))
    assert len(page.of("caption")) == len(page.of("table"))
    for drawing in page.of("svg"):
        assert drawing["role"] == "img"
        assert drawing["aria-label"].strip()
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for _, attributes in page.elements:
        for name in ("href", "aria-labelledby"):
            target = (attributes.get(name) or "").removeprefix("#")
            assert target in ("", "data:,", *identifiers)


def test_figures_follow_the_pages_colours_and_fonts(told) -> None:
    text, _ = told
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    # Rounds, bytes, models, ablation, gains, activity, traffic: for a desk and for a phone.
    assert len(drawings) == 14
    for drawing in drawings:
        assert "<text" in drawing
        assert "font-family" not in drawing
        assert not re.search(r"#[0-9a-f]{6}\b", drawing)
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", text))
    defined = set(re.findall(r"(--[a-z0-9-]+):", text))
    assert used <= defined


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("macro", ["light", "dark"])
def test_words_stand_out_from_the_paper(macro: str) -> None:
    style = (Path(compare_runs.__code__.co_filename).parent / "templates" / "style.css").read_text()
    (block,) = re.findall(rf"macro {macro}\(\) %}}(.*?){{% endmacro", style, flags=re.DOTALL)
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))
    words = ["ink", "muted", "accent", "loss", *(name for name in colours if "series" in name)]
    for name in words:
        assert _contrast(colours[name], colours["paper"]) >= 4.5, name
    # Areas need less than words (WCAG 1.4.11).
    assert _contrast(colours["soft"], colours["paper"]) >= 2.9
    if macro == "light":
        series = tuple(colours[f"series-{place}"] for place in range(7))
        assert (colours["accent"], colours["ink"], series) == (
            PAPER.accent,
            PAPER.ink,
            PAPER.series,
        )


def test_runs_that_are_left_out_are_told(make_run, tmp_path: Path) -> None:
    paths = [make_run("a"), make_run("b", seed=1, status="failed")]
    _, page = report(paths, tmp_path)
    assert f"Left out: {paths[1]} , failed after 2 rounds; `ecct resume" in page.text


def test_a_report_of_an_unfinished_run_alone_is_refused(make_run, tmp_path: Path) -> None:
    run = read_run(make_run(status="running"))
    with pytest.raises(RunFolderError, match=r"ecct resume"):
        write_report([run], tmp_path / "report.html")


def test_what_differs_from_the_defaults_comes_first(make_run, tmp_path: Path) -> None:
    _, page = report([make_run(settings={"exchange.codec": "float32"})], tmp_path)
    assert "exchange.codec float32 int8" in page.text
    assert "exchange.queries 24" not in page.text.partition("All settings of ECCT")[0]


def test_a_folder_that_cannot_be_written_is_told(make_run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write the report .*No such file"):
        write_report([read_run(make_run())], tmp_path / "none" / "report.html")


def test_further_targets_have_the_auc_of_each_head(make_run, result, tmp_path) -> None:
    own = {
        "results": [result("ECCT edge", "edge", 0.7)],
        "ranks": {("ECCT edge", "edge"): (1, 2, 3, 4)},
    }
    paths = [make_run(f"run-{seed}", seed=seed, **own) for seed in (0, 1)]
    assert "Further targets" not in report(paths, tmp_path)[1].text
    like = {"auc": 0.6, "ranking_auc": None, "rows": 120, "positives": 66}
    for path, auc in zip(paths, (0.6, 0.7), strict=True):
        (path / "targets.json").write_text(json.dumps({"like": {**like, "auc": auc}}))
    _, page = report(paths, tmp_path)
    assert "like 0.650 – 120 66" in page.text
    (paths[0] / "targets.json").write_text('{"like": {"auc": "high"}}')
    with pytest.raises(RunFolderError, match=r"targets\.json: expected auc, ranking_auc"):
        report(paths, tmp_path)
