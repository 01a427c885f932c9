"""Picks the micro-batch and the loss' tiles so that a training step stays within a given memory.

What a row costs is measured, not guessed: a few of the first batch's longest rows go through the towers, forward and backward, and every
tensor that lives on the way is counted; twice as many rows tell the fixed part from the part of each row. An overestimate, if anything.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tt_hydra.contracts import Batch, Features, Loss, Targets
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.mined import FittedMined
from tt_hydra.tower.autocast import Precision, autocast
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.cache import longest_first
from tt_hydra.train.rows import choose_tables

if TYPE_CHECKING:
    from tt_hydra.train.fit import TrainingJob

logger = logging.getLogger(__name__)

GB = 10**9
PROBE_ROWS = 8
TILE_ROWS = 64
"""Rows of scores that a loss holds at least."""
TILE_SHARE = 0.25
"""Part of the budget that the loss' tiles may take."""
COPIES_OF_VECTORS = 8
"""The vectors of a whole batch: parts, leaves, what the loss makes of them, gradients of each."""
MARGIN = 1.1
"""What counting tensors misses: rounding, libraries' work space."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What a step within the budget looks like.

    Attributes:
        micro_batch_size: rows of one side that are embedded at once; None for all.
        chunk_size: scores of a tile of the loss; None where the loss has no tiles.
        bytes: what a step takes about, besides weights and the optimizer's state.
    """

    micro_batch_size: int | None
    chunk_size: int | None
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Bytes of the parts of a step.

    Attributes:
        fixed: gradients, features and vectors, whatever the micro-batch is.
        query: a query's activations.
        item: an item's.
        score: a score of a tile.
    """

    fixed: float
    query: float
    item: float
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large a step is besides what a rank's first batch shows.

    Attributes:
        ranks: processes, whose vectors each of them holds.
        further_items: candidates of a rank that a later batch may have and the first has not: negatives that are mined.
        remembered: candidates of the whole step whose vectors are kept from earlier steps: scored, never embedded.
    """

    ranks: int = 1
    further_items: int = 0
    remembered: int = 0


def within_budget(job: TrainingJob, first: Batch, refresh: Callable[[TwoTower], None]) -> TrainingJob:
    """The training with the micro-batch and the tiles that ``train.memory_gb`` allows; the same where it is null.

    Args:
        job: a training.
        first: the first batch of a rank.
        refresh: caches the texts of the items, which histories read.
    """
    settings, towers = job.settings, job.towers
    if settings.memory_gb is None:
        return job
    if job.device == "gpu":
        towers.to(torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))))
    refresh(towers)
    choose_tables(towers, job.objective.optimizer)
    first = first.to(next(towers.parameters()).device)
    mined = job.sampler.spec.per_query * first.queries.size if isinstance(job.sampler, FittedMined) else 0
    sizes = Sizes(ranks=settings.world_size, further_items=mined, remembered=job.sampler.memory)
    choice = within(settings.memory_gb, towers, job.objective.loss, first, job.precision, sizes)
    loss = job.objective.loss if choice.chunk_size is None else with_chunk_size(job.objective.loss, choice.chunk_size)
    settings = replace(settings, micro_batch_size=choice.micro_batch_size, memory_gb=None)
    return replace(job, settings=settings, objective=replace(job.objective, loss=loss))


def within(memory_gb: float, towers: TwoTower, loss: Loss, batch: Batch, precision: Precision, sizes: Sizes) -> Choice:
    """The largest micro-batch and tiles that keep a step within ``memory_gb``.

    Args:
        memory_gb: gigabytes (10**9 bytes) of a step on one device.
        towers: on the device of the training, item texts cached; their gradients are gone afterwards.
        loss: whose tiles are chosen.
        batch: one rank's first batch.
        precision: of the towers.
        sizes: what the batch does not show.

    Raises:
        ConfigError: not even a micro-batch of one row fits.
    """
    queries, items, ranks = batch.queries.size, batch.items.size + sizes.further_items, sizes.ranks
    budget = memory_gb * GB / MARGIN
    candidates = items * ranks + sizes.remembered
    vectors = COPIES_OF_VECTORS * 4 * towers.dim * (queries * ranks + candidates)
    costs = _costs(towers, loss, batch, precision, vectors, budget)
    least = TILE_ROWS * candidates
    wanted = min(chunk_size_of(loss) or least, max(least, queries * ranks * candidates))
    tile = int(max(least, min(wanted, TILE_SHARE * budget / costs.score)))
    left = budget - costs.fixed - tile * costs.score
    row = max(costs.query, costs.item)
    if left < row:
        needed = MARGIN * (costs.fixed + least * costs.score + row) / GB
        raise ConfigError(
            f"train.memory_gb={memory_gb:g} is less than a step needs with one row at a time, about {needed:.2g}: raise it, or lower "
            f"train.batch_size ({queries * ranks})"
        )
    whole = queries * costs.query + items * costs.item
    micro = None if whole <= left else int(left // row)
    used = costs.fixed + tile * costs.score + (whole if micro is None else micro * row)
    choice = Choice(micro_batch_size=micro, chunk_size=tile if chunk_size_of(loss) else None, bytes=int(MARGIN * used))
    rows = "all rows at once" if micro is None else f"train.micro_batch_size={micro} of {max(queries, items)} rows"
    logger.info("train.memory_gb=%g: %s, tiles of %d scores; a step takes about %.2g GB", memory_gb, rows, tile, choice.bytes / GB)
    return choice


def with_chunk_size(component: T, chunk_size: int) -> T:
    """The same component with tiles of this size, in all losses that it wraps."""
    if not is_dataclass(component) or isinstance(component, type):
        return component
    changes: dict[str, Any] = {}
    for each in fields(component):
        value = getattr(component, each.name)
        if each.name == "chunk_size":
            changes[each.name] = chunk_size
        elif is_dataclass(value):
            changes[each.name] = with_chunk_size(value, chunk_size)
        elif isinstance(value, tuple):
            changes[each.name] = tuple(with_chunk_size(inner, chunk_size) for inner in value)
        elif isinstance(value, dict):
            changes[each.name] = {name: with_chunk_size(inner, chunk_size) for name, inner in value.items()}
    return replace(component, **changes)


def chunk_size_of(component: object) -> int | None:
    """The size of a loss' tiles, or of the first loss that it wraps; None where nothing has tiles."""
    if not is_dataclass(component) or isinstance(component, type):
        return None
    own = getattr(component, "chunk_size", None)
    if own is not None:
        return int(own)
    values = [getattr(component, each.name) for each in fields(component)]
    inner = [
        each for value in values for each in (value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else [value])
    ]
    return next((size for each in inner if (size := chunk_size_of(each)) is not None), None)


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made within and still there.

    Attributes:
        peak: the most at any moment.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._now: int = 0
        self._live: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation and takes note of what it made."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                for part in (leaf._indices(), leaf._values()) if leaf.is_sparse else (leaf,):
                    self._note(part.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._live:
            return
        self._live.add(key)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._gone, key, storage.nbytes())

    def _gone(self, key: int, size: int) -> None:
        self._live.discard(key)
        self._now -= size


def _costs(towers: TwoTower, loss: Loss, batch: Batch, precision: Precision, vectors: int, limit: float) -> Costs:
    (fixed_queries, query), (fixed_items, item) = (
        _of_rows(towers, embed, features, precision, limit)
        for embed, features in ((towers.embed_queries, batch.queries), (towers.embed_items, batch.items))
    )
    fixed = max(fixed_queries, fixed_items) + vectors + _bytes_of(batch)
    return Costs(fixed=fixed, query=query, item=item, score=_of_scores(loss, batch, towers.dim))


def _of_rows(
    towers: TwoTower, embed: Callable[[Features], Tensor], features: Features, precision: Precision, limit: float
) -> tuple[float, float]:
    """Bytes of a step on one side: the fixed part, and that of each row, by the longest ones.

    Rows are doubled as long as they fit: many of them share what few do not, the items of their histories.
    """
    order, rows = longest_first(features), min(PROBE_ROWS, features.size)
    fixed, each = 0.0, 0.0
    few = _peak(towers, embed, features.take(order[:rows]), precision)
    while rows < features.size and (rows == PROBE_ROWS or 2 * few <= limit):
        more_rows = min(2 * rows, features.size)
        more = _peak(towers, embed, features.take(order[:more_rows]), precision)
        each = max(0.0, more - few) / (more_rows - rows)
        fixed, rows, few = max(0.0, more - each * more_rows), more_rows, more
    return (fixed, max(1.0, each)) if each else (0.0, max(1.0, few / max(1, rows)))


def _peak(towers: TwoTower, embed: Callable[[Features], Tensor], features: Features, precision: Precision) -> int:
    device = next(towers.parameters()).device
    with torch.random.fork_rng(), LiveBytes() as live:
        with autocast(device, precision):
            vectors = embed(features)
        if vectors.requires_grad:
            vectors.sum().backward()  # type: ignore[no-untyped-call]
    towers.zero_grad(set_to_none=True)
    return int(live.peak)


def _of_scores(loss: Loss, batch: Batch, dim: int) -> float:
    """Bytes of each score of a tile, by a tile of the fewest rows."""
    device, items = batch.item_rows.device, batch.items.size
    function = with_chunk_size(loss, TILE_ROWS * items).build()
    if isinstance(function, nn.Module):
        function.to(device)
    queries, candidates = (torch.ones(size, dim, device=device, requires_grad=True) for size in (TILE_ROWS, items))
    labels = {name: torch.ones(TILE_ROWS, device=device) for name in batch.labels}
    targets = Targets.plain(torch.arange(TILE_ROWS, device=device) % items, items, labels=labels)
    with LiveBytes() as live:
        value = function(queries, candidates, targets, torch.tensor(1.0, device=device)).loss
        if value.requires_grad:
            value.backward()  # type: ignore[no-untyped-call]
    return float(live.peak) / (TILE_ROWS * items)


def _bytes_of(value: object) -> int:
    if isinstance(value, Tensor):
        return value.untyped_storage().nbytes()
    if is_dataclass(value) and not isinstance(value, type):
        return sum(_bytes_of(getattr(value, each.name)) for each in fields(value))
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return sum(_bytes_of(part) for part in parts)
