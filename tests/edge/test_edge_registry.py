"""Names of edge models: the library's, those of packages, `module:name`, and what goes wrong."""

import dataclasses
import importlib
import sys
import textwrap

import pytest

from ecct_tf.config import EdgeConfig, FeatureConfig, edge_model_names, tier_slug
from ecct_tf.edge import (
    build_edge_model,
    changed_sources,
    check_edge_models,
    edge_origins,
    largest_tier,
)
from ecct_tf.edge.architecture import Architecture
from ecct_tf.edge.building import model_of
from ecct_tf.edge.layout import Weight, WeightLayout
from ecct_tf.errors import ConfigError

TINY = """
    from ecct_tf.edge import architecture, layers as kit
    from {package}widths import WIDTH

    def tiny(spec):
        joined = kit.Inputs(spec)
        hidden = kit.Dense("hidden", joined.width, WIDTH, "tanh")
        embedding = kit.Dense("embedding", WIDTH, spec.embedding_dim)
        head = kit.Head(spec.embedding_dim, joined.width)

        def forward(weights, inputs):
            everything = joined(weights, inputs)
            return head(weights, embedding(weights, hidden(weights, everything)), everything)

        return architecture([joined, hidden, embedding, head], forward)

    def number(spec):
        return 7

    def numbered(spec):
        assert spec.profile_sets
        kit.Dense("numbers", 2 * spec.profile_numbers, WIDTH)
        return tiny(spec)

    def broken(spec):
        return spec.no_such_size
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is on the path, with a package `mine`; what it holds is forgotten again."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "widths.py").write_text("WIDTH = 3\n")
    (package / "unused.py").write_text("")
    (package / "models.py").write_text(textwrap.dedent(TINY.format(package="mine.")))
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("mine", "failing"):
            del sys.modules[name]


def register(folder, **points):
    """Lets an installed package register edge models."""
    info = folder / f"of_{'_'.join(points)}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {info.name.removesuffix('-1.2.dist-info')}\nVersion: 1.2\n"
    )
    (info / "top_level.txt").write_text("mine\n")
    lines = [f"{name} = {target}" for name, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[ecct_tf.edge_models]", *lines, ""]))
    importlib.invalidate_caches()


@pytest.mark.usefixtures("folder")
def test_a_model_of_ones_own_is_built_by_module_and_name(spec):
    model = build_edge_model("mine.models:tiny", spec)
    assert model.tier == "mine.models:tiny"
    assert [weight.shape for weight in model.layout.weights if weight.name == "hidden/bias"] == [
        (3,)
    ]
    assert tier_slug(model.tier) == "mine.models.tiny"


def test_a_package_registers_a_name(folder, spec):
    register(folder, tiny_one="mine.models:tiny")
    assert edge_model_names()["tiny_one"] == "mine.models:tiny"
    assert build_edge_model("tiny_one", spec).tier == "tiny_one"
    with pytest.raises(ConfigError, match=r"linear, mlp, attention, tiny_one.*mean tiny_one\?"):
        build_edge_model("tiny_on", spec)


def test_two_packages_that_register_one_name_are_named(folder, spec):
    register(folder, mlp="mine.models:tiny")
    with pytest.raises(ConfigError, match=r"'mlp'.*ecct_tf\.edge\.tiers:mlp and mine\.models:tiny"):
        build_edge_model("linear", spec)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.modles:tiny", r"there is no module mine\.modles; did you mean mine\.models\?"),
        ("mine.zzz:tiny", r"mine\.zzz in the package mine, which has models, .*: correct the name"),
        ("mien.models:tiny", r"there is no module mien; did you mean (.* or )?mine( or .*)?\?"),
        ("mine.models.x:tiny", r"mine\.models is a module without modules in it"),
        ("nobody.models:tiny", r"there is no module nobody: .* folder that contains nobody"),
        ("failing:tiny", r"importing failing failed at failing\.py, line 2: ZeroDivisionError"),
        ("failing_syntax:tiny", r"failed at failing_syntax\.py, line 1: SyntaxError"),
        (
            "failing_import:tiny",
            r"failed at failing_import\.py, line 1: ModuleNotFoundError.*'xyz'",
        ),
        ("mine.models:tniy", r"expected a function tniy.*has none; did you mean mine\.models:tiny"),
        ("mine.widths:WIDTH", r"has 3 of that name"),
        ("mine.models:number", r"to return an ecct_tf\.edge\.Architecture, got int"),
        (
            "mine.models:broken",
            r"its builder failed at models\.py, line \d+: AttributeError.*no_such_size",
        ),
        ("mine:models.tiny", "module:name such as"),
        ("mine models", "module:name such as"),
        ("m" * 200, "at most 128 characters"),
    ],
)
def test_what_cannot_be_built_says_why(folder, spec, name, message):
    (folder / "failing.py").write_text("x = 1\nx / 0\n")
    (folder / "failing_syntax.py").write_text("def (\n")
    (folder / "failing_import.py").write_text("import xyz\n")
    with pytest.raises(ConfigError, match=message):
        build_edge_model(name, spec)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise SystemExit(3)", r"importing failing\.odd failed at odd\.py, line 1: SystemExit: 3"),
        (
            "def m(spec):\n    raise SystemExit(3)",
            r"'failing\.odd:m': its builder .* SystemExit: 3",
        ),
        ("def m(spec:", r"failed at odd\.py, line 1: SyntaxError"),
        ("\0", r"importing failing\.odd failed: SyntaxError"),
        ("from .nothing import x", r"failed at odd\.py, line 1: ModuleNotFoundError"),
        ("m = lambda spec: None", r"to return an ecct_tf\.edge\.Architecture, got NoneType"),
    ],
)
def test_a_module_that_fails_is_named_with_its_place(folder, spec, source, message):
    package = folder / "failing"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "odd.py").write_text(source)
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match=message):
        build_edge_model("failing.odd:m", spec)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (("", (3,), "head"), "weight: expected a name of letters, got ''"),
        (("a\nb", (3,), "head"), r"weight: expected a name of letters, got 'a\\nb'"),
        ((3, (3,), "head"), "weight: expected a name of letters, got 3"),
        (
            ("w", (-3,), "head"),
            r"weight 'w': expected a shape of whole numbers from 0, got \(-3,\)",
        ),
        (("w", (3.0,), "head"), r"weight 'w': expected a shape .* got \(3\.0,\)"),
        (("w", None, "head"), "weight 'w': expected a shape .* got None"),
        (("w", (3,), "tail"), r"weight 'w': expected a part out of .*, got 'tail'"),
        (("w", (3,), "head", float("nan")), "weight 'w': expected a scale from 0, got nan"),
        (("w", (3,), "head", -1.0), "weight 'w': expected a scale from 0, got -1"),
    ],
)
def test_a_weight_that_can_be_none_is_refused(weight, message):
    with pytest.raises(ConfigError, match=message):
        Weight(*weight)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"layout": WeightLayout(())}, "at least one number each, got no weights"),
        (
            {"layout": WeightLayout((Weight("w", (0, 3), "head"),))},
            "at least one number each, got 'w' without any",
        ),
        ({"layout": None}, "expected a WeightLayout and a function forward, got NoneType"),
        ({"forward": None}, "expected a WeightLayout and a function forward, got .* NoneType"),
        ({"reads": None}, "reads: expected names out of .*, got None"),
        ({"reads": "slots"}, "reads: expected names out of .*, got 'slots'; give a set"),
    ],
)
def test_an_architecture_of_nonsense_is_refused(spec, found, message):
    parts = {"layout": WeightLayout((Weight("w", (3,), "head"),)), "forward": print, **found}
    with pytest.raises(ConfigError, match=f"edge model 'm:n'.*{message}"):
        model_of("m:n", spec, Architecture(**parts))


def test_only_tiers_that_devices_have_are_built():
    edge = EdgeConfig(tiers={"mlp": 1.0, "nobody:has": 0.0})
    assert list(check_edge_models(edge, FeatureConfig())) == ["mlp"]
    with pytest.raises(ConfigError, match="there is no module nobody"):
        check_edge_models(EdgeConfig(tiers={"nobody:has": 1.0}), FeatureConfig())


@pytest.mark.usefixtures("folder")
def test_a_model_may_need_private_numbers_and_sets(spec):
    edge = EdgeConfig(tiers={"mine.models:numbered": 1.0})
    assert list(check_edge_models(edge, FeatureConfig())) == ["mine.models:numbered"]
    without = dataclasses.replace(spec, profile_numbers=0, profile_sets=(2,))
    with pytest.raises(ConfigError, match=r"line \d+: Dense 'numbers': expected inputs of at"):
        build_edge_model("mine.models:numbered", without)


@pytest.mark.usefixtures("folder")
def test_the_largest_tier_is_that_with_the_most_weights():
    tiers = {"linear": 0.25, "mine.models:tiny": 0.25, "mlp": 0.5, "attention": 0.0}
    assert largest_tier(EdgeConfig(tiers=tiers)) == "mlp"
    del tiers["mlp"]
    assert largest_tier(EdgeConfig(tiers={**tiers, "linear": 0.75})) == "linear"
    assert largest_tier(EdgeConfig(tiers={"nobody:has": 1.0})) == "nobody:has"


def test_the_librarys_tiers_need_no_record():
    assert edge_origins(["mlp", "linear"]) == {}


def test_a_changed_source_is_noticed_with_what_it_imports(folder):
    register(folder, tiny_one="mine.models:tiny")
    recorded = edge_origins(["tiny_one"])
    assert recorded["tiny_one"]["target"] == "mine.models:tiny"
    assert recorded["tiny_one"]["version"] == "1.2"
    (folder / "mine" / "unused.py").write_text("# nobody imports it\n")
    assert changed_sources(recorded) == []
    for name in ("widths.py", "models.py"):
        path = folder / "mine" / name
        before = path.read_text()
        path.write_text(f"{before}# changed\n")
        (change,) = changed_sources(recorded)
        assert recorded["tiny_one"]["source_sha256"][:16] in change
        assert "mine.models:tiny now has" in change
        path.write_text(before)
    assert changed_sources(recorded) == []
