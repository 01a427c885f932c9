"""What holds for every pooling of the config group."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

import tt_hydra
from tt_hydra.component import instantiate, spec_of

CONF = Path(tt_hydra.__file__).parents[1] / "conf" / "pooling"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
DIM = 4


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    module = instantiate(yaml.safe_load((CONF / f"{name}.yaml").read_text()), object).build(DIM)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def padded(rows: list[Tensor], length: int, left: bool, filler: float = 1e4) -> tuple[Tensor, Tensor]:
    vectors = torch.full((len(rows), length, DIM), filler)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        span = slice(length - len(row), length) if left else slice(0, len(row))
        vectors[index, span], mask[index, span] = row, True
    return vectors, mask


@pytest.fixture
def rows() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, DIM, generator=generator) for length in (3, 1, 5)]


def test_the_six_poolings_are_there() -> None:
    assert NAMES == ["attention", "cls", "last", "max", "mean", "weighted_mean"]


@pytest.mark.parametrize("name", NAMES)
def test_yaml_names_every_field_with_its_default(name: str) -> None:
    written = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert spec_of(instantiate({"_target_": written["_target_"]}, object)) == written


@pytest.mark.parametrize("name", NAMES)
def test_padding_never_matters(name: str, rows: list[Tensor]) -> None:
    pool = build(name)
    alone = torch.cat([pool(row[None], torch.ones(1, len(row), dtype=torch.bool)) for row in rows])
    for length in (5, 9):
        for left in (False, True):
            torch.testing.assert_close(pool(*padded(rows, length, left)), alone)


@pytest.mark.parametrize("name", NAMES)
def test_holes_between_real_positions_never_matter(name: str) -> None:
    pool = build(name)
    row = torch.arange(8.0).reshape(1, 2, DIM)
    spread = torch.full((1, 5, DIM), -1e4)
    spread[:, [1, 3]] = row
    torch.testing.assert_close(
        pool(spread, torch.tensor([[False, True, False, True, False]])), pool(row, torch.ones(1, 2, dtype=torch.bool))
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [0, 3])
def test_an_empty_row_is_zero_with_a_finite_gradient(name: str, length: int) -> None:
    pool = build(name)
    vectors = torch.full((2, length, DIM), 7.0, requires_grad=True)
    mask = torch.zeros(2, length, dtype=torch.bool)
    if length:
        mask[1] = True
    result = pool(vectors, mask)
    assert result.shape == (2, DIM)
    assert torch.equal(result[0], torch.zeros(DIM))
    result.sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    assert (vectors.grad[0] == 0).all()
    assert all(parameter.grad.isfinite().all() for parameter in pool.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_never_reach_padding(name: str, rows: list[Tensor]) -> None:
    pool = build(name)
    vectors, mask = padded(rows, 6, left=True, filler=3.0)
    vectors.requires_grad_()
    pool(vectors, mask).square().sum().backward()
    assert (vectors.grad[~mask] == 0).all()
    assert vectors.grad[mask].abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_right(name: str) -> None:
    pool = build(name).double()
    vectors = torch.randn(3, 4, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]], dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda inputs: pool(inputs, mask), (vectors,))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept(name: str, dtype: torch.dtype, rows: list[Tensor]) -> None:
    pool = build(name)
    vectors, mask = padded(rows, 5, left=False)
    result = pool(vectors.to(dtype), mask)
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), pool(vectors, mask), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_does_not_round(name: str, rows: list[Tensor]) -> None:
    pool = build(name)
    vectors, mask = padded(rows, 5, left=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = pool(vectors, mask)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, pool(vectors, mask), atol=0.02 if name == "attention" else 1e-6, rtol=0.0)


@pytest.mark.parametrize("name", NAMES)
def test_one_position_is_itself(name: str) -> None:
    vector = torch.tensor([[[1.5, -2.0, 0.25, 3.0]]])
    torch.testing.assert_close(build(name)(vector, torch.ones(1, 1, dtype=torch.bool)), vector[:, 0])
