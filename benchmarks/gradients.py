"""Gradient equality: a step in chunks, by tiles, or shared by processes leaves the gradient of the plain step in one process.

    python benchmarks/gradients.py

Every step is a whole training of one batch, through the same code as any training: real processes that talk through gloo, gathered
candidates, own (mined) negatives with a teacher's scores, rated examples, known positives, logQ, a learned temperature, and a batch that
does not divide by the number of processes. What is compared is the gradient by all weights of towers, temperature and loss, in float32.
"""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from common import finish, table
from torch import Tensor

from tt_hydra.config.build import build
from tt_hydra.config.check import check
from tt_hydra.config.commands import COMMANDS
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.problems import refuse
from tt_hydra.contracts import Chances, Drawn, DrawRequest, FloatArray, IntArray, Origin, ScreenSpec, TrainingView
from tt_hydra.data.dataset import Dataset
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.prepare import prepare
from tt_hydra.pipeline.stage.towers import build_towers
from tt_hydra.screen.margin import Margin
from tt_hydra.screen.none import NoScreen
from tt_hydra.train.budget import with_chunk_size
from tt_hydra.train.fit import Reporting, TrainingJob, fit
from tt_hydra.train.module import Objective

BAR = 1e-5
EXAMPLES, USERS, ITEMS, OWN = 241, 60, 90, 3
RUN = (
    *("data=table", "data.interactions.time=time", "data.interactions.split=part", "data.split.kind=given", "data.valid_share=0"),
    *("data.interactions.labels=[rating]", "data.interactions.teacher=teacher", "data.interactions.weight=weight"),
    *("data.items.id=id", "data.items.features={id: categorical, title: text}", "data.history.max_length=4"),
    *(
        "embedding_dim=48",
        "tower.feature_dim=16",
        "tower.text_buckets=64",
        "tower.dropout=0",
        "temperature=learned",
        "temperature.start=0.2",
    ),
    *(
        "train.batch_size=246",
        "train.max_epochs=1",
        "train.gradient_clip=null",
        "train.precision=32",
        "train.accelerator=cpu",
        "logger=none",
    ),
    *("train.warmup=0", "seed=1"),
)
TASKS = (
    *("+loss.tasks.rating={kind: regression, label: rating}", "+loss.tasks.liked={kind: binary, label: rating, threshold: 3}"),
    "loss.tasks.retrieval.label=null",
)
LOSSES: Mapping[str, tuple[str, ...]] = {
    "infonce": ("loss=infonce",),
    "infonce, two-sided": ("loss=infonce", "loss.symmetric=true"),
    "infonce, all positives": ("loss=infonce", "loss.positives=all"),
    "infonce, all positives, two-sided": ("loss=infonce", "loss.positives=all", "loss.symmetric=true"),
    "sampled_softmax": ("loss=sampled_softmax",),
    "sampled_softmax, left out": ("loss=sampled_softmax", "loss.positive=left_out"),
    "sigmoid": ("loss=sigmoid",),
    "bpr": ("loss=bpr",),
    "triplet, semi-hard": ("loss=triplet", "loss.negatives=semi_hard"),
    "triplet, hardest": ("loss=triplet", "loss.negatives=hardest"),
    "triplet, all": ("loss=triplet", "loss.negatives=all"),
    "margin_mse": ("loss=margin_mse",),
    "kl_distill": ("loss=kl_distill",),
    "matryoshka": ("loss=matryoshka",),
    "multi_task, fixed": ("loss=multi_task", *TASKS),
    "multi_task, uncertainty": ("loss=multi_task", *TASKS, "loss.weighting=uncertainty"),
    "multi_task, norms": ("loss=multi_task", *TASKS, "loss.weighting=gradient_norm"),
}
"""Every option of ``conf/loss``, and further forms of some."""
MICRO, TILE = 31, 60
"""Rows embedded at once, and scores held at once: of the fewest rows that a tile has, 64."""


@dataclass(frozen=True)
class Way:
    """A way to take the step."""

    ranks: int = 1
    cached: bool = False
    tiled: bool = False

    def __call__(self, settings: RunSettings) -> RunSettings | None:
        """The settings of the step; None where the loss has no tiles, as it has only own negatives."""
        loss = with_chunk_size(settings.loss, TILE) if self.tiled else settings.loss
        if self.tiled and loss == settings.loss:
            return None
        train = replace(settings.train, devices=self.ranks, micro_batch_size=MICRO if self.cached else None)
        return replace(settings, loss=loss, train=train)


PLAIN = "plain"
WAYS = {
    PLAIN: Way(),
    "cached": Way(cached=True),
    "tiled": Way(tiled=True),
    "2 ranks": Way(ranks=2),
    "3 ranks": Way(ranks=3),
    "3 ranks, cached, tiled": Way(ranks=3, cached=True, tiled=True),
}
SCREENS: Mapping[str, ScreenSpec] = {"": NoScreen(), " + screen": Margin(margin=-0.1)}


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnByExample:
    """In-batch negatives, and own ones that are a function of their example, so that no rank draws others than one process does."""

    requires_given: ClassVar[bool] = False
    in_batch: ClassVar[bool] = True
    memory: ClassVar[int] = 0

    def fit(self, training: TrainingView) -> OwnByExample:
        return self

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        owner = np.repeat(np.arange(len(request.examples)), OWN)
        rows = (np.repeat(request.examples, OWN) * 7 + np.tile([3, 11, 40], len(request.examples))) % ITEMS
        chances = Chances(np.arange(ITEMS), (-0.1 - np.arange(ITEMS) % 5 / 3).astype(np.float32))
        teacher = (rows % 11 / 11).astype(np.float32)
        return Drawn(rows=rows, origin=np.full(len(rows), int(Origin.MINED)), owner=owner, teacher=teacher, chances=chances)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        return (-1 - rows % 13 / 4).astype(np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorder:
    """An optimizer that leaves the weights as they are and keeps the gradients."""

    kept: list[Tensor]
    lr: float = 0.0
    weight_decay: float = 0.0

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return _Recording(groups, self.kept)


class _Recording(torch.optim.SGD):
    def __init__(self, groups: list[dict[str, Any]], kept: list[Tensor]) -> None:
        super().__init__(groups, lr=0.0)
        self._kept = kept

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None if closure is None else closure()
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        self._kept[:] = [torch.zeros_like(each) if each.grad is None else each.grad.detach().clone() for each in parameters]
        return loss


def write_data(folder: Path) -> tuple[str, str]:
    """Made-up events and items; the overrides that name them."""
    random = np.random.default_rng(3)
    events = pl.DataFrame(
        {
            "user_id": random.integers(USERS, size=EXAMPLES),
            "item_id": random.integers(ITEMS, size=EXAMPLES),
            "time": np.arange(EXAMPLES),
            "rating": random.integers(1, 6, EXAMPLES),
            "teacher": random.random(EXAMPLES) + 1,
            "weight": random.random(EXAMPLES) + 0.5,
            "part": ["train"] * EXAMPLES,
        }
    )
    words = ("slow", "green", "river", "night", "train", "glass")
    items = pl.DataFrame({"id": np.arange(ITEMS), "title": [" ".join(random.choice(words, 3)) for _ in range(ITEMS)]})
    events.write_parquet(folder / "events.parquet")
    items.write_parquet(folder / "items.parquet")
    return f"data.interactions.path={folder}/events.parquet", f"data.items.path={folder}/items.parquet"


def settings_of(overrides: Sequence[str], folder: Path) -> RunSettings:
    """What a command line says, rules between its parts left out: made-up data has what any loss needs."""
    config, problems = compose(make_loader(), "run", [*RUN, *overrides])
    checked = check(config, COMMANDS["run"], (), {"runtime.run_dir": str(folder)})
    refuse([*problems, *checked.errors])
    return build(checked, RunSettings)


def step(settings: RunSettings, prepared: Path) -> list[Tensor]:
    """One training step; the gradient by every weight, averaged over the ranks."""
    dataset = Dataset.load(prepared)
    towers = build_towers(settings, dataset)
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))  # so that no gradient is zero for the start at zero
    dataset, kept = dataset.tokenized(towers.tokenizers), list[Tensor]()
    job = TrainingJob(
        towers=towers,
        dataset=dataset,
        sampler=OwnByExample().fit(dataset.training_view()),
        objective=Objective(
            loss=settings.loss,
            temperature=settings.temperature,
            optimizer=Recorder(kept=kept),
            screen=settings.screen,
            curriculum=settings.curriculum,
        ),
        settings=settings.train,
        seed=settings.seed,
        device="cpu",
        precision="32",
        teacher=None,
        exclude_seen=True,
        eval_batch_size=64,
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(job, Path(folder), Reporting(folder=Path(folder), progress_bar=False))
    return kept


def steps(data: Sequence[str], folder: Path) -> dict[tuple[str, str], RunSettings]:
    """By loss and way."""
    every = {}
    for loss, overrides in LOSSES.items():
        composed = settings_of([*overrides, *data], folder)
        for added, screen in SCREENS.items():
            ways = {name: way(replace(composed, screen=screen)) for name, way in WAYS.items()}
            every |= {(f"{loss}{added}", name): settings for name, settings in ways.items() if settings is not None}
    return every


def work(ranks: int, rank: int, folder: Path) -> None:
    """All steps of one number of processes in this one, which is one of them; writes the gradients."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    steps, ports = pickle.loads((folder / f"{ranks}.pickle").read_bytes())
    found = {}
    for (name, settings), port in zip(steps.items(), ports, strict=True):
        if ranks > 1:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
        found[name] = step(settings, folder / "prepared")
    torch.save(found, folder / f"{ranks}-{rank}.pt")


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def measure(folder: Path) -> dict[tuple[str, str], list[list[Tensor]]]:
    """The gradients of each loss and way, as every rank has them."""
    every = steps(write_data(folder), folder)
    plain = next(iter(every.values()))
    (folder / "prepared").mkdir()
    prepare(plain.data, plain.seed, folder / "prepared")
    found: dict[tuple[str, str], list[list[Tensor]]] = {}
    for ranks in sorted({way.ranks for way in WAYS.values()}):
        own = {name: settings for name, settings in every.items() if settings.train.devices == ranks}
        (folder / f"{ranks}.pickle").write_bytes(pickle.dumps((own, free_ports(len(own)))))
        parts = in_processes(ranks, folder)
        found |= {name: [part[name] for part in parts] for name in own}
    return found


def in_processes(ranks: int, folder: Path) -> list[dict[tuple[str, str], list[Tensor]]]:
    """What each rank found."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    command = [sys.executable, __file__, "--folder", str(folder), "--ranks", str(ranks)]
    started = [subprocess.Popen([*command, "--rank", str(rank)], env=environment) for rank in range(ranks)]
    if any([process.wait() for process in started]):
        raise SystemExit(f"a step of {ranks} process(es) failed")
    return [torch.load(folder / f"{ranks}-{rank}.pt") for rank in range(ranks)]


def relative_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Norm of the difference by the norm of what was expected, over all weights."""
    wrong = sum(float((one - other).double().square().sum()) for one, other in zip(found, expected, strict=True))
    return (wrong / sum(float(each.double().square().sum()) for each in expected)) ** 0.5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    figures, rows, compared = {}, [], [name for name in WAYS if name != PLAIN]
    for loss in dict.fromkeys(loss for loss, _ in found):
        (plain,) = found[loss, PLAIN]
        assert any(each.abs().sum() > 0 for each in plain), f"{loss} has no gradient"
        errors = {way: max(relative_error(each, plain) for each in found[loss, way]) for way in compared if (loss, way) in found}
        figures |= {f"ours/{loss}/{way}/relative_error": error for way, error in errors.items()}
        rows.append([loss, *(f"{errors[way]:.1e}" if way in errors else "-" for way in compared)])
    table(f"Relative error of the gradient, float32, {EXAMPLES} queries, {OWN} own negatives each", ["loss", *compared], rows)
    finish("gradients", figures | {"ours/max_relative_error": max(figures.values()), "bar": BAR})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="not read: the data are made up")
    parser.add_argument("--quick", action="store_true", help="the same: it takes a minute or two")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ranks", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.folder is None:
        main()
    else:
        work(told.ranks, told.rank, told.folder)
