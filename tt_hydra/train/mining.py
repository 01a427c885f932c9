"""Mining while a training runs: between its epochs or steps, or beside it with a copy of the weights."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from tt_hydra.component import spec_of
from tt_hydra.contracts import FloatArray, Ragged, VectorIndex
from tt_hydra.data.dataset import Dataset
from tt_hydra.metrics.exact import exact_search
from tt_hydra.negatives.mined import FittedMined
from tt_hydra.negatives.mining import Facts, MiningReport, mine
from tt_hydra.negatives.pool import Pool
from tt_hydra.tower.autocast import Precision
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.encode import embed_examples, embed_items
from tt_hydra.train.module import RetrievalModule

logger = logging.getLogger(__name__)

BuildIndex = Callable[[FloatArray], VectorIndex]
RECALL_SAMPLE = 256
"""Questions on which an approximate index is compared with exact search."""


@dataclass(frozen=True, kw_only=True)
class Miner:
    """Makes the pool of some weights, once: what was mined is kept under a hash of everything that it depends on.

    Attributes:
        dataset: texts tokenised.
        sampler: whose pools are made.
        build_index: over the vectors of the catalogue.
        folder: where pools are kept, so that a training that was killed goes on with the same negatives.
        batch_size: rows embedded at once.
        precision: of the embedding.
    """

    dataset: Dataset
    sampler: FittedMined
    build_index: BuildIndex
    folder: Path
    batch_size: int = 256
    precision: Precision = "32"

    @cached_property
    def facts(self) -> Facts:
        """What mining knows of the training part."""
        return Facts(self.sampler.training, self.dataset.train.item_rows)

    def key(self, towers: TwoTower) -> str:
        """Hash of the weights, of the settings and of the training part."""
        digest = hashlib.sha256(json.dumps([spec_of(self.sampler.spec), self.precision, asdict(towers.finish)], sort_keys=True).encode())
        for array in (self.facts.training.questions, self.facts.pairs.values, self.facts.known.values, self.facts.content):
            digest.update(np.ascontiguousarray(array).tobytes())
        tensors = dict(towers.state_dict()) | ({} if towers.item_text is None else {"item_text": towers.item_text})
        for name, tensor in sorted(tensors.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:32]

    def pool(self, towers: TwoTower, key: str) -> tuple[Pool, MiningReport | None]:
        """The pool of these weights, and the report where it was not there yet."""
        known = self.load(key)
        if known is not None:
            return known, None
        started = time.perf_counter()
        spec, metric = self.sampler.spec, towers.metric
        items = embed_items(towers, self.dataset, self.batch_size, self.precision)
        queries = embed_examples(towers, self.dataset, "train", self.facts.last_examples, self.batch_size, self.precision)
        index = self.build_index(items)
        pool, report = mine(queries, items, index.search, self.facts, spec.rule(), top=spec.top, metric=metric)
        self._save(key, pool)
        seconds = time.perf_counter() - started
        logger.info("mined negatives in %.1f s:\n  %s", seconds, "\n  ".join([*report.lines(), *self._recall(queries, items, index)]))
        if warning := report.warning(spec.rule()):
            logger.warning(warning)
        return pool, report

    def load(self, key: str) -> Pool | None:
        """A pool that was made before, or None."""
        path = self._path(key)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as file:
            candidates, scores = Ragged(file["rows"].astype(np.int64), file["offsets"]), file["scores"]
            return Pool.of(candidates, scores, self.facts.pairs, file["positives"], self.dataset.num_items)

    def forget(self, keys: set[str]) -> None:
        """Deletes every kept pool but these."""
        for path in self.folder.glob("*.npz"):
            if path.stem not in keys:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def _save(self, key: str, pool: Pool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{key}.{os.getpid()}.tmp"
        rows = pool.candidates.values.astype(np.int32)
        with unfinished.open("wb") as file:
            np.savez(file, rows=rows, offsets=pool.candidates.offsets, scores=pool.scores, positives=pool.positive_scores)
        unfinished.replace(self._path(key))

    def _recall(self, queries: FloatArray, items: FloatArray, index: VectorIndex) -> list[str]:
        """Of an index that does not look everywhere, the share of the truly best items that it found."""
        if not index.search_params:
            return []
        top = min(self.sampler.spec.top, len(items))
        some = queries[np.linspace(0, len(queries) - 1, min(RECALL_SAMPLE, len(queries))).astype(np.int64)]
        truth, found = exact_search(some, items, top, index.metric).rows, index.search(some, top).rows
        number = np.arange(len(some))[:, None] * len(items)
        hits = np.isin(truth + number, np.where(found >= 0, found + number, -1)).sum(axis=1)
        recall = float((hits / top).mean())
        return [f"recall@{top} of the mining index against exact search, {len(some)} questions: {recall:.3f}"]


class Mining(pl.Callback):
    """Gives the sampler its pools when they are due.

    A pool made between two steps is used at once. One made beside the training is of the weights at its beginning, and is used from
    the next mining on, at a fixed step: where it is not ready by then, the training waits.
    """

    def __init__(self, miner: Miner, steps_per_epoch: int) -> None:
        self._miner, self._sampler = miner, miner.sampler
        self._sampler.steps_per_epoch = steps_per_epoch
        self._keys: dict[int, str] = {}
        self._saved: set[str] = set()
        self._pending: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(1, "mining")

    def state_dict(self) -> dict[str, Any]:
        """Which pools there are: the step of each and its key."""
        pools = {str(step): self._keys[step] for step in self._sampler.pools.known()}
        self._saved = set(pools.values())
        return {"pools": pools}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the pools of a checkpoint."""
        for step, key in state_dict["pools"].items():
            pool = self._miner.load(key)
            if pool is None:
                logger.warning("the negatives mined before step %s are gone: they will be mined with the weights of the checkpoint", step)
            else:
                self._keys[int(step)] = key
                self._saved.add(key)
                self._sampler.pools.put(int(step), pool)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Makes what the epoch begins with; the items' text vectors, which histories read, are fresh now."""
        self._begin(trainer, pl_module)
        needed = self._sampler.spec.needed(trainer.global_step, self._sampler.steps_per_epoch)
        if needed is not None and needed not in self._sampler.pools.known() and not self._pending:
            self._make(_towers(pl_module), needed)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Makes what is due within an epoch; what is due at its end is made when the next one begins."""
        if self._sampler.spec.unit == "steps" and batch_idx + 1 < self._sampler.steps_per_epoch:
            self._begin(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Waits for what is made beside the training, so that the checkpoint of this epoch knows it; keeps what the last one knows."""
        while self._pending:
            self._pending.pop(0).result()
        self._miner.forget(self._saved | {self._keys[step] for step in self._sampler.pools.known()})

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lets nothing wait for a pool that will not come."""
        self._sampler.pools.close()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        step = trainer.global_step
        if not self._sampler.spec.due(step, self._sampler.steps_per_epoch) or step in self._sampler.pools.known():
            return
        towers = _towers(pl_module)
        if self._sampler.spec.refresh == "between":
            self._make(towers, step)
        else:
            frozen = copy.deepcopy(towers).eval()
            self._pending.append(self._thread.submit(self._make_beside, frozen, step))

    def _make_beside(self, towers: TwoTower, step: int) -> None:
        try:
            self._make(towers, step)
        except BaseException as error:
            self._sampler.pools.close(error)
            raise

    def _make(self, towers: TwoTower, step: int) -> None:
        before = self._sampler.pools.known()
        key = self._miner.key(towers)
        pool, report = self._miner.pool(towers, key)
        self._keys[step] = key
        self._sampler.pools.put(step, pool)
        if report is not None and before:
            logger.info("these are of step %d; the ones before them of step %d, %d steps older", step, before[-1], step - before[-1])


def _towers(module: pl.LightningModule) -> TwoTower:
    assert isinstance(module, RetrievalModule)
    return module.towers
