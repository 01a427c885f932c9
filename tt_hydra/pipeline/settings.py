"""Everything a run can be told, as one plain value: the fields are the root nodes of ``conf/run.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from tt_hydra.contracts import Curriculum, Loss, Metric, NegativeSampler, Pooling, ScreenSpec, Teacher, Temperature
from tt_hydra.data.tables import Source
from tt_hydra.errors import ConfigError
from tt_hydra.index.budget import Budget
from tt_hydra.index.check import AnyIndex, Quantization
from tt_hydra.sweep.settings import SweepSettings
from tt_hydra.tower.spec import TowerSpec
from tt_hydra.train.loggers import LoggerSpec
from tt_hydra.train.optimizer import OptimizerSpec
from tt_hydra.train.settings import TrainSettings, check_at_least

LARGEST_SEED = 2**31 - 1
"""FAISS keeps seeds in 32 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measuring:
    """How much is measured.

    Attributes:
        resamples: bootstrap resamples of the confidence intervals.
        latency_queries: single queries timed for the latency percentiles.
        examples: queries shown with their results in the report.
        parts: which parts are measured; a trial of a sweep measures ``valid`` alone.
        time_queries: whether the query tower is timed too, beside the search; trials of a sweep leave it out unless they aim at it.
    """

    resamples: int = 1000
    latency_queries: int = 1000
    examples: int = 5
    parts: tuple[Literal["valid", "test"], ...] = ("valid", "test")
    time_queries: bool = True

    def __post_init__(self) -> None:
        if not self.parts or len(set(self.parts)) < len(self.parts):
            raise ConfigError(f"evaluate.parts must be one part or two different ones, got {list(self.parts)}")
        check_at_least("evaluate", self, resamples=1, latency_queries=1, examples=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateSettings(Measuring):
    """How the model and its index are measured.

    Attributes:
        exclude_seen: leave out the items that a query had before (interactions: true; text retrieval: false).
    """

    exclude_seen: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureAgain(Measuring):
    """How a bundle is measured again.

    Attributes:
        exclude_seen: as in ``EvaluateSettings``; null does as the bundle was evaluated.
    """

    exclude_seen: bool | None = None

    def settled(self, exclude_seen: bool) -> EvaluateSettings:
        """The settings with what the bundle was evaluated with where they leave it open."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return EvaluateSettings(**own | ({"exclude_seen": exclude_seen} if self.exclude_seen is None else {}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """Where and how loudly to run; nothing here changes a result.

    Attributes:
        outputs: root of the store, the runs and the sweeps.
        run_dir: folder of this run.
        set_latest: whether ``outputs/run/latest`` shall point to this run when it is done.
        threads: CPU threads of torch and FAISS; null leaves them to the libraries.
        embed_batch_size: rows that are embedded at once outside of training steps.
        progress_bar: whether training draws a progress bar.
        bundle: whether the run leaves a bundle.
        report: whether the run leaves a report.
        allow_targets: module prefixes of components of your own (``my_package.``).
    """

    outputs: Path
    run_dir: Path
    set_latest: bool = True
    threads: int | None = None
    embed_batch_size: int = 256
    progress_bar: bool = True
    bundle: bool = True
    report: bool = True
    allow_targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_at_least("runtime", self, threads=1, embed_batch_size=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """A whole run. Component nodes hold built components; ``query_tower`` and ``item_tower`` replace ``tower`` for their side."""

    seed: int = 42
    embedding_dim: int | None = 64
    prefix_dim: int | None = None
    metric: Metric = "cosine"
    item_bias: bool = False
    tie: Literal["auto"] | bool = "auto"
    data: Source
    tower: TowerSpec
    query_tower: TowerSpec | None = None
    item_tower: TowerSpec | None = None
    pooling: Pooling
    text_pooling: Pooling | None = None
    history_pooling: Pooling | None = None
    loss: Loss
    negatives: NegativeSampler
    curriculum: Curriculum
    screen: ScreenSpec
    teacher: Teacher
    temperature: Temperature
    index: AnyIndex
    quantization: Quantization
    optimizer: OptimizerSpec
    train: TrainSettings = field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    budget: Budget = field(default_factory=Budget)
    logger: LoggerSpec | None = None
    sweep: SweepSettings | None = None
    runtime: Runtime

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ConfigError(f"seed must be a whole number from 0 to {LARGEST_SEED}, got {self.seed}")
