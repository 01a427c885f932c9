"""Time of a training step of tower=mlp with a large table of items: AdamW on the whole table against the rows that the step reads.

    python benchmarks/sparse_updates.py [--quick]

A step is towers, loss (in-batch softmax), backward pass, clipping and optimizer, without Lightning; queries have a history of items, which
reads the same table as the item side. The arms take turns in one process, on the same batches. `dense` is optimizer.sparse=false, `sparse`
is optimizer.sparse=true; `nonzero` is what could be had without sparse gradients: the rows of the dense gradient that are not zero, taken
after clipping. Medians of the wall clock and of the time on a core; the latter means more on a busy machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from common import arguments, finish, table
from torch import Tensor, nn

from tt_hydra.contracts import Feature, Features, History, Kind, Padded, Schema, SideSchema, Targets
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.optimizer import AdamW
from tt_hydra.train.rows import choose_tables, clip_gradients, settle_rows

ITEMS, DIM, BATCH, HISTORY, CLIP, WARM_UP = 200_000, 64, 1024, 20, 1.0, 2
ARMS = ("dense", "nonzero", "sparse")


def towers_of(items: int) -> TwoTower:
    codes = (Feature(name="id", kind=Kind.CATEGORICAL, size=items + 2),)
    queries = (Feature(name="hour", kind=Kind.CATEGORICAL, size=26), Feature(name="history", kind=Kind.HISTORY))
    torch.manual_seed(0)
    tower = Mlp(feature_dim=DIM)
    return TwoTower.build(
        query=tower, item=tower, schema=Schema(SideSchema(queries), SideSchema(codes)), text_pooling=Mean(), history_pooling=Mean(),
        embedding_dim=DIM, metric="cosine", num_items=items,
    )  # fmt: skip


def batch_of(items: int, seed: int) -> tuple[Features, Features]:
    """Queries and as many items; the popularity of an item falls with its number."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return 2 + (items * torch.rand(shape, generator=generator) ** 2).long().clamp(max=items - 1)

    distinct, positions = torch.unique(drawn(BATCH, HISTORY), return_inverse=True)
    mask = torch.arange(HISTORY) < torch.randint(1, HISTORY + 1, (BATCH, 1), generator=generator)
    history = History(Padded(positions, mask), Features(len(distinct), {"id": distinct}))
    hours = torch.randint(2, 26, (BATCH,), generator=generator)
    return Features(BATCH, {"hour": hours, "history": history}), Features(BATCH, {"id": drawn(BATCH)})


@dataclass
class Arm:
    """One way to update; ``wall`` and ``core`` are the milliseconds of each step by its part."""

    name: str
    items: int
    wall: list[list[float]] = field(default_factory=list)
    core: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        spec = AdamW(sparse=self.name == "sparse")
        self.towers, self.loss = towers_of(self.items).train(), InfoNCE().build()
        self.tables = choose_tables(self.towers, spec)
        self.optimizer = spec.build(self.towers.parameter_groups(spec.lr, spec.weight_decay))
        self.weights = list(self.towers.parameters())

    def backward(self, queries: Features, items: Features) -> None:
        vectors = self.towers.embed_queries(queries), self.towers.embed_items(items)
        self.loss(*vectors, Targets.plain(torch.arange(BATCH), BATCH), torch.tensor(0.1)).loss.backward()
        settle_rows(self.tables)

    def clip(self) -> None:
        if self.name == "sparse":
            clip_gradients(self.weights, CLIP)
        else:
            nn.utils.clip_grad_norm_(self.weights, CLIP)

    def update(self) -> None:
        for weight in self.weights if self.name == "nonzero" else ():
            if weight.grad is not None and len(weight) >= self.items:
                rows = torch.linalg.vector_norm(weight.grad, dim=1).nonzero().squeeze(1)
                weight.grad = torch.sparse_coo_tensor(
                    rows[None], weight.grad[rows], weight.shape, is_coalesced=True, check_invariants=False
                )
        self.optimizer.step()
        self.optimizer.zero_grad()

    def step(self, batch: tuple[Features, Features]) -> None:
        parts: list[Callable[[], None]] = [lambda: self.backward(*batch), self.clip, self.update]
        walls, cores = [time.perf_counter()], [time.process_time()]
        for part in parts:
            part()
            walls.append(time.perf_counter())
            cores.append(time.process_time())
        for found, marks in ((self.wall, walls), (self.core, cores)):
            found.append([1000 * (after - before) for before, after in pairwise(marks)])


def measure(items: int, rounds: int) -> dict[str, Arm]:
    arms = {name: Arm(name, items) for name in ARMS}
    for number in range(WARM_UP + rounds):
        batch = batch_of(items, number)
        for arm in arms.values():
            arm.step(batch)
    return arms


def median(steps: list[list[float]]) -> float:
    return statistics.median(sum(step) for step in steps[WARM_UP:])


def main() -> None:
    quick = arguments(__doc__ or "").quick
    figures, rows = {}, []
    for items in (ITEMS,) if quick else (20_000, 50_000, 100_000, ITEMS):
        arms = measure(items, 9 if quick else 21)
        for name, arm in arms.items():
            parts = [f"{statistics.median(part):.1f}" for part in zip(*arm.core[WARM_UP:], strict=True)]
            rows.append([f"{items:,}", name, f"{median(arm.wall):.1f}", f"{median(arm.core):.1f}", *parts])
            figures |= {f"{name}/ms_{items}": median(arm.wall), f"{name}/core_ms_{items}": median(arm.core)}
        figures[f"ratio/ms_{items}"] = median(arms["dense"].wall) / median(arms["sparse"].wall)
        figures[f"ratio/core_ms_{items}"] = median(arms["dense"].core) / median(arms["sparse"].core)
    title = f"A step of tower=mlp, batch {BATCH:,}, table of items x {DIM} (ms; {torch.get_num_threads()} threads)"
    table(title, ["items", "update", "wall", "on cores", "forward, loss, backward", "clipping", "optimizer"], rows)
    finish("sparse_updates", figures)


if __name__ == "__main__":
    main()
