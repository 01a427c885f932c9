from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.errors import ConfigError
from tt_hydra.negatives.uniform import Uniform


def test_size_and_probability() -> None:
    fitted = Uniform(num_negatives=3).fit(np.ones(8, np.float32))
    assert fitted.draw(np.array([0]), None, np.random.default_rng(0)).shape == (3,)
    assert np.exp(fitted.log_q(np.array([0, 7]))) == pytest.approx([1 / 8, 1 / 8])


def test_a_small_catalogue_is_taken_whole() -> None:
    rows = Uniform(num_negatives=10).fit(np.ones(4, np.float32)).draw(np.array([0]), None, np.random.default_rng(0))
    assert sorted(rows.tolist()) == [0, 1, 2, 3]


def test_no_negatives_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"negatives\.num_negatives"):
        Uniform(num_negatives=0)
