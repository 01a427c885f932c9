from __future__ import annotations

import numpy as np
import pytest
from training_views import request_of, view_of

from tt_hydra.errors import ConfigError
from tt_hydra.negatives.uniform import Uniform


def test_size_and_probability() -> None:
    fitted = Uniform(num_negatives=3).fit(view_of([1] * 8))
    assert fitted.draw(request_of([0]), np.random.default_rng(0)).rows.shape == (3,)
    assert np.exp(fitted.log_presence(np.array([0, 7]), 5)) == pytest.approx([3 / 8, 3 / 8])


def test_a_small_catalogue_is_taken_whole() -> None:
    fitted = Uniform(num_negatives=10).fit(view_of([1] * 4))
    assert sorted(fitted.draw(request_of([0]), np.random.default_rng(0)).rows.tolist()) == [0, 1, 2, 3]
    assert fitted.log_presence(np.arange(4), 5).tolist() == [0.0] * 4


def test_the_part_that_is_drawn_is_one_of_items_with_a_training_event() -> None:
    """2 of 5, not of 8; with fewer than are wanted, all of them."""
    counts = [1, 0, 4, 1, 0, 2, 0, 1]
    presence = np.exp(Uniform(num_negatives=2).fit(view_of(counts)).log_presence(np.arange(8), 5))
    assert presence == pytest.approx([0.4, 0, 0.4, 0.4, 0, 0.4, 0, 0.4])
    fitted = Uniform(num_negatives=6).fit(view_of(counts))
    assert sorted(fitted.draw(request_of([0]), np.random.default_rng(0)).rows.tolist()) == [0, 2, 3, 5, 7]
    assert fitted.log_presence(np.array([0, 7]), 5).tolist() == [0.0, 0.0]


def test_no_negatives_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"negatives\.num_negatives"):
        Uniform(num_negatives=0)
