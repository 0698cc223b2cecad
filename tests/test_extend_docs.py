"""The scripts in the docs pages of the group Extend run as they are printed."""

import re
from pathlib import Path

from ecct_tf.edge import EdgeSpec, model_of
from ecct_tf.edge.operators import check_operators

DOCS = Path(__file__).parents[1] / "docs"


def _scripts(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_the_edge_model_of_the_page_is_one():
    found = {}
    for script in _scripts("extend_edge_model.md"):
        exec(script, found)
    spec = EdgeSpec(5, 3, 2, (3,), 4, embedding_dim=4)
    model = model_of("page:crossed", spec, found["crossed"](spec))
    check_operators(model)
    assert {"cross/0/down/kernel", "cross/1/up/kernel"} <= {
        weight.name for weight in model.layout.weights
    }
