"""Pages of the site that are files of the repository: benchmarks, changelog, the Android library.

Called by mkdocs (see `mkdocs.yml`). The files stay where a reader of the repository looks for
them; links between them and `docs/` are fixed on the way, all others would lead nowhere in the
site and become plain text.
"""

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "android.md": "mobile_export/android/README.md",
    "browser.md": "mobile_export/web/README.md",
}

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Adds the pages."""
    from mkdocs.structure.files import File

    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=render(source)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to those files, which lead somewhere in the repository too, as links to the pages."""
    for page, source in PAGES.items():
        markdown = markdown.replace(f"](../{source}", f"]({page}")
    return markdown


def render(source: str) -> str:
    """The text of `source`, a path below the root, with links that hold inside the site."""
    text = (ROOT / source).read_text(encoding="utf-8")
    return _LINK.sub(lambda link: _mended(link, source), text)


def _mended(link: re.Match[str], source: str) -> str:
    words, target = link.groups()
    if re.match(r"[a-z]+:|#", target):
        return link.group()
    path, _, anchor = target.partition("#")
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    sources = {below: page for page, below in PAGES.items()}
    page = sources.get(resolved) or resolved.removeprefix("docs/")
    if resolved not in sources and page == resolved:
        return words
    return f"[{words}]({page}{'#' + anchor if anchor else ''})"
