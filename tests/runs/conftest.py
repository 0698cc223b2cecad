"""A small shop as pandas frames, and the run of it that the page on Python prints."""

import asyncio
import functools
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
USERS, ITEMS = 20, 120
QUICK = {
    "baselines": False,
    "exchange.stage_1_rounds": 0,
    "evaluation.catalog": "none",
    "cloud.next_item.epochs": 0,
    "edge.start": "random",
}


def shop_frames():
    """Clicks, customers and goods: everybody met 8 of the goods."""
    draw = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{item}", 1_600_000_000 + 3600 * step + user)
        for user in range(USERS)
        for step, item in enumerate(draw.choice(ITEMS, 8, replace=False))
    ]
    return {
        "df": pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]),
        "users": pd.DataFrame(
            {"user_id": [f"u{user}" for user in range(USERS)], "town": ["Rome", "Oslo"] * 10}
        ),
        "items": pd.DataFrame(
            {
                "item_id": [f"i{item}" for item in range(ITEMS)],
                "name": [f"Thing {item}" for item in range(ITEMS)],
                "price": np.arange(ITEMS) / 7,
            }
        ),
        "schema": {
            "name": "shop",
            "users": {"columns": {"town": {"kind": "categorical"}}},
            "items": {"title": "name", "columns": {"price": {"kind": "numeric"}}},
        },
    }


@pytest.fixture(scope="session")
def frames():
    return shop_frames()


def printed_snippet():
    """The first blocks of the page: what the README promises."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return blocks[:2]


@pytest.fixture(scope="session")
def snippet(tmp_path_factory):
    """What is defined after the snippet has run as a notebook runs it: in an event loop.

    In a folder of its own, and with settings that leave out what takes long.
    """
    import ecct_tf as ecct

    names, before, folder = shop_frames(), Path.cwd(), tmp_path_factory.mktemp("notebook")

    async def cell(block):
        exec(compile(block, str(PAGE), "exec"), names)

    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ecct, "simulate", functools.partial(ecct.simulate, settings=QUICK))
        try:
            for block in printed_snippet():
                asyncio.run(cell(block))
        finally:
            os.chdir(before)
    return {**names, "folder": folder}


@pytest.fixture(scope="session")
def run(snippet):
    """The run of the snippet, opened anew, by a path that holds from anywhere."""
    import ecct_tf as ecct

    return ecct.open_run(snippet["folder"] / snippet["run"].path, data=snippet["data"])
