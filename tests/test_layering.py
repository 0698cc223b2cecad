"""Imports run one way, as docs/architecture.md says: read from the sources, nothing is run."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ecct_tf", "cloud", "mobile_export")

# The baselines in closed form, which the cloud uses too; the trained ones stand further up.
CLOSED_FORM = tuple(
    f"ecct_tf.baselines{name}"
    for name in ("", "._interactions", ".ease", ".factored_ease", ".popularity")
)

# Lowest first; what stands in one row knows nothing of each other. A module belongs to its
# longest prefix here; one that has none must get a place.
ROWS = (
    ("ecct_tf.errors", "ecct_tf.parts", "ecct_tf.version"),
    ("ecct_tf.owner_files", "ecct_tf.user_folders"),
    (
        "ecct_tf.bars",
        "ecct_tf.child_processes",
        "ecct_tf.collection",
        "ecct_tf.config",
        "ecct_tf.files",
        "ecct_tf.installation",
        "ecct_tf.locks",
        "ecct_tf.memory",
        "ecct_tf.phases",
        "ecct_tf.plain_text",
        "ecct_tf.plugins",
        "ecct_tf.quiet",
        "ecct_tf.sealed_json",
        "ecct_tf.stopping",
        "ecct_tf.terminal",
        "ecct_tf.touched_rows",
    ),
    (
        "ecct_tf.budget",
        "ecct_tf.data",
        "ecct_tf.evaluation",
        "ecct_tf.fixed_arrays",
        "ecct_tf.fixed_order",
        "ecct_tf.package_checks",
        "ecct_tf.privacy",
        "ecct_tf.tensorflow_files",
        "ecct_tf.traced_gradients",
        "ecct_tf.workers",
        "ecct_tf.wire",
    ),
    ("ecct_tf.knowledge",),
    ("ecct_tf.edge",),
    ("closed form", "mobile_export.contract", "mobile_export.flatbuffer"),
    ("ecct_tf.federated", "cloud", "mobile_export.making", "mobile_export.runtime"),
    (
        "ecct_tf.baselines",
        "ecct_tf.reporting",
        "mobile_export",
        "mobile_export.checking",
        "mobile_export.device",
    ),
    # From here on the parts are put together.
    ("ecct_tf.simulation", "mobile_export.transport"),
    ("ecct_tf.cycle", "ecct_tf.doctor", "ecct_tf.runs", "ecct_tf.starter", "ecct_tf.testing"),
    ("ecct_tf.audit",),
    ("ecct_tf.studies", "ecct_tf.trial"),
    ("ecct_tf.commands",),
    ("ecct_tf.cli",),
    # The names that programs import, from wherever they are; no module of ours takes one from it.
    ("ecct_tf",),
    # A program, which `ecct new` writes.
    ("ecct_tf.starter.template",),
)
LEVEL = {name: level for level, row in enumerate(ROWS) for name in row}

# What a phone, an ingesting process and a registry's reader import needs no TensorFlow.
WITHOUT_TENSORFLOW = (
    "cloud.registry",
    "cloud.service",
    "cloud.uplink_log",
    "ecct_tf.config",
    "ecct_tf.data",
    "ecct_tf.evaluation",
    "ecct_tf.wire",
    "mobile_export.device",
    "mobile_export.transport",
)


def _modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(_modules())


@functools.cache
def _imports(source):
    """What a source imports, anywhere in it, each as a module's name where it is one of ours."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if name in MODULES else node.module for name in inner]
    return tuple(found)


def _place(module):
    """The entry of `ROWS` that `module` belongs to."""
    if module in CLOSED_FORM:
        return "closed form"
    parts = module.split(".")
    names = (".".join(parts[:size]) for size in range(len(parts), 0, -1))
    found = next(name for name in names if name in LEVEL)
    if found in ("ecct_tf", "mobile_export") and module != found:
        pytest.fail(f"{module} has no place in ROWS; give it one")
    return found


def _upward(module, source):
    own = _place(module)
    for name in _imports(source):
        if name.split(".")[0] in PACKAGES:
            other = _place(name)
            if other != own and LEVEL[other] >= LEVEL[own]:
                yield f"{module} imports {name}"


def test_no_import_runs_upwards():
    found = [_upward(module, path.read_text(encoding="utf-8")) for module, path in MODULES.items()]
    assert not [each for upward in found for each in upward]


# Packages that take long to import, or that not every installation has.
HEAVY = {
    "ai_edge_litert": "LiteRT",
    "click": "click",
    "matplotlib": "Matplotlib",
    "pandas": "pandas",
    "scipy": "SciPy",
    "sklearn": "scikit-learn",
    "tensorflow": "TensorFlow",
    "tensorflow_federated": "TFF",
    "tensorflow_recommenders": "TFRS",
}


def _table(text):
    """Row, packages and what they import, of each line of the table of packages."""
    for line in text.splitlines():
        found = re.fullmatch(r"\| (\d+) \| (.+?) \| .+ \| (.+?) \|", line)
        if found:
            packages = re.findall(r"`([^`]+)`", found[2])
            imported = set() if found[3] == "–" else set(found[3].split(", "))
            yield int(found[1]), packages, imported


def _entry(name):
    """The entry of `ROWS` that a name in the table stands for."""
    return name if name in LEVEL else _place(name)


def _untrue(text):
    """What the table says that the sources do not, or the other way round."""
    told = list(_table(text))
    rows = {_entry(name): row for row, names, _ in told for name in names}
    for name in sorted(rows.keys() | LEVEL.keys()):
        if rows.get(name) != LEVEL.get(name):
            yield f"{name}: row {rows.get(name)} in the table, {LEVEL.get(name)} in ROWS"
    for _, names, imported in told:
        places = {_entry(name) for name in names}
        found = {
            HEAVY[name.split(".")[0]]
            for module, path in MODULES.items()
            if _place(module) in places
            for name in _imports(path.read_text(encoding="utf-8"))
            if name.split(".")[0] in HEAVY
        }
        if found != imported:
            yield f"{', '.join(names)}: {sorted(imported)} in the table, {sorted(found)} imported"


def test_the_table_of_packages_in_the_docs_is_true():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert not list(_untrue(text)), "correct the table in docs/architecture.md"


@pytest.mark.parametrize(
    ("pattern", "after", "words"),
    [
        (r"\| \d+ \| `ecct_tf.edge`", "| 0 | `ecct_tf.edge`", "ecct_tf.edge: row 0 in the table"),
        (r"`ecct_tf.locks`, ", "", "ecct_tf.locks: row None in the table"),
        (r"\| Matplotlib, [^|]+ \|", "| – |", "ecct_tf.reporting: [] in the table"),
    ],
)
def test_control_an_untrue_table_is_found(pattern, after, words):
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    altered, count = re.subn(pattern, after, text)
    assert count == 1
    assert any(each.startswith(words) for each in _untrue(altered))


def test_the_map_of_the_house_names_every_package():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("## The map of the house") :]
    named = set(re.findall(r"`((?:ecct_tf|cloud|mobile_export)[a-z_.]*)`", table))
    packages = {
        ".".join(parts[:2])
        for parts in (module.split(".") for module in MODULES)
        if len(parts) > 1
        and (ROOT.joinpath(*parts[:2]) / "__init__.py").exists()
        and parts[0] == "ecct_tf"
    }
    lacking = {*packages, "cloud", "mobile_export"} - named - {"ecct_tf.commands"}
    assert not lacking, "name them in the table of CONTRIBUTING.md"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cloud.model", "def f():\n    from ecct_tf.simulation import simulate"),
        ("mobile_export.making.graph", "import cloud.registry"),
        ("ecct_tf.wire.record", "from ecct_tf import knowledge"),
        ("ecct_tf.federated.process", "from cloud import CloudRecommender"),
    ],
)
def test_control_an_upward_import_is_found(module, source):
    assert len(list(_upward(module, source))) == 1


@functools.cache
def _exported(module):
    """The `__all__` of a module; None where it has none."""
    for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def _hidden(module, source):
    """What `module` imports from modules of ours that do not export it."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or node.module not in MODULES:
            continue
        exported = _exported(node.module)
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            if exported is not None and inner not in MODULES and alias.name not in exported:
                yield f"{module} imports {inner}, which __all__ lacks"


def test_modules_import_only_what_others_export():
    found = [_hidden(module, path.read_text(encoding="utf-8")) for module, path in MODULES.items()]
    assert not [each for hidden in found for each in hidden]


def test_control_an_import_of_what_is_not_exported_is_found():
    source = "from ecct_tf.locks import FileLock, _log\nfrom ecct_tf import config"
    assert list(_hidden("cloud.model", source)) == [
        "cloud.model imports ecct_tf.locks._log, which __all__ lacks"
    ]


def test_tensorflow_federated_stays_behind_one_module():
    found = {
        module
        for module, path in MODULES.items()
        if any(
            name.startswith("tensorflow_federated")
            for name in _imports(path.read_text(encoding="utf-8"))
        )
    }
    assert found <= {"ecct_tf.federated.compat", "ecct_tf.doctor"}


def test_what_phones_and_readers_use_imports_no_tensorflow():
    within = tuple(f"{name}." for name in WITHOUT_TENSORFLOW)
    found = [
        module
        for module, path in MODULES.items()
        if module in WITHOUT_TENSORFLOW or module.startswith(within)
        if any(
            name.split(".")[0] == "tensorflow"
            for name in _imports(path.read_text(encoding="utf-8"))
        )
    ]
    assert not found
