from __future__ import annotations

import math

import pytest
import torch

from tt_hydra.contracts import CurriculumState, Hardness
from tt_hydra.curriculum.target_hardness import TargetHardness
from tt_hydra.errors import ConfigError

SIMILARITIES = torch.randn(512, generator=torch.Generator().manual_seed(0)) * 0.15
BASE_TEMPERATURE = 0.07


def effective_negatives(hardness: Hardness) -> float:
    """A plant whose answer is known: exp of the entropy of the softmax over 512 fixed similarities."""
    logs = torch.log_softmax(SIMILARITIES / (BASE_TEMPERATURE * hardness.temperature), dim=0)
    return math.exp(-(logs.exp() * logs).sum().item())


def run(state: CurriculumState, steps: int, noise: float = 0.0) -> list[float]:
    generator, seen = torch.Generator().manual_seed(1), []
    for step in range(steps):
        progress = step / (steps - 1)
        seen.append(effective_negatives(state(progress)))
        state.observe(seen[-1] * math.exp(noise * float(torch.randn((), generator=generator))), progress)
    return seen


def test_the_curve_is_geometric_between_its_ends() -> None:
    settings = TargetHardness(start=64, end=4)
    assert [settings.target(progress) for progress in (-1, 0, 0.5, 1, 2)] == pytest.approx([64, 64, 16, 4, 4])


@pytest.mark.parametrize("target", [20.0, 100.0, 300.0])
def test_a_constant_target_is_reached_without_overshoot_and_held(target: float) -> None:
    """From either side: the error never changes its sign by more than a hundredth, and the last third stays within one."""
    seen = run(TargetHardness(start=target, end=target).build(), 600)
    errors = [math.log(value / target) for value in seen]
    side = math.copysign(1.0, errors[0])
    assert abs(errors[0]) > 0.1
    assert min(side * error for error in errors) > -0.01
    assert max(map(abs, errors[400:])) < 0.01


def test_a_moving_target_is_followed() -> None:
    settings = TargetHardness(start=300, end=20)
    seen = run(settings.build(), 1000)
    errors = [math.log(value / settings.target(step / 999)) for step, value in enumerate(seen)]
    assert max(map(abs, errors[300:])) < 0.1


def test_noise_is_averaged_out() -> None:
    """Steps that differ by 30% from each other leave less than 8% in what they control."""
    seen = run(TargetHardness(start=100, end=100, gain=0.02).build(), 2000, noise=0.3)
    errors = torch.tensor([math.log(value / 100) for value in seen[500:]])
    assert errors.std() < 0.08
    assert errors.mean().abs() < 0.03


@pytest.mark.parametrize(("target", "factor"), [(511.9, 1.5), (1.0, 0.5)])
def test_bounds_hold_and_are_left_at_once(target: float, factor: float) -> None:
    """A target out of reach does not wind it up: turned around, the next step already moves."""
    state = TargetHardness(start=target, end=target, lowest=0.5, highest=1.5).build()
    run(state, 400)
    assert state(1.0).temperature == pytest.approx(factor)
    before = state(1.0).temperature
    state.observe(target * 2 if target > 100 else target / 2, 1.0)
    assert (state(1.0).temperature - before) * (1 - factor) > 0


def test_a_single_wild_step_moves_it_by_its_gain_at_most() -> None:
    state = TargetHardness(start=10, end=10, gain=0.02).build()
    state.observe(1e30, 0.5)
    assert state(0.5).temperature == pytest.approx(math.exp(-0.02))


def test_the_window_moves_between_its_ends() -> None:
    """Fewer effective negatives than declared make it easier, more make it harder; at the ends it stays."""
    settings = TargetHardness(start=10, end=10, by="window", easy=(61, 100), hard=(1, 20), gain=0.1)
    state = settings.build()
    assert state(0.0) == Hardness(window=(61, 100), effective_negatives=pytest.approx(10))
    for _ in range(5):
        state.observe(1e3, 0.5)
    assert state(0.5) == Hardness(window=(31, 60), effective_negatives=pytest.approx(10))
    for _ in range(20):
        state.observe(1e3, 0.5)
    assert state(0.5) == Hardness(window=(1, 20), effective_negatives=pytest.approx(10))
    for _ in range(20):
        state.observe(1.0, 0.5)
    assert state(0.5) == Hardness(window=(61, 100), effective_negatives=pytest.approx(10))


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"start": 0.5}, "start"),
        ({"end": float("nan")}, "end"),
        ({"gain": 0.0}, "gain"),
        ({"gain": 1.5}, "gain"),
        ({"lowest": 1.5}, "lowest"),
        ({"highest": 0.5}, "highest"),
        ({"easy": (3, 2)}, "easy"),
        ({"hard": (0, 2)}, "hard"),
    ],
)
def test_values_are_checked(values: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"curriculum\.{key}"):
        TargetHardness(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("gain", [0.05, 0.3, 1.0])
def test_a_plant_that_answers_too_strongly_swings_no_further_than_the_gain(gain: float) -> None:
    """The logarithm answers forty times as strongly as the temperature moves: the bound on an error keeps a swing bounded."""
    state = TargetHardness(start=100, end=100, gain=gain, lowest=1e-6, highest=1e6).build()
    settled = math.log(2.0)
    swings = []
    for _ in range(300):
        control = math.log(state(0.5).temperature)
        swings.append(abs(control - settled))
        state.observe(100 * math.exp(max(-50.0, min(50.0, 40 * (control - settled)))), 0.5)
    assert max(swings[100:]) <= gain + 1e-6
