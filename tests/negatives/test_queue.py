from __future__ import annotations

import numpy as np
import pytest
from training_views import request_of, view_of

from tt_hydra.errors import ConfigError
from tt_hydra.negatives.queue import Queue


def test_nothing_is_drawn_and_the_memory_is_told() -> None:
    fitted = Queue(memory=7).fit(view_of([6, 3, 1]))
    assert fitted.memory == 7
    assert fitted.draw(request_of([0, 1]), np.random.default_rng(0)).rows.shape == (0,)


def test_presence_grows_with_what_the_queue_holds() -> None:
    """A share of .1: 1 - .9 ** 2 in the first step of two, 1 - .9 ** 6 when the positives of two such steps before are kept."""
    fitted = Queue(memory=7).fit(view_of([6, 3, 1]))
    assert np.exp(fitted.log_presence(np.array([2]), 2)) == pytest.approx([0.19])
    assert np.exp(fitted.log_presence(np.array([2]), 6)) == pytest.approx([1 - 0.9**6])


def test_presence_is_how_often_batch_or_queue_hold_an_item() -> None:
    share, batch, kept, trials = np.array([0.6, 0.25, 0.1, 0.05]), 4, 2, 8000
    fitted, steps = Queue().fit(view_of(100 * share)), np.random.default_rng(0).choice(4, size=(trials, batch), p=share)
    windows = np.concatenate([steps[at : trials - kept + at] for at in range(kept + 1)], axis=1)
    seen = np.array([(windows == item).any(axis=1).mean() for item in range(4)])
    assert np.exp(fitted.log_presence(np.arange(4), batch * (kept + 1))) == pytest.approx(seen, abs=0.02)


def test_no_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"negatives\.memory"):
        Queue(memory=0)
