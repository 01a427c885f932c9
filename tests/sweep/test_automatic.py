from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tt_hydra.config import space as spaces
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.examples import examples
from tt_hydra.searches import search_of
from tt_hydra.sweep.automatic import DataProfile, propose
from tt_hydra.sweep.starts import start_of

PROFILES = {
    "few texts": DataProfile(items=1_000, pairs=919, only_text=True, history=False, vectors=False),
    "texts without pairs": DataProfile(items=1_000, pairs=0, only_text=True, history=False, vectors=False),
    "small with histories": DataProfile(items=1_000, pairs=5_000, only_text=False, history=True, vectors=False),
    "large without": DataProfile(items=100_000, pairs=500_000, only_text=False, history=False, vectors=False),
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_whatever_is_proposed_composes_and_starts_inside_of_its_space(profile: DataProfile) -> None:
    proposal, loader = propose(profile), make_loader()
    config, problems = compose(loader, "run", ["sweep=auto", *proposal.fixed])
    assert not problems
    if not proposal.space:
        return
    space, problems = spaces.space_of(loader, proposal.space, spaces.sort(loader, []), config)
    assert not problems
    for point in examples(space):
        assert not compose(loader, "run", [*proposal.fixed, *point])[1]
    assert all(start_of(space, start) for start in proposal.starts)
    searched = {each.key for each in space.parameters}
    assert searched <= proposal.reasons.keys()


def test_a_softmax_over_all_items_is_tried_on_small_catalogues_alone() -> None:
    small, large = (
        propose(DataProfile(items=items, pairs=10_000, only_text=False, history=False, vectors=False)) for items in (1_682, 92_000)
    )
    assert "catalogue" in small.space["negatives"]
    assert "catalogue" not in large.space["negatives"]


def test_texts_may_be_best_served_by_the_encoder_as_it_is() -> None:
    trained, untrained = (
        propose(DataProfile(items=5_000, pairs=pairs, only_text=True, history=False, vectors=False)) for pairs in (919, 0)
    )
    assert trained.starts[0] == {"train.max_epochs": "0"}
    assert "train.max_epochs=0" in untrained.fixed
    assert not untrained.space


def test_given_vectors_leave_the_index_alone_to_be_searched() -> None:
    proposal = propose(DataProfile(items=100_000, pairs=0, only_text=False, history=False, vectors=True))
    assert (dict(proposal.space), proposal.fixed) == ({}, ())


def test_a_search_over_given_vectors_aims_at_what_they_can_tell(tmp_path: Path) -> None:
    """They have no labels: no run of theirs has a ``valid/index/recall@10``."""
    for name, rows in (("items", 30), ("queries", 8)):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32))
    told = ["sweep=auto", "data=vectors", f"data.path={tmp_path}", f"runtime.outputs={tmp_path / 'outputs'}"]
    found, problems = search_of(make_loader(), "run", told)
    assert not problems
    assert found.settings.objectives == ("valid/ann/recall@10",)
    found, _ = search_of(make_loader(), "run", [*told, "sweep.objectives=[search/p99_ms]"])
    assert found.settings.objectives == ("search/p99_ms",), "who names an objective has it"
