from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.errors import ConfigError
from tt_hydra.negatives.catalogue import Catalogue


def test_every_row_with_certainty() -> None:
    fitted = Catalogue().fit(np.array([5, 0, 1], np.float32))
    assert fitted.draw(np.array([1]), None, np.random.default_rng(0)).tolist() == [0, 1, 2]
    assert fitted.log_q(np.array([0, 2])).tolist() == [0.0, 0.0]


def test_a_catalogue_over_the_limit_is_refused_before_training() -> None:
    assert Catalogue(max_items=3).fit(np.ones(3, np.float32)).num_items == 3
    with pytest.raises(ConfigError, match=r"max_items=3; this catalogue has 4\. Choose negatives=uniform"):
        Catalogue(max_items=3).fit(np.ones(4, np.float32))
