"""Where an edge model comes from: what a run records, so that changed code is noticed later.

The code of the library's own tiers is known by the library's version. Of others the source
counts: that of the builder's module, and of the modules of its package that it imports.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

from ecct_tf.config import Tier
from ecct_tf.config.edge_names import is_own_tier, target_of
from ecct_tf.edge.registry import find_builder

__all__ = ["changed_sources", "edge_origins"]

Origin = dict[str, str | None]


def edge_origins(tiers: Iterable[Tier]) -> dict[Tier, Origin]:
    """What is to be recorded of each edge model that is not the library's own.

    Returns:
      By name: `target` (`module:name`), `distribution` and `version` of the package that it was
      installed with, if any, and `source_sha256` in hexadecimal.

    Raises:
      ConfigError: when a model cannot be imported.
    """
    return {tier: _origin(tier) for tier in sorted(tiers) if not is_own_tier(tier)}


def changed_sources(recorded: Mapping[Tier, Origin]) -> list[str]:
    """For each model whose source is not what was recorded: its name and what changed, in words.

    Raises:
      ConfigError: when a model cannot be imported.
    """
    changes = []
    for tier, before in sorted(recorded.items()):
        now = _origin(tier)
        if now["source_sha256"] == before.get("source_sha256"):
            continue
        versions = ""
        if now["version"] != before.get("version"):
            versions = f" (version {before.get('version')}, now {now['version']})"
        changes.append(
            f"edge model {tier!r}: source SHA-256 {_short(before.get('source_sha256'))} was "
            f"recorded, {now['target']} now has {_short(now['source_sha256'])}{versions}"
        )
    return changes


def _origin(tier: Tier) -> Origin:
    target = target_of(tier)
    find_builder(tier)
    module = target.partition(":")[0]
    distribution = _distribution(module)
    return {
        "target": target,
        "distribution": distribution,
        "version": None if distribution is None else importlib.metadata.version(distribution),
        "source_sha256": _source_digest(module),
    }


def _distribution(module: str) -> str | None:
    found = importlib.metadata.packages_distributions().get(module.partition(".")[0])
    return found[0] if found else None


def _source_digest(module: str) -> str:
    """SHA-256 of the names and sources of `module` and of what it imports of its package."""
    digest, package = hashlib.sha256(), module.partition(".")[0]
    pending, seen = [module], {module}
    sources: dict[str, bytes] = {}
    while pending:
        name = pending.pop()
        path = _source_path(name)
        if path is None:
            continue
        sources[name] = path.read_bytes()
        base = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for other in _imports(sources[name], base=base):
            if other.partition(".")[0] == package and other not in seen:
                seen.add(other)
                pending.append(other)
    for name in sorted(sources):
        digest.update(f"{name} {len(sources[name])}\n".encode())
        digest.update(sources[name])
    return digest.hexdigest()


def _source_path(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        # `from package import name` may name a function.
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _imports(source: bytes, *, base: str) -> Iterable[str]:
    """Names that a source imports, absolute, whether they are modules or not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = base.split(".")[: len(base.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _short(digest: str | None) -> str:
    return "none" if digest is None else f"{digest[:16]}…"
