"""Mined negatives: the items that the model itself takes for answers of a question, though they are none, and again as it learns."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from tt_hydra.component import TARGET, instantiate
from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.frequency import log_presence, log_share
from tt_hydra.negatives.pool import Pool, PoolRule, draw_own

FLAT = {TARGET: "tt_hydra.index.flat.Flat"}
CHOICES = {"margin_kind": ("relative", "absolute"), "unit": ("epochs", "steps"), "refresh": ("between", "asynchronous")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Mined:
    """Hard negatives from the nearest items of each training question (Xiong et al. 2021), filtered as by Moreira et al. 2024.

    A mining embeds the catalogue and every question of the training part, takes the best ``top`` items of each question, and leaves out
    its training positives, items equal to one of them and repeated items. A step draws from what is left, items without a training event
    included: what ranks high is worth learning from, whoever took it.

    Attributes:
        per_query: negatives drawn for each query of a batch, anew each time.
        top: candidates kept of each question.
        first: best rank that is drawn, counted from 1 without the positives.
        last: worst rank that is drawn.
        margin: how far a negative stays below the positive; None draws at any distance.
        margin_kind: relative: its similarity is at most ``margin`` times the positive's (0.95); absolute: at least ``margin`` less.
        every: epochs or steps from one mining to the next.
        unit: of ``every``.
        start: epochs before the first mining, in which nothing is mined; 0 mines with the weights that training starts from.
        refresh: between: training waits for a mining; asynchronous: it goes on beside it, and the result is used from the next
            mining on.
        index: in which the items are searched; independent of the one that is served.
        with_in_batch: whether the positives of the other queries are negatives too.
    """

    per_query: int = 1
    top: int = 100
    first: int = 1
    last: int = 100
    margin: float | None = 0.95
    margin_kind: Literal["relative", "absolute"] = "relative"
    every: int = 1
    unit: Literal["epochs", "steps"] = "epochs"
    start: int = 1
    refresh: Literal["between", "asynchronous"] = "between"
    index: Any = field(default_factory=partial(instantiate, FLAT, object))
    with_in_batch: bool = True
    requires_given: ClassVar[bool] = False
    has_pool: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_at_least_one(top=self.top, every=self.every)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"negatives.{name}={getattr(self, name)!r} is none of {', '.join(known)}.")
        if self.start < 0:
            raise ConfigError(f"negatives.start counts epochs before the first mining, so it is at least 0; got {self.start}.")
        if self.last > self.top:
            raise ConfigError(
                f"negatives.last={self.last} is beyond the negatives.top={self.top} candidates that are kept: raise top, or lower last."
            )
        if self.margin_kind == "relative" and self.margin is not None and not 0 < self.margin <= 1:
            raise ConfigError(
                f"negatives.margin={self.margin} is a part of the positive's similarity, above 0 and at most 1, such as 0.95."
            )
        if not self.with_in_batch and (self.start > 0 or self.refresh == "asynchronous" or self.unit == "steps"):
            raise ConfigError(
                "negatives.with_in_batch=false leaves no negative before the first mining: set negatives.start=0, "
                "negatives.unit=epochs and negatives.refresh=between, or with_in_batch=true."
            )
        self.rule()

    def rule(self) -> PoolRule:
        """Which candidates are drawn."""
        relative = self.margin_kind == "relative"
        ratio, gap = (self.margin, None) if relative else (None, self.margin)
        return PoolRule(per_query=self.per_query, first=self.first, last=self.last, ratio=ratio, gap=gap)

    def fit(self, training: TrainingView) -> FittedMined:
        """The sampler for a training part; it draws nothing before it is given a pool.

        Raises:
            ConfigError: the catalogue ends before the rank window begins.
        """
        if self.first >= training.num_items:
            raise ConfigError(
                f"negatives.first={self.first} leaves nothing to draw: the catalogue has {training.num_items} items, one of them the "
                "positive. Lower first."
            )
        return FittedMined(self, training, log_share(training.counts), Pools())

    def due(self, step: int, steps_per_epoch: int) -> bool:
        """Whether a mining is to be made with the weights that stand before an optimizer step."""
        first, period = self._calendar(steps_per_epoch)
        return step >= first and (step - first) % period == 0

    def needed(self, step: int, steps_per_epoch: int) -> int | None:
        """The step before which the pool of a step was mined; None before there is any.

        Within an epoch a batch is drawn while the one before it is trained on, so a pool serves from the step after the next.
        """
        first, period = self._calendar(steps_per_epoch)
        ahead = 0 if self.unit == "epochs" else 1
        latest = step - ahead - (period if self.refresh == "asynchronous" else 0)
        return None if latest < first else latest - (latest - first) % period

    def _calendar(self, steps_per_epoch: int) -> tuple[int, int]:
        return self.start * steps_per_epoch, self.every * (steps_per_epoch if self.unit == "epochs" else 1)


class Pools:
    """The pools of a training by the step before which they were mined; who needs one that is still being made waits for it."""

    def __init__(self) -> None:
        self._pools: dict[int, Pool] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, step: int, pool: Pool) -> None:
        """Adds a pool; of those before it two stay: a step may draw from the last but one while another is mined beside it."""
        with self._changed:
            oldest = min(sorted(known for known in self._pools if known < step)[-2:], default=step)
            self._pools = {known: each for known, each in self._pools.items() if known >= oldest} | {step: pool}
            self._changed.notify_all()

    def get(self, step: int) -> Pool:
        """The pool mined before a step.

        Raises:
            RuntimeError: the training ended before it was made.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or step in self._pools)
            if step not in self._pools:
                raise RuntimeError(f"no negatives were mined before step {step}") from self._error
            return self._pools[step]

    def known(self) -> list[int]:
        """The steps of the pools that are there."""
        with self._changed:
            return sorted(self._pools)

    def close(self, error: BaseException | None = None) -> None:
        """Lets nobody wait any longer: no further pool will come."""
        with self._changed:
            self._closed, self._error = True, error
            self._changed.notify_all()


@dataclass(slots=True)
class FittedMined:
    """Draws each query's own negatives from the pool that is due at its step.

    Attributes:
        spec: the hyper-parameters.
        training: what was fitted.
        log_probability: ``(num_items,)`` log share of each item among the training positives.
        pools: filled by the training.
        steps_per_epoch: by which the calendar of minings is reckoned; 0 while no training has begun, and then nothing is drawn.
    """

    spec: Mined
    training: TrainingView
    log_probability: FloatArray
    pools: Pools
    steps_per_epoch: int = 0
    memory: ClassVar[int] = 0

    @property
    def in_batch(self) -> bool:
        """Whether the positives of the other queries are negatives."""
        return self.spec.with_in_batch

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Up to ``per_query`` negatives for each query; window, margin and share of the request's hardness go before the rule's."""
        mined = self.spec.needed(request.step, self.steps_per_epoch) if self.steps_per_epoch else None
        if mined is None:
            return Drawn.shared(np.empty(0, np.int64), Origin.MINED)
        return draw_own(
            self.pools.get(mined), self.spec.rule(), Origin.MINED, self.training.questions[request.examples], request, generator
        )

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that a row is one of the batch's positives."""
        return log_presence(self.log_probability[rows], batch)
