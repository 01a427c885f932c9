from __future__ import annotations

import numpy as np
import pytest
from training_views import request_of, view_of

from tt_hydra.contracts import Origin
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.mixed import Mixed


def test_presence_is_that_of_either_way() -> None:
    """Shares of .6 and .1 in a batch of two: a = .84 and .19; b = 3 of 10 drawn."""
    fitted = Mixed(num_negatives=3).fit(view_of([12, 2, *([0.75] * 8)]))
    a, b = np.array([0.84, 0.19]), 0.3
    assert np.exp(fitted.log_presence(np.array([0, 1]), 2)) == pytest.approx(1 - (1 - a) * (1 - b), rel=1e-5)


def test_presence_of_a_rare_item_in_a_large_catalogue_keeps_its_digits() -> None:
    """1e-9 either way."""
    counts = np.full(1_000_000, 1e-3)
    counts[0] = 1e6 - 1e3
    fitted = Mixed(num_negatives=1).fit(view_of(counts))
    assert np.exp(fitted.log_presence(np.array([5]), 1))[0] == pytest.approx(1e-6 + 1e-9, rel=1e-4)


def test_an_item_that_every_batch_holds() -> None:
    assert Mixed(num_negatives=1).fit(view_of([1])).log_presence(np.array([0]), 5).tolist() == [0.0]


def test_what_nobody_took_comes_as_a_positive_or_not_at_all() -> None:
    """Shares of .6, .3 and, for half of the rarest, .1 in a batch of one; b = 1 of 2 drawn, none of them the last."""
    fitted = Mixed(num_negatives=1).fit(view_of([6, 2, 0]))
    shares = np.array([6, 2, 1]) / 9
    assert np.exp(fitted.log_presence(np.arange(3), 1)) == pytest.approx(1 - (1 - shares) * (1 - np.array([0.5, 0.5, 0])), rel=1e-5)


def test_draws_are_uniform_and_say_so() -> None:
    drawn = Mixed(num_negatives=4).fit(view_of([1, 9, 1, 1, 1, 1])).draw(request_of([1, 2]), np.random.default_rng(0))
    assert len(set(drawn.rows.tolist())) == 4
    assert set(drawn.origin.tolist()) == {Origin.UNIFORM}


def test_no_negatives_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"negatives\.num_negatives"):
        Mixed(num_negatives=0)
