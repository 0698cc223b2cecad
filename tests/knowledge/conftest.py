"""Item tables for tests of their forms."""

import numpy as np
import pytest

from ecct_tf.knowledge import Block, ItemTable


@pytest.fixture(scope="session")
def table_of():
    """Makes a table whose cloud embedding is a block's target and two columns more.

    Up to 255 items every value of it has an entry of its own in product codes: nothing is fitted.
    """

    def make(items):
        rng = np.random.default_rng(1)

        def rows(columns):
            values = rng.standard_normal((items + 1, columns)).astype(np.float32)
            values[0] = 0.0
            return values

        target, genres = rows(6), (rows(3) > 0).astype(np.float32)
        return ItemTable(
            blocks=(Block("next", rows(6), target), Block("category", genres, genres)),
            attributes=rows(1),
            cloud=np.concatenate([target, rows(2)], axis=1),
            bias=rows(1)[:, 0],
            feature_mean=np.zeros(4, np.float32),
            feature_scale=np.ones(4, np.float32),
        )

    return make
