from __future__ import annotations

import re

from tt_hydra.report.sweep_prefixes import prefixes
from tt_hydra.sweep.record import TrialRecord


def trial(number: int, *overrides: str, **metrics: float) -> TrialRecord:
    """A complete trial: ``model`` is what its whole vectors find, ``p16`` what a prefix of 16 dimensions does."""
    keys = {name: "valid/model/recall@10" if name == "model" else f"valid/prefix/{name[1:]}/recall@10" for name in metrics}
    figures = {keys[name]: value for name, value in metrics.items()}
    return TrialRecord(number=number, state="complete", overrides=overrides, metrics=figures)


WIDE = (trial(0, "embedding_dim=64", model=0.3, p16=0.2, p32=0.25), trial(1, "embedding_dim=64", model=0.28, p16=0.22, p32=0.24))


def rows(*trials: TrialRecord) -> list[list[str]]:
    return [re.sub(r"<[^>]*>", " ", row).split() for row in prefixes(trials).split("<tr>")[2:]]


def test_the_best_trial_of_a_dimension_stands_beside_the_best_prefix():
    narrow = (trial(2, "embedding_dim=16", model=0.23), trial(3, "embedding_dim=16", model=0.21), trial(4, "embedding_dim=8", model=0.9))
    (row, *more) = rows(*WIDE, *narrow)
    assert row[:8] == ["16", "0.2300", "trial", "2", "0.2200", "trial", "1", "-0.0100"]
    assert not more, "nothing was trained at 32, and 8 is nobody's prefix"


def test_nothing_where_there_is_nothing_to_compare():
    assert prefixes(()) == ""
    assert prefixes(WIDE) == ""
    assert prefixes([*WIDE, TrialRecord(number=2, state="pruned", overrides=["embedding_dim=16"])]) == ""
    assert prefixes([*WIDE, trial(2, "embedding_dim=16", "seed=3", model=0.2)]) == "", "the seed may choose the validation queries"
