from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.negatives.in_batch import InBatch


def test_nothing_is_drawn_and_log_q_is_the_share_of_the_training_positives() -> None:
    fitted = InBatch().fit(np.array([6, 3, 1], np.float32))
    assert fitted.draw(np.array([0, 1]), None, np.random.default_rng(0)).shape == (0,)
    assert np.exp(fitted.log_q(np.array([2, 0]))) == pytest.approx([0.1, 0.6])
