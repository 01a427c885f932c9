from __future__ import annotations

import numpy as np
import pytest
from training_views import request_of, view_of

from tt_hydra.negatives.in_batch import InBatch


def test_nothing_is_drawn_and_an_item_is_there_if_one_of_the_batch_has_it() -> None:
    """Shares of .1 and .6 among two draws: 1 - .9 ** 2 and 1 - .4 ** 2."""
    fitted = InBatch().fit(view_of([6, 3, 1]))
    assert fitted.draw(request_of([0, 1]), np.random.default_rng(0)).rows.shape == (0,)
    assert np.exp(fitted.log_presence(np.array([2, 0]), 1)) == pytest.approx([0.1, 0.6])
    assert np.exp(fitted.log_presence(np.array([2, 0]), 2)) == pytest.approx([0.19, 0.84])
