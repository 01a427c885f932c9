"""Sparse updates: AdamW on the rows that a step reads, the gradients of these rows, and their way through clipping, chunks and ranks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from training_steps import QUERIES, Step, free_port, gradients, join, relative_error, toy_towers

from tt_hydra.contracts import Padded
from tt_hydra.data.dataset import Dataset
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.pooling.max import Max
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.spec import RowTable
from tt_hydra.tower.token_bag import TokenBag
from tt_hydra.train.budget import LiveBytes
from tt_hydra.train.fit import WEIGHTS
from tt_hydra.train.optimizer import SGD, AdamW
from tt_hydra.train.rows import choose_tables, clip_gradients, settle_rows

ROWS, WIDTH = 12, 5
EXAMPLES = np.arange(QUERIES) * 11
BETAS, EPS, DECAY = (0.8, 0.95), 1e-6, 0.1


def rows_gradient(rows: list[int], values: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (ROWS, WIDTH), check_invariants=True)


def optimizer_of(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return AdamW(betas=BETAS, eps=EPS).build(groups)


def weights_of(seed: int = 0) -> tuple[nn.Parameter, nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(torch.randn(ROWS, WIDTH, generator=generator)), nn.Parameter(torch.randn(3, generator=generator))


def test_a_gradient_in_every_row_of_every_step_makes_it_adamw_whatever_a_groups_rate() -> None:
    found = []
    for sparse in (True, False):
        table, other = weights_of()
        groups = [{"params": [table], "lr": 0.1, "weight_decay": DECAY}, {"params": [other], "lr": 0.02, "weight_decay": 0.0}]
        optimizer = optimizer_of(groups) if sparse else torch.optim.AdamW(groups, betas=BETAS, eps=EPS, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        generator = torch.Generator().manual_seed(1)
        for _ in range(5):
            gradient = torch.randn(ROWS, WIDTH, generator=generator)
            table.grad = rows_gradient(list(range(ROWS)), gradient) if sparse else gradient
            other.grad = torch.randn(3, generator=generator)
            optimizer.step()
            schedule.step()
        found.append((table, other))
    assert all(torch.equal(ours, plain) for ours, plain in zip(*found, strict=True))


def test_rows_without_a_gradient_stay_and_the_others_go_by_the_formula_of_adamw() -> None:
    table, _ = weights_of()
    optimizer = optimizer_of([{"params": [table], "lr": 0.1, "weight_decay": DECAY}])
    wanted, mean, square = table.detach().double(), torch.zeros(ROWS, WIDTH).double(), torch.zeros(ROWS, WIDTH).double()
    steps = [[3, 7], [7], [0, 3], [3, 3, 9]]
    generator = torch.Generator().manual_seed(1)
    for number, rows in enumerate(steps, start=1):
        values = torch.randn(len(rows), WIDTH, generator=generator)
        before, kept = table.detach().clone(), copy.deepcopy(optimizer.state[table])
        table.grad = rows_gradient(rows, values)
        optimizer.step()
        for row in sorted(set(rows)):
            whole = sum(value.double() for each, value in zip(rows, values, strict=True) if each == row)
            mean[row] = BETAS[0] * mean[row] + (1 - BETAS[0]) * whole
            square[row] = BETAS[1] * square[row] + (1 - BETAS[1]) * whole**2
            unbiased = (square[row] / (1 - BETAS[1] ** number)).sqrt()
            wanted[row] = wanted[row] * (1 - 0.1 * DECAY) - 0.1 * mean[row] / (1 - BETAS[0] ** number) / (unbiased + EPS)
        rest = [row for row in range(ROWS) if row not in rows]
        assert torch.equal(table.detach()[rest], before[rest])
        for name in ("exp_avg", "exp_avg_sq") if kept else ():
            assert torch.equal(optimizer.state[table][name][rest], kept[name][rest])
    torch.testing.assert_close(table.detach().double(), wanted, rtol=1e-5, atol=1e-6)


def test_a_closure_computes_the_gradients_and_its_loss_is_returned() -> None:
    table, _ = weights_of()
    optimizer = optimizer_of([{"params": [table], "lr": 0.1, "weight_decay": 0.0}])
    before = table.detach().clone()

    def closure() -> Tensor:
        loss = functional.embedding(torch.tensor([2]), table, sparse=True).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == before[2].sum()
    torch.testing.assert_close(table.detach()[2], before[2] - 0.1)


def test_a_step_from_a_saved_state_is_the_step_that_would_have_followed() -> None:
    table, other = weights_of()
    groups = [{"params": [table, other], "lr": 0.1, "weight_decay": DECAY}]
    optimizer = optimizer_of(groups)

    def step(of: torch.optim.Optimizer, number: int) -> list[Tensor]:
        weights = of.param_groups[0]["params"]
        weights[0].grad, weights[1].grad = rows_gradient([number, 4], torch.full((2, WIDTH), 0.3 * number)), torch.full((3,), 0.1)
        of.step()
        return [weight.detach() for weight in weights]

    step(optimizer, 1)
    copies = [nn.Parameter(weight.detach().clone()) for weight in (table, other)]
    again = optimizer_of([{"params": copies, "lr": 0.1, "weight_decay": DECAY}])
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for number in (2, 3):
        assert all(torch.equal(ours, wanted) for ours, wanted in zip(step(again, number), step(optimizer, number), strict=True))


@pytest.mark.parametrize("largest", [0.5, 1000.0])
def test_clipping_is_that_of_dense_gradients(largest: float) -> None:
    (table, other), (dense_table, dense_other) = weights_of(), weights_of()
    table.grad = rows_gradient([3, 1, 3], torch.arange(15.0).view(3, 5))
    dense_table.grad = table.grad.to_dense()
    other.grad, dense_other.grad = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([1.0, -2.0, 3.0])
    settle_rows([table])
    clip_gradients([table, other, nn.Parameter(torch.ones(1))], largest)
    torch.nn.utils.clip_grad_norm_([dense_table, dense_other], largest)
    torch.testing.assert_close(table.grad.to_dense(), dense_table.grad)
    torch.testing.assert_close(other.grad, dense_other.grad)


@pytest.fixture
def dataset(datasets: Callable[[str], Dataset]) -> Dataset:
    toy = datasets("leave_last_out")
    return toy.tokenized(toy_towers(toy, 0.0).tokenizers)


@pytest.mark.parametrize("micro_batch_size", [None, 5])
def test_the_rows_of_all_uses_of_a_table_add_up_to_its_dense_gradient(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, micro_batch_size: int | None
) -> None:
    """Items of a history and of the item side read one table, some of them several times."""
    step = Step(loss=InfoNCE(), own=True)
    expected = gradients(dataset, step, EXAMPLES)
    monkeypatch.setattr(RowTable, "sparse", True)
    found = gradients(dataset, replace(step, micro_batch_size=micro_batch_size), EXAMPLES)
    assert sum(gradient.is_sparse for gradient in found.values()) == len(choose_tables(toy_towers(dataset, 0.0), AdamW(sparse=True))) > 2
    assert relative_error({name: gradient.to_dense() for name, gradient in found.items()}, expected) <= 1e-5


@pytest.mark.parametrize("pooling", [Mean(), Max()])
def test_token_vectors_have_sparse_gradients_too(pooling: Any) -> None:
    tokens = Padded(torch.tensor([[1, 2, 2], [2, 0, 0], [4, 9, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]], dtype=torch.bool))
    found = []
    for sparse in (True, False):
        bag = TokenBag(torch.arange(50.0).view(10, 5).sin(), loaded=False, pooling=pooling, lr_scale=1.0)
        assert [*choose_tables(bag, AdamW(sparse=sparse))] == [bag.weight] * sparse
        bag(tokens).square().sum().backward()
        assert bag.weight.grad is not None
        assert bag.weight.grad.is_sparse is sparse
        found.append(bag.weight.grad.to_dense())
    torch.testing.assert_close(*found)


def test_large_tables_are_chosen_by_their_rows_and_none_for_an_optimizer_that_takes_no_rows() -> None:
    bags = nn.ModuleList(TokenBag(torch.zeros(rows, 1), loaded=False, pooling=Mean(), lr_scale=1.0) for rows in (99_999, 100_000))
    assert [len(weight) for weight in choose_tables(bags, AdamW())] == [100_000]
    assert len(choose_tables(bags, AdamW(sparse=True))) == 2
    assert choose_tables(bags, AdamW(sparse=False)) == choose_tables(bags, SGD()) == []
    assert not any(bag.sparse for bag in bags)
    bags[1].weight.requires_grad_(False)
    assert choose_tables(bags, AdamW()) == []


@pytest.mark.parametrize("changes", [{"gradient_clip": None}, {"gradient_clip": 0.01}, {"gradient_clip": 0.01, "micro_batch_size": 40}])
def test_a_first_step_without_decay_is_that_of_the_whole_tables(train: Callable[..., Path], changes: dict[str, Any]) -> None:
    """Rows without a gradient stay under the whole update too, where there are no moments yet. A large eps lets a clipped norm show."""
    step = {"max_epochs": 1, "batch_size": 288, "warmup": 0.0, **changes}
    adam = AdamW(lr=0.1, weight_decay=0.0, eps=0.1)
    found, wanted = (load_file(train(optimizer=replace(adam, sparse=sparse), **step) / WEIGHTS) for sparse in (True, False))
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-6, msg=name)


def uses(rank: int | None) -> list[nn.Parameter]:
    """Three tables after the backward pass of a rank, or of both (None): the first read by both, the second by one, the last by none."""
    tables = [weights_of(seed)[0] for seed in range(3)]
    reads = {0: [(0, [1, 4, 4])], 1: [(0, [4, 7]), (1, [2])]}
    for reader in (0, 1) if rank is None else (rank,):
        for table, rows in reads[reader]:
            functional.embedding(torch.tensor(rows), tables[table], sparse=True).square().sum().backward()
    return tables


def rank_main(rank: int, ranks: int, port: int, folder: str) -> None:
    join(rank, ranks, port)
    tables = uses(rank)
    settle_rows(tables)
    torch.save([table.grad for table in tables], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_have_the_mean_of_their_rows(tmp_path: Path) -> None:
    mp.spawn(rank_main, args=(2, free_port(), str(tmp_path)), nprocs=2)
    both = [table.grad.to_dense() / 2 for table in uses(None)[:2] if table.grad is not None]
    for rank in range(2):
        *found, last = torch.load(tmp_path / f"{rank}.pt")
        assert last is None
        for gradient, wanted in zip(found, both, strict=True):
            torch.testing.assert_close(gradient.to_dense(), wanted)
        assert [gradient.coalesce().indices()[0].tolist() for gradient in found] == [[1, 4, 7], [2]]


def test_memory_counts_the_rows_of_a_sparse_gradient_alone() -> None:
    weight = nn.Parameter(torch.zeros(100_000, 10))
    with LiveBytes() as live:
        functional.embedding(torch.tensor([5, 6]), weight, sparse=True).sum().backward()
    assert 0 < live.peak < 10_000
