from __future__ import annotations

import math

import pytest
import torch

from tt_hydra.errors import ConfigError
from tt_hydra.temperature.learned import Learned


def test_the_parameter_is_the_log_of_the_inverse() -> None:
    module = Learned(start=0.05).build()
    assert [name for name, _ in module.named_parameters()] == ["log_inverse_temperature"]
    parameter = next(module.parameters())
    assert parameter.shape == ()
    assert parameter.item() == pytest.approx(math.log(20))


def test_gradient_is_that_of_the_temperature() -> None:
    """d/dx exp(-x) = -exp(-x)."""
    module = Learned(start=0.05).build()
    module(0.0).backward()
    assert next(module.parameters()).grad.item() == pytest.approx(-0.05)


@pytest.mark.parametrize(("over", "bound"), [(50.0, 0.01), (-50.0, 1.0)])
def test_a_step_over_a_bound_is_taken_back_with_its_gradient_alive(over: float, bound: float) -> None:
    module = Learned().build()
    parameter = next(module.parameters())
    with torch.no_grad():
        parameter.fill_(over)
    value = module(0.5)
    assert value.item() == pytest.approx(bound, rel=1e-6)
    value.backward()
    assert parameter.grad.item() == pytest.approx(-bound, rel=1e-6)
    assert math.exp(-parameter.item()) == pytest.approx(bound, rel=1e-6)


def test_evaluation_holds_the_bound_and_leaves_the_parameter() -> None:
    module = Learned().build().eval()
    parameter = next(module.parameters())
    with torch.no_grad():
        parameter.fill_(50.0)
    assert module(1.0).item() == pytest.approx(0.01)
    assert parameter.item() == 50.0


def test_descent_leaves_the_bound_again() -> None:
    """Ten steps against the bound, then one away from it: no debt is left to pay back."""
    module = Learned(start=0.02).build()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    for sign in [*[100.0] * 10, -10.0]:
        optimizer.zero_grad()
        (sign * module(0.0)).backward()
        optimizer.step()
    assert module(0.0).item() > 0.0105


def test_twice_before_backward_as_a_gradient_cache_does() -> None:
    module = Learned().build()
    (module(0.0) + module(0.0)).backward()
    assert next(module.parameters()).grad.item() == pytest.approx(-0.14)


def test_the_checkpoint_holds_it() -> None:
    module, other = Learned(start=0.5).build(), Learned().build()
    other.load_state_dict(module.state_dict())
    assert other(0.0) == module(0.0)


@pytest.mark.parametrize("bounds", [{"minimum": 0.1}, {"maximum": 0.05}])
def test_a_start_outside_its_bounds_is_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"temperature\.start=0\.07 must lie between"):
        Learned(**bounds)
