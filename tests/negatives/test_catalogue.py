from __future__ import annotations

import numpy as np
import pytest
from training_views import request_of, view_of

from tt_hydra.contracts import Origin
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.catalogue import Catalogue


def test_every_row_with_certainty() -> None:
    fitted = Catalogue(never_taken=True).fit(view_of([5, 0, 1]))
    drawn = fitted.draw(request_of([1]), np.random.default_rng(0))
    assert drawn.rows.tolist() == [0, 1, 2]
    assert set(drawn.origin.tolist()) == {Origin.CATALOGUE}
    assert fitted.log_presence(np.array([0, 2]), 7).tolist() == [0.0, 0.0]


def test_items_without_a_training_event_are_left_out() -> None:
    fitted = Catalogue().fit(view_of([5, 0, 1]))
    assert fitted.draw(request_of([2]), np.random.default_rng(0)).rows.tolist() == [0, 2]
    assert np.exp(fitted.log_presence(np.arange(3), 7)).tolist() == [1.0, 0.0, 1.0]


def test_a_catalogue_over_the_limit_is_refused_before_training() -> None:
    assert len(Catalogue(max_items=3).fit(view_of([1] * 3)).drawable) == 3
    with pytest.raises(ConfigError, match=r"max_items=3; this catalogue has 4\. Choose negatives=uniform"):
        Catalogue(max_items=3).fit(view_of([1] * 4))


def test_the_limit_counts_what_is_drawn() -> None:
    counts = [1, 0, 1, 0, 1, 1]
    assert len(Catalogue(max_items=4).fit(view_of(counts)).drawable) == 4
    with pytest.raises(ConfigError, match=r"every item with a training event .*=3; this catalogue has 4 with a training event\."):
        Catalogue(max_items=3).fit(view_of(counts))
    with pytest.raises(ConfigError, match=r"=4; this catalogue has 6\."):
        Catalogue(max_items=4, never_taken=True).fit(view_of(counts))
