"""Asymmetric towers start in one space: before joint training, the query tower learns the vectors that the item tower gives for a text."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from tt_hydra.contracts import Metric, Ragged
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.encoded import pad_rows, tokenize
from tt_hydra.errors import ConfigError
from tt_hydra.tower.autocast import Precision, autocast
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.encode import batches_by_length, evaluating
from tt_hydra.train.fit import UNREADABLE, TrainingJob
from tt_hydra.train.rank import is_follower
from tt_hydra.train.selection import AtomicCheckpointIO
from tt_hydra.train.summary import SUMMARY

logger = logging.getLogger(__name__)

CHECKPOINT = "aligned.ckpt"
BATCH = 128
"""Texts a step. A text is compared with its own target alone: more of them would add no negatives."""
OWN = "towers.query."
LEAST_RATE = 0.2
"""Share of the optimizer's learning rate below which no weight learns: an encoder that has lost layers has much to make up for."""


def align(job: TrainingJob, folder: Path) -> None:
    """Teaches the query tower over ``train.align_epochs`` passes, going on from what an interrupted one left in ``folder``.

    The texts are those of the training queries and of the items, each once. The item tower is the teacher and stays as it is; where
    vectors have length 1 (``metric=cosine``) what falls is 1 - cosine, else the mean squared difference. Every step is a function of
    the seed and its number, so that a resumed alignment repeats and skips nothing.

    Raises:
        ConfigError: both sides share one tower, one of them has no text, or the query tower has no weight to train.
    """
    if not job.settings.align_epochs or (folder / SUMMARY).exists():
        return
    _refuse(job.towers)
    state = _interrupted(folder / CHECKPOINT)
    done = 0 if state is None else int(state["epochs"])
    if state is not None:
        job.towers.load_state_dict(state["towers"])
    if done < job.settings.align_epochs:
        job.towers.to("cuda" if job.device == "gpu" else "cpu")
        with torch.random.fork_rng():
            _Alignment(job, folder / CHECKPOINT).run(done, state)
        job.towers.to("cpu")


class _Alignment:
    """The texts under both tokenizers, the teacher's vectors of them, and the optimizer of the query tower."""

    def __init__(self, job: TrainingJob, checkpoint: Path) -> None:
        self._job, self._checkpoint = job, checkpoint
        texts = alignment_texts(job.dataset)
        self._tokens = tokenize(texts, job.towers.tokenizers["query"])
        self._targets = _teach(job, tokenize(texts, job.towers.tokenizers["item"]))
        self._own = _own(job.towers)
        self._optimizer = _optimizer(job, self._own)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._steps = -(-len(texts) // BATCH)

    def run(self, done: int, state: dict[str, Any] | None) -> None:
        """The epochs that are left, a checkpoint after each."""
        if state is not None:
            self._optimizer.load_state_dict(state["optimizer"])
        training = self._job.towers.training
        self._job.towers.train()
        for epoch in range(done, self._job.settings.align_epochs):
            started, mean = time.perf_counter(), self._epoch(epoch)
            states = {"towers": self._job.towers.state_dict(), "optimizer": self._optimizer.state_dict()}
            if not is_follower():
                AtomicCheckpointIO().save_checkpoint({"epochs": epoch + 1, **states}, self._checkpoint)
            what = "1 - cosine" if self._job.towers.metric == "cosine" else "squared difference"
            logger.info(
                "alignment %d: mean %s of query and item tower on %d texts %.4f (%.1f s)",
                *(epoch + 1, what, len(self._tokens), mean, time.perf_counter() - started),
            )
        self._job.towers.train(training)

    def _epoch(self, epoch: int) -> float:
        """One pass; the mean distance over its steps."""
        order = np.random.default_rng((self._job.seed, epoch)).permutation(len(self._tokens))
        total = torch.zeros(())
        for number, rows in enumerate(np.array_split(order, self._steps)):
            step = epoch * self._steps + number
            torch.manual_seed(hash((self._job.seed, step)) % 2**63)
            loss = self._step(rows, 1 - step / (self._steps * self._job.settings.align_epochs))
            total += loss.detach().cpu() * len(rows)
        return float(total) / len(order)

    def _step(self, rows: np.ndarray[Any, np.dtype[np.int64]], share: float) -> Tensor:
        towers, device = self._job.towers, self._own[0].device
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        with autocast(device, _safe(self._job.precision)):
            vectors = towers.embed_texts("query", pad_rows(self._tokens, rows).to(device))
        loss = distance(vectors, self._targets[rows].to(device), towers.metric)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._job.settings.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self._own, self._job.settings.gradient_clip)
        self._optimizer.step()
        return loss


def distance(vectors: Tensor, targets: Tensor, metric: Metric) -> Tensor:
    """What falls, a scalar, for two matrices ``(rows, dim)``; of length 1 where the metric is cosine."""
    if metric == "cosine":
        return 1 - (vectors * targets).sum(dim=1).mean()
    return torch.nn.functional.mse_loss(vectors, targets)


def alignment_texts(dataset: Dataset) -> pl.Series:
    """Every text of a training query and of an item, each once, blank ones left out."""
    train, items, queries, context = dataset.train, dataset.catalogue.table, dataset.query_table, dataset.context_table
    columns = [queries.texts(name).gather(np.unique(train.query_rows)) for name in queries.text_names]
    columns += [context.texts(name).gather(np.unique(train.positions)) for name in context.text_names]
    columns += [items.texts(name) for name in items.text_names]
    texts = pl.concat([column.rename("text") for column in columns]).unique(maintain_order=True)
    return texts.filter(texts.str.strip_chars() != "")


def _teach(job: TrainingJob, tokens: Ragged) -> Tensor:
    """The item tower's vectors ``(texts, dim)``, on the CPU."""
    targets = torch.empty(len(tokens), job.towers.dim)
    with evaluating(job.towers, job.precision) as device:
        for rows in batches_by_length({"text": tokens}, np.arange(len(tokens)), job.eval_batch_size):
            targets[rows] = job.towers.embed_texts("item", pad_rows(tokens, rows).to(device)).float().cpu()
    return targets


def _optimizer(job: TrainingJob, own: list[torch.nn.Parameter]) -> Optimizer:
    spec, mine = job.objective.optimizer, {id(parameter) for parameter in own}
    groups = job.towers.parameter_groups(spec.lr, spec.weight_decay)
    kept = [{**group, "params": [parameter for parameter in group["params"] if id(parameter) in mine]} for group in groups]
    return spec.build([{**group, "lr": max(group["lr"], LEAST_RATE * spec.lr)} for group in kept if group["params"]])


def _safe(precision: Precision) -> Precision:
    """float16 would need its losses scaled, for what is a short training."""
    return "32" if precision == "16" else precision


def _own(towers: TwoTower) -> list[torch.nn.Parameter]:
    """The weights of the query tower that are trained."""
    return [parameter for name, parameter in towers.named_parameters() if name.startswith(OWN) and parameter.requires_grad]


def _refuse(towers: TwoTower) -> None:
    if towers.tied:
        raise ConfigError("train.align_epochs is set, but both sides share one tower: set it to 0, or choose a tower@query_tower=NAME")
    for side, names in towers.texts.items():
        if not names:
            raise ConfigError(f"train.align_epochs is set, but the {side} side has no text, by which towers are aligned: set it to 0")
    if not _own(towers):
        raise ConfigError("train.align_epochs is set, but the query tower has no weight to train: set it to 0, or query_tower.freeze=none")


def _interrupted(checkpoint: Path) -> dict[str, Any] | None:
    if not checkpoint.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu")
        return state
    except UNREADABLE as error:
        logger.warning("%s cannot be read (%s): the alignment starts again", checkpoint, error)
        return None
