from __future__ import annotations

import pytest

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.auto import Auto


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"families": ()}, "families"),
        ({"families": ("ivf", "ivf")}, "families"),
        ({"seconds": 0.0}, "seconds"),
        ({"queries": 9}, "queries"),
        ({"threads": 0}, "threads"),
        ({"prefixes": (0,)}, "prefixes"),
    ],
)
def test_refuses_what_cannot_be_searched(wrong, key) -> None:
    with pytest.raises(IndexSpecError, match=rf"index\.{key}"):
        Auto(**wrong)
