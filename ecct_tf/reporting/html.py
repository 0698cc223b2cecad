"""What all pages share: templates whose text is escaped, the one script, and whole files."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2

from ecct_tf.errors import ConfigError
from ecct_tf.files import write_bytes
from ecct_tf.reporting.spread import bytes_text, plural, seconds_text, signed

__all__ = ["render", "write_page"]

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **content: Any) -> str:
    """The page that a template makes of its content, which is escaped.

    Args:
      template: file name, below `templates`.
      content: what it is made of; `script` and `script_digest` are added.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        # Names, settings and paths are text of others: all of it is escaped.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        bytes=bytes_text, duration=seconds_text, signed=signed, plural=plural
    )
    script = (_TEMPLATES / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(script=script, script_digest=digest, **content)


def write_page(text: str, out: Path, *, what: str) -> Path:
    """Writes a page; it appears whole or not at all.

    Args:
      text: of the page.
      out: the file; it is replaced.
      what: names the page in a message.

    Raises:
      ConfigError: the file cannot be written.
    """
    try:
        # A folder that is not there is a slip of the pen.
        out.parent.stat()
        write_bytes(out, text.encode("utf-8", "xmlcharrefreplace"))
    except OSError as error:
        raise ConfigError(f"cannot write the {what} {out}: {error.strerror}") from error
    return out
