"""Training steps without a trainer: a toy model, batches of it, and the gradient that a step leaves, in one process or in several."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.distributed as dist
from loss_cases import options
from torch import Tensor, nn

from tt_hydra.contracts import Batch, Chances, Drawn, Features, Loss, Origin
from tt_hydra.data.batches import assemble
from tt_hydra.data.dataset import Dataset
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.matryoshka import Matryoshka
from tt_hydra.loss.multi_task import MultiTask, Task
from tt_hydra.loss.sampled_softmax import SampledSoftmax
from tt_hydra.loss.triplet import Triplet
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.cache import GradientCache, average_gradients, longest_first
from tt_hydra.train.gather import gather, share_gradient, world_size
from tt_hydra.train.targets import targets_of

TASKS = {"one": Task(loss=InfoNCE()), "two": Task(loss=Triplet()), "rating": Task(kind="regression", label="rating")}
LOSSES: dict[str, Loss] = {
    **options(),
    "infonce_two_sided": InfoNCE(symmetric=True),
    "left_out": SampledSoftmax(positive="left_out"),
    "matryoshka": Matryoshka(dims=(8, 4)),
    "multi_task_learned": MultiTask(tasks=TASKS, weighting="uncertainty"),
    "multi_task_norms": MultiTask(tasks=TASKS, weighting="gradient_norm"),
}
"""Every option, and further forms of some."""
QUERIES = 25
Embed = Callable[[TwoTower, Batch], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Step:
    """What a step is made of, besides its examples; ``own``: whether each query has negatives of its own."""

    loss: Loss
    own: bool = False
    dropout: float = 0.0
    micro_batch_size: int | None = None


def toy_towers(dataset: Dataset, dropout: float, feature_dim: int = 16) -> TwoTower:
    torch.manual_seed(0)
    tower = Mlp(feature_dim=feature_dim, text_buckets=64, dropout=dropout)
    towers = TwoTower.build(
        query=tower, item=tower, schema=dataset.schema, text_pooling=Mean(), history_pooling=Mean(), embedding_dim=16, metric="cosine",
        num_items=dataset.num_items,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))  # so that no gradient is zero for the start at zero
    return towers


def toy_batch(dataset: Dataset, examples: np.ndarray, own: bool) -> Batch:
    """A batch in which everything is a function of its example or its item, so that parts of it fit together."""
    size = len(examples)
    owner = np.repeat(np.arange(size), 3) if own else np.zeros(0, np.int64)
    rows = (np.repeat(examples, 3) * 7 + np.tile([3, 11, 40], size)) % dataset.num_items if own else np.zeros(0, np.int64)
    every = np.arange(dataset.num_items)
    drawn = Drawn(
        rows=rows,
        origin=np.full(len(rows), int(Origin.MINED)),
        owner=owner,
        teacher=(rows % 11 / 11).astype(np.float32),
        chances=Chances(every, (-0.1 - every % 5 / 3).astype(np.float32)) if own else Chances.none(),
    )
    batch = assemble(dataset, examples, drawn, in_batch=True, log_presence=lambda items: (-1 - items % 13 / 4).astype(np.float32))
    number = torch.from_numpy(examples)
    return replace(batch, weight=0.5 + number % 3, teacher=1 + number % 7 / 7, labels={"rating": 1.0 + number % 5})


def embed_plain(towers: TwoTower, batch: Batch) -> tuple[Tensor, Tensor]:
    return towers.embed_queries(batch.queries), towers.embed_items(batch.items)


def embed_in_chunks(size: int) -> Embed:
    """The same chunks as a gradient cache makes, under one graph."""

    def side(embed: Callable[[Features], Tensor], features: Features) -> Tensor:
        order = longest_first(features)
        return torch.cat([embed(features.take(chunk)) for chunk in order.split(size)])[torch.argsort(order)]

    return lambda towers, batch: (side(towers.embed_queries, batch.queries), side(towers.embed_items, batch.items))


def gradients(dataset: Dataset, step: Step, examples: np.ndarray, embed: Embed = embed_plain) -> dict[str, Tensor]:
    """The gradient by every weight of towers, temperature and loss, averaged over the ranks."""
    towers, temperature = toy_towers(dataset, step.dropout), nn.Parameter(torch.tensor(0.3))
    torch.manual_seed(7)
    loss = step.loss.build()
    weights = dict(loss.named_parameters()) if isinstance(loss, nn.Module) else {}
    for weight in weights.values():
        weight.register_hook(lambda gradient: gradient / world_size())
    batch = toy_batch(dataset, examples, step.own)
    cache = None if step.micro_batch_size is None else GradientCache(towers, step.micro_batch_size)
    torch.manual_seed(1)
    queries, items = embed(towers, batch) if cache is None else cache.embed(batch)
    shared: Tensor = temperature
    if world_size() > 1:
        queries, items, batch = gather(queries, items, batch)
        shared = share_gradient(temperature)
    (loss(queries, items, targets_of(batch), shared).loss * world_size()).backward()
    if cache is not None:
        cache.backward()
    named = {**dict(towers.named_parameters()), "temperature": temperature, **{f"loss.{name}": weight for name, weight in weights.items()}}
    if world_size() > 1:
        average_gradients([parameter for parameter in named.values() if parameter.requires_grad])
    return {name: parameter.grad for name, parameter in named.items() if parameter.grad is not None}


def relative_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Norm of the difference by the norm of what was expected, over all weights; infinite where not the same weights have one."""
    if found.keys() != expected.keys():
        return float("inf")
    wrong = sum(float((found[name] - expected[name]).double().square().sum()) for name in expected)
    return (wrong / sum(float(value.double().square().sum()) for value in expected.values())) ** 0.5


def join(rank: int, ranks: int, port: int) -> None:
    """Makes this process one rank of a group."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=ranks)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
