from __future__ import annotations

import pytest

from tt_hydra.sweep.space import Choice, Float, Int, Parameter, Space
from tt_hydra.sweep.starts import start_of

SPACE = Space(
    (
        Parameter("loss", Choice(("infonce", "bpr")), name="loss"),
        Parameter("temperature.start", Float(0.01, 1.0), {"loss": ("infonce",)}, "temperature.start@1"),
        Parameter("embedding_dim", Choice(("32", "64")), name="embedding_dim"),
        Parameter("index.M", Int(4, 64, step=4), name="index.M"),
    )
)


def test_values_are_named_as_their_parameters_are_and_written_as_choices_are() -> None:
    found = start_of(SPACE, {"loss": "bpr", "temperature.start": 0.5, "embedding_dim": 64})
    assert found == {"loss": "bpr", "temperature.start@1": 0.5, "embedding_dim": "64"}
    assert start_of(SPACE, {}) == {}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"los": "bpr"}, "names 'los', which is not searched; did you mean 'loss'"),
        ({"loss": "triplet"}, "has loss='triplet', and the space has infonce, bpr"),
        ({"temperature.start": 2.0}, r"has temperature.start=2.0, and the space has 0.01 to 1.0"),
        ({"index.M": True}, "the space has 4 to 64 in steps of 4"),
        ({"index.M": 6}, "the space has 4 to 64 in steps of 4"),
    ],
)
def test_what_lies_outside_is_told_with_what_is_allowed(values: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        start_of(SPACE, values)
