"""Functions that a user brings by `module:name`: found, called, and known again by their source.

Nothing is imported before a part is asked for. The code of the library's own parts is known by
the library's version; of others the source counts, that of the function's module, and of the
modules of its package that it imports.
"""

import ast
import contextlib
import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ecct_tf.errors import ConfigError, EcctError

__all__ = ["Origin", "change_of", "changes_of", "find_function", "guarded", "origin_of"]

Origin = dict[str, str | None]

# Of a message of TensorFlow's, which can fill a screen.
_LONGEST = 400


def find_function(target: str, *, what: str) -> Callable[..., Any]:
    """The function that `module:name` stands for; imports its module.

    Args:
      target: `module:name`.
      what: names the part in messages.

    Raises:
      ConfigError: its module cannot be imported, with the place where that failed, or has no such
        function.
    """
    module_name, _, name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    # A script may end the program when it is imported; a run names what did.
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what}: {_not_imported(module_name, error)}") from error
    found = getattr(module, name, None)
    if not callable(found):
        public = [other for other, value in vars(module).items() if callable(value)]
        known = difflib.get_close_matches(name, public, n=1)
        hint = f"; did you mean {module_name}:{known[0]}?" if known else ""
        there = "has none" if found is None else f"has {found!r} of that name"
        raise ConfigError(
            f"{what}: expected a function {name} in the module {module_name}, which {there}{hint}"
        )
    function: Callable[..., Any] = found
    return function


@contextlib.contextmanager
def guarded(what: str, *, module: str | None, hint: str = "") -> Iterator[None]:
    """Runs code of a user's own; an error in it names the part and the line that failed.

    Args:
      what: names the part in messages.
      module: where the code lies; its package's innermost line is the one that is named.
      hint: what to look at, behind the message.

    Raises:
      ConfigError: the code raised any error, or ended the program.

    Example:
      >>> with guarded("cloud.model 'shop:build'", module=None):
      ...     {}["price"]
      Traceback (most recent call last):
        ...
      ecct_tf.errors.ConfigError: cloud.model 'shop:build' failed: KeyError: 'price'
    """
    try:
        yield
    # A script may end the program; a run names what did.
    except (Exception, SystemExit) as error:
        if isinstance(error, EcctError) and str(error).startswith(what):
            raise
        place = _place_of(error, module)
        # Keras keeps the type of an error and puts its own words into it.
        words = " ".join(str(error).replace("\\n", " ").split())
        text = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"
        told = text if isinstance(error, ConfigError) else f"{type(error).__name__}: {text}"
        raise ConfigError(f"{what} failed{place}: {told}{hint}") from error


def _place_of(error: BaseException, module: str | None) -> str:
    """The innermost line of the package of `module` that `error` came through."""
    package = (module or "").partition(".")[0]
    own = [
        f" at {Path(frame.f_code.co_filename).name}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if package and str(frame.f_globals.get("__name__", "")).partition(".")[0] == package
    ]
    return own[-1] if own else ""


def origin_of(target: str, *, what: str) -> Origin:
    """What is to be recorded of a function that is not the library's own.

    Returns:
      `target`, `distribution` and `version` of the package that it was installed with, if any, and
      `source_sha256` in hexadecimal.

    Raises:
      ConfigError: it cannot be imported.
    """
    find_function(target, what=what)
    module = target.partition(":")[0]
    distribution = _distribution(module)
    return {
        "target": target,
        "distribution": distribution,
        "version": None if distribution is None else importlib.metadata.version(distribution),
        "source_sha256": _source_digest(module),
    }


def change_of(before: Mapping[str, str | None], now: Origin, *, what: str) -> str | None:
    """What changed since `before` was recorded, in words; None where the source is the same."""
    if now["source_sha256"] == before.get("source_sha256"):
        return None
    versions = ""
    if now["version"] != before.get("version"):
        versions = f" (version {before.get('version')}, now {now['version']})"
    return (
        f"{what}: source SHA-256 {_short(before.get('source_sha256'))} was recorded, "
        f"{now['target']} now has {_short(now['source_sha256'])}{versions}"
    )


def changes_of(
    found: Mapping[str, Origin],
    recorded: Mapping[str, Mapping[str, str | None]],
    *,
    what: Callable[[str], str],
) -> list[str]:
    """What changed in the source of each part since it was recorded, in words.

    Args:
      found: what is to be recorded of each part now, by its name.
      recorded: what was; a part that is not in it is not compared.
      what: names a part in messages.
    """
    changes = (
        change_of(recorded[name], origin, what=what(name))
        for name, origin in found.items()
        if name in recorded
    )
    return [change for change in changes if change is not None]


def _not_imported(module: str, error: BaseException) -> str:
    """What failed while `module` was imported, and where."""
    if isinstance(error, ModuleNotFoundError) and _is_part(error.name, module):
        return _no_module(str(error.name))
    frames = traceback.extract_tb(error.__traceback__)
    machinery = str(Path(importlib.__file__).parent)
    own = [frame for frame in frames if not frame.filename.startswith(("<frozen", machinery))]
    # The innermost place outside of the machinery of imports.
    place = f" at {Path(own[-1].filename).name}, line {own[-1].lineno}" if len(own) > 1 else ""
    if isinstance(error, SyntaxError) and error.filename is not None:
        place = f" at {Path(error.filename).name}, line {error.lineno}"
    return f"importing {module} failed{place}: {type(error).__name__}: {error}"


def _no_module(missing: str) -> str:
    """That there is no such module, those of nearly its name, and the way out."""
    package, _, name = missing.rpartition(".")
    # The package is there: it was imported before its module was looked for.
    paths = getattr(sys.modules.get(package), "__path__", None) if package else None
    beside = sorted({found.name for found in pkgutil.iter_modules(paths)})
    # Any installed package may be meant: of those only what is nearly the same.
    likeness = 0.6 if package else 0.75
    near = [
        f"{package}.{each}" if package else each for each in _near(name, beside, likeness=likeness)
    ]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    told = f"there is no module {missing}{hint}"
    if not package:
        if near:
            return f"{told} If not, install its package, or run the command in its folder"
        return (
            f"{told}: install its package, or run the command in the folder that contains {missing}"
        )
    if paths is None:
        return f"{told}: {package} is a module without modules in it; correct the name"
    if near:
        return f"{told} If not, add {name}.py to the package {package}"
    has = f", which has {', '.join(beside[:5])}{', …' * (len(beside) > 5)}" if beside else ""
    return f"{told} in the package {package}{has}: correct the name, or add {name}.py to it"


def _near(name: str, known: Iterable[str], *, likeness: float = 0.6) -> list[str]:
    return difflib.get_close_matches(name, list(known), n=2, cutoff=likeness)


def _is_part(missing: str | None, module: str) -> bool:
    return missing is not None and (module == missing or module.startswith(f"{missing}."))


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
