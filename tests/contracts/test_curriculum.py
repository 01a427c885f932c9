"""What every curriculum keeps: each option of conf/curriculum."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path

import pytest
import torch
import yaml

from tt_hydra.component import instantiate, spec_of
from tt_hydra.config import signature
from tt_hydra.config.bind import Binder
from tt_hydra.contracts import Curriculum, CurriculumState

FOLDER = Path(__file__).parents[2] / "conf" / "curriculum"
PROGRESS = [0.0, 1e-9, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 1 - 1e-9, 1.0]


def read(path: Path) -> Curriculum:
    node, binder = yaml.safe_load(path.read_text()), Binder()
    cls = signature.find_class(node["_target_"])
    assert cls is not None
    spec = binder.fields(node, cls, "curriculum")
    assert not binder.problems
    return instantiate(spec, object)  # type: ignore[return-value]


OPTIONS = {path.stem: read(path) for path in sorted(FOLDER.glob("*.yaml"))}


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS.keys())
def curriculum(request: pytest.FixtureRequest) -> Curriculum:
    return request.param


def drive(state: CurriculumState, seed: int = 0) -> list[object]:
    """What it asks for while it is told of noisy steps."""
    generator, asked = torch.Generator().manual_seed(seed), []
    for progress in PROGRESS:
        asked.append(state(progress))
        state.observe(float(torch.rand((), generator=generator)) * 100 + 1, progress)
    return asked


def test_yaml_states_the_defaults() -> None:
    for option in OPTIONS.values():
        assert option == type(option)()


def test_a_component_is_its_spec(curriculum: Curriculum) -> None:
    assert instantiate(spec_of(curriculum), object) == curriculum


def test_hardness_is_within_its_bounds_at_any_progress(curriculum: Curriculum) -> None:
    state = curriculum.build()
    for progress in (-1.0, *PROGRESS, 2.0):
        hardness = state(progress)
        assert 0 <= hardness.share <= 1
        assert hardness.window is None or 1 <= hardness.window[0] <= hardness.window[1]
        assert hardness.window is None or all(isinstance(rank, int) for rank in hardness.window)
        assert hardness.margin is None or hardness.margin > 0
        assert math.isfinite(hardness.temperature)
        assert hardness.temperature > 0


def test_outside_its_range_progress_is_held_at_the_ends(curriculum: Curriculum) -> None:
    state = curriculum.build()
    assert state(-1.0) == state(0.0)
    assert state(7.0) == state(1.0)


def test_the_same_steps_ask_for_the_same(curriculum: Curriculum) -> None:
    assert drive(curriculum.build()) == drive(curriculum.build())


def test_what_is_not_known_changes_nothing(curriculum: Curriculum) -> None:
    state = curriculum.build()
    before = state(0.5)
    for value in (math.nan, math.inf, -math.inf, 0.0):
        state.observe(value, 0.5)
    assert state(0.5) == before


def test_only_one_that_observes_has_a_state_and_it_goes_on_bit_for_bit(curriculum: Curriculum) -> None:
    state, other = curriculum.build(), curriculum.build()
    assert bool(state.state_dict()) == curriculum.observes
    assert not list(state.parameters())
    drive(state)
    other.load_state_dict(state.state_dict())
    assert drive(other, seed=1) == drive(state, seed=1)


def test_the_state_can_be_copied_and_sent_to_another_process(curriculum: Curriculum) -> None:
    state = curriculum.build()
    drive(state)
    for other in (copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert other(0.5) == state(0.5)


def test_only_target_hardness_answers_to_the_steps() -> None:
    assert {name for name, option in OPTIONS.items() if option.observes} == {"target_hardness"}
    assert {name for name, option in OPTIONS.items() if len(set(map(str, drive(option.build())))) > 1} == OPTIONS.keys() - {"none"}
