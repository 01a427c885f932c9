from __future__ import annotations

import pytest

from tt_hydra.contracts import Health
from tt_hydra.errors import ConfigError
from tt_hydra.index.compaction import Compaction, due

BOUNDS = Compaction(dead_share=0.3, delta_share=0.2, delta_rows=5000, imbalance=4.0, recall=0.9, least_rows=100)


@pytest.mark.parametrize(
    ("health", "recall_low", "told"),
    [
        (Health(alive=1000, base=1000, delta=0, dead=0), 0.1, None),
        (Health(alive=700, base=1000, delta=0, dead=300), None, None),
        (Health(alive=690, base=1000, delta=0, dead=310), None, "31% of the rows are dead, more than 30%"),
        (Health(alive=1000, base=800, delta=200, dead=0), None, None),
        (Health(alive=1000, base=700, delta=300, dead=0), None, "30% of the rows are beside the index, more than 20%"),
        (Health(alive=99_000, base=93_999, delta=5001, dead=0), None, "5,001 rows are beside the index, more than 5,000"),
        (Health(alive=1000, base=950, delta=100, dead=50, imbalance=4.5), None, "imbalance of the index's lists is 4.5, more than 4"),
        (Health(alive=1000, base=950, delta=100, dead=50, imbalance=4.0), 0.95, None),
        (Health(alive=9, base=10, delta=0, dead=1), 0.85, "live recall may be as low as 0.850, below 0.9"),
        (Health(alive=1, base=50, delta=49, dead=50), None, None),
    ],
)
def test_what_makes_it_due(health: Health, recall_low: float | None, told: str | None) -> None:
    reason = due(health, BOUNDS, recall_low)
    assert reason == told if told is None else told in str(reason)


@pytest.mark.parametrize(
    ("built", "low", "told"),
    [
        (None, 0.89, "below 0.9"),
        (0.99, 0.89, "below 0.9"),
        (0.99, 0.91, None),
        (0.87, 0.83, None),
        (0.87, 0.81, "below 0.82"),
        (0.92, 0.88, None),
    ],
)
def test_an_index_that_never_had_the_recall_is_held_against_its_own(built: float | None, low: float, told: str | None) -> None:
    reason = due(Health(alive=1000, base=1000, delta=1, dead=0), BOUNDS, low, built)
    assert reason == told if told is None else told in str(reason)


@pytest.mark.parametrize(("key", "value"), [("keep", 0), ("dead_share", 1.5), ("recall", -0.1), ("delta_rows", 0), ("imbalance", 0.5)])
def test_bounds_are_checked(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"compaction.{key}={value}"):
        Compaction(**{key: value})
