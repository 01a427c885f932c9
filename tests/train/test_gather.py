"""Several real processes give the gradient of one process with the whole batch, hard negatives and learned temperature included."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from tt_hydra.contracts import Batch, Features, Origin, OwnNegatives
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.train.gather import gather, share_gradient, world_size
from tt_hydra.train.targets import targets_of

QUERIES, POOL, DIM = 13, 20, 6
"""Queries that three ranks cannot share evenly."""


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.query = nn.Parameter(torch.randn(5, DIM, generator=generator))
        self.item = nn.Parameter(torch.randn(4, DIM, generator=generator))
        self.temperature = nn.Parameter(torch.tensor(0.7))


def world() -> dict[str, Tensor]:
    """Queries and catalogue of the toy problem; positives repeat, each query knows a second positive and has a hard negative."""
    generator = torch.Generator().manual_seed(1)
    positive = torch.randint(0, 8, (QUERIES,), generator=generator)
    return {
        "queries": torch.randn(QUERIES, 5, generator=generator),
        "items": torch.randn(POOL, 4, generator=generator),
        "positive": positive,
        "other": (positive + 3) % 8,
        "hard": torch.randint(8, POOL, (QUERIES,), generator=generator),
        "weight": torch.rand(QUERIES, generator=generator) + 0.5,
        "hard_teacher": torch.rand(QUERIES, generator=generator),
        "teacher": torch.rand(QUERIES, generator=generator),
        "rating": torch.rand(QUERIES, generator=generator),
    }


def part(rows: Tensor) -> tuple[Tensor, Tensor, Batch]:
    """Inputs and bookkeeping of some of the queries, each distinct candidate held once."""
    data = world()
    distinct = torch.unique(torch.cat([data["positive"][rows], data["hard"][rows]]))
    own = torch.arange(len(rows))
    known = torch.stack([own.repeat_interleave(2), torch.stack([data["positive"][rows], data["other"][rows]], dim=1).flatten()], dim=1)
    batch = Batch(
        queries=Features(len(rows), {}),
        items=Features(len(distinct), {}),
        item_rows=distinct,
        item_keys=distinct,
        positive=torch.searchsorted(distinct, data["positive"][rows]),
        known=known,
        origin=torch.where(torch.isin(distinct, data["positive"][rows]), int(Origin.IN_BATCH), 0)
        | torch.where(torch.isin(distinct, data["hard"][rows]), int(Origin.MINED), 0),
        log_q=torch.zeros(len(distinct)),
        own=OwnNegatives(own, torch.searchsorted(distinct, data["hard"][rows]), data["hard_teacher"][rows]),
        weight=data["weight"][rows],
        teacher=data["teacher"][rows],
        labels={"rating": data["rating"][rows]},
        guide=(data["queries"][rows], data["items"][distinct]),
    )
    return data["queries"][rows], data["items"][distinct], batch


def gradients(rows: Tensor, symmetric: bool) -> list[Tensor]:
    """What DDP would leave in the parameters: the mean over ranks of each rank's gradient."""
    toy = Toy()
    query_inputs, item_inputs, batch = part(rows)
    queries, items, temperature = query_inputs @ toy.query, item_inputs @ toy.item, toy.temperature
    if world_size() > 1:
        queries, items, batch = gather(queries, items, batch)
        temperature = share_gradient(temperature)
    loss = InfoNCE(symmetric=symmetric).build()(queries, items, targets_of(batch), temperature).loss * world_size()
    loss.backward()
    found = [parameter.grad for parameter in toy.parameters()]
    if world_size() > 1:
        for gradient in found:
            dist.all_reduce(gradient)
    return [gradient / world_size() for gradient in found]


def bookkeeping(batch: Batch) -> dict[str, Tensor]:
    """Everything but the features."""
    assert batch.guide is not None
    own = {f"own_{name}": getattr(batch.own, name) for name in ("query", "column", "teacher")}
    rest = {name: getattr(batch, name) for name in ("item_rows", "item_keys", "positive", "known", "origin", "log_q", "weight", "teacher")}
    return {**own, **rest, **batch.labels, "guide_queries": batch.guide[0], "guide_items": batch.guide[1]}


def rank_main(rank: int, ranks: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    rows = torch.arange(QUERIES).chunk(ranks)[rank]
    torch.save({symmetric: gradients(rows, symmetric) for symmetric in (False, True)}, Path(folder) / f"{rank}.pt")
    torch.save(bookkeeping(gather(*part(rows))[2]), Path(folder) / f"batch-{rank}.pt")
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_ranks_together_have_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    ranks = 3
    mp.spawn(rank_main, args=(ranks, free_port(), str(tmp_path)), nprocs=ranks)
    for symmetric in (False, True):
        expected = gradients(torch.arange(QUERIES), symmetric)
        assert all(gradient.abs().sum() > 0 for gradient in expected), "the premise is a gradient everywhere"
        for rank in range(ranks):
            for found, wanted in zip(torch.load(tmp_path / f"{rank}.pt")[symmetric], expected, strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_ranks_together_have_the_bookkeeping_of_the_whole_batch(tmp_path: Path) -> None:
    ranks = 3
    mp.spawn(rank_main, args=(ranks, free_port(), str(tmp_path)), nprocs=ranks)
    expected = bookkeeping(part(torch.arange(QUERIES))[2])
    remote = int(Origin.REMOTE)
    for rank, rows in enumerate(torch.arange(QUERIES).chunk(ranks)):
        found = torch.load(tmp_path / f"batch-{rank}.pt")
        here = torch.isin(expected["item_rows"], part(rows)[2].item_rows)
        assert found["origin"].equal(expected["origin"] | torch.where(here, 0, remote))
        for name in expected.keys() - {"origin"}:
            assert found[name].equal(expected[name]), name


def test_the_premise_that_candidates_repeat_across_ranks() -> None:
    first, second = (part(rows)[2].item_rows for rows in torch.arange(QUERIES).chunk(2))
    assert set(first.tolist()) & set(second.tolist())
