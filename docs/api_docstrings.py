"""Makes the docstrings of this project ready for the API pages: an extension of griffe.

Doctests stand in the docstrings as `Example:` or bare; griffe knows neither form, and would
show `>>>` as a quotation. Public constants and names of types have no docstring, without which
they would be left out. See `mkdocs.yml`.
"""

import re

import griffe

# From a prompt to the next empty line, at the left margin.
_BARE = re.compile(r"^>>> .*(?:\n.+)*", flags=re.MULTILINE)
_HEADING = re.compile(r"^Example:$", flags=re.MULTILINE)


class ApiDocstrings(griffe.Extension):
    """Rewrites examples, and describes public constants and names of types."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called by griffe when it has read an object."""
        if obj.docstring is not None:
            obj.docstring.value = as_code(obj.docstring.value)
        elif obj.is_attribute and obj.parent.is_module and obj.name in (obj.parent.exports or ()):
            text = "A constant." if obj.name.isupper() else "The name of a type."
            obj.docstring = griffe.Docstring(text, parent=obj)


def as_code(text: str) -> str:
    """Makes `Example:` the section that griffe knows, and fences bare doctests."""
    text = _HEADING.sub("Examples:", text)
    return _BARE.sub(lambda block: f"```pycon\n{block.group()}\n```", text)
