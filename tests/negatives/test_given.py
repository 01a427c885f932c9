from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.contracts import Ragged
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.given import Given

COUNTS = np.ones(50, np.float32)
NAMED = Ragged(np.array([10, 11, 12, 20, 11, 30, 31]), np.array([0, 3, 4, 4, 7]))


def test_all_where_there_are_few() -> None:
    rows = Given(per_query=3).fit(COUNTS).draw(np.arange(4), NAMED, np.random.default_rng(0))
    assert rows.tolist() == [10, 11, 12, 20, 30, 31]


def test_each_query_gives_some_of_its_own_anew() -> None:
    fitted, generator = Given(per_query=1).fit(COUNTS), np.random.default_rng(0)
    seen: set[int] = set()
    for _ in range(50):
        rows = set(fitted.draw(np.arange(4), NAMED, generator).tolist())
        assert 20 in rows
        assert rows & {10, 11, 12}
        assert rows & {11, 30, 31}
        assert len(rows) <= 3
        seen |= rows
    assert seen == {10, 11, 12, 20, 30, 31}


def test_queries_that_name_none() -> None:
    rows = Given().fit(COUNTS).draw(np.arange(2), Ragged(np.empty(0, np.int64), np.array([0, 0, 0])), np.random.default_rng(0))
    assert rows.shape == (0,)


def test_data_without_negatives_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"negatives=in_batch"):
        Given().fit(COUNTS).draw(np.arange(2), None, np.random.default_rng(0))
