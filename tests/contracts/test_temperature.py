"""What every temperature keeps: each option of conf/temperature."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import pytest
import torch
import yaml

from tt_hydra.component import instantiate
from tt_hydra.contracts import Temperature
from tt_hydra.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "conf" / "temperature"
OPTIONS = {path.stem: instantiate(yaml.safe_load(path.read_text()), object) for path in sorted(FOLDER.glob("*.yaml"))}
PROGRESS = [0.0, 1e-9, 0.1, 0.25, 0.5, 0.75, 0.9, 1 - 1e-9, 1.0]


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS.keys())
def temperature(request: pytest.FixtureRequest) -> Temperature:
    return request.param


def test_yaml_states_the_defaults() -> None:
    for option in OPTIONS.values():
        assert option == type(option)()


def test_gives_a_positive_float32_scalar_that_starts_at_start(temperature: Temperature) -> None:
    module = temperature.build()
    values = [module(progress) for progress in PROGRESS]
    assert all(value.shape == () and value.dtype == torch.float32 and value > 0 for value in values)
    assert values[0].item() == pytest.approx(temperature.start, rel=1e-6)  # type: ignore[attr-defined]


def test_start_is_a_key_of_every_option(temperature: Temperature) -> None:
    moved = dataclasses.replace(temperature, start=0.125)  # type: ignore[type-var]
    assert moved.build()(0.0).item() == pytest.approx(0.125, rel=1e-6)


@pytest.mark.parametrize("value", [0.0, -0.1, float("nan"), float("inf")])
def test_values_that_cannot_divide_are_refused(temperature: Temperature, value: float) -> None:
    for field in dataclasses.fields(temperature):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=rf"temperature\.{field.name}"):
            dataclasses.replace(temperature, **{field.name: value})  # type: ignore[type-var]


@pytest.mark.parametrize(("start", "end"), [(0.2, 0.05), (0.01, 1.0), (0.3, 0.3)])
def test_schedules_are_exact_at_the_ends_and_monotone(start: float, end: float) -> None:
    scheduled = [option for option in OPTIONS.values() if "end" in {field.name for field in dataclasses.fields(option)}]
    assert len(scheduled) >= 3
    for option in scheduled:
        module = dataclasses.replace(option, start=start, end=end).build()
        assert module(0.0) == module(-1.0) == torch.tensor(start)
        assert module(1.0) == module(7.0) == torch.tensor(end)
        steps = torch.diff(torch.stack([module(progress) for progress in PROGRESS])) * (1 if end >= start else -1)
        assert (steps >= 0).all()


def test_the_module_can_be_copied_and_sent_to_another_process(temperature: Temperature) -> None:
    module = temperature.build()
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert other(0.5) == module(0.5)


def test_autocast_leaves_it_in_float32(temperature: Temperature) -> None:
    module = temperature.build()
    with torch.autocast("cpu", torch.bfloat16):
        assert module(0.5).dtype == torch.float32
        assert module(0.5) == module(0.5).float()
