from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_table import toy_tables

from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import SplitSpec
from tt_hydra.data.prepare import prepare
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.pooling.mean import Mean
from tt_hydra.temperature.constant import Constant
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TowerSpec, TwoTower
from tt_hydra.train.fit import Reporting, TrainingJob, fit
from tt_hydra.train.module import Objective
from tt_hydra.train.optimizer import AdamW
from tt_hydra.train.settings import TrainSettings

OBJECTIVE = ("loss", "temperature", "optimizer", "screen", "curriculum")


def towers_for(dataset: Dataset, seed: int = 0, dropout: float = 0.2, tower: TowerSpec | None = None) -> TwoTower:
    torch.manual_seed(seed)
    tower = tower or Mlp(feature_dim=16, text_buckets=64, dropout=dropout)
    return TwoTower.build(
        query=tower,
        item=tower,
        schema=dataset.schema,
        text_pooling=Mean(),
        history_pooling=Mean(),
        embedding_dim=16,
        metric="cosine",
        num_items=dataset.num_items,
    )


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Dataset]:
    """The toy data set, by how it is split."""
    splits = {"leave_last_out": SplitSpec(kind="leave_last_out"), "no_validation": SplitSpec(kind="random", valid=0.0, test=0.2)}
    made: dict[str, Dataset] = {}

    def make(split: str) -> Dataset:
        if split not in made:
            folder = tmp_path_factory.mktemp("prepared")
            prepare(toy_tables(splits[split]), valid_share=0.0, seed=0, folder=folder)
            made[split] = Dataset.load(folder)
        return made[split]

    return make


@pytest.fixture
def make_job(datasets: Callable[[str], Dataset]) -> Callable[..., TrainingJob]:
    """A training of a few seconds at most: keys of ``TrainSettings``, of ``TrainingJob`` and of ``Objective`` change it."""

    def make(split: str = "leave_last_out", dropout: float = 0.2, negatives: Any = None, **changes: Any) -> TrainingJob:
        dataset = datasets(split)
        seed = changes.pop("seed", 0)
        towers = towers_for(dataset, seed, dropout, changes.pop("tower", None))
        parts = {"loss": InfoNCE(), "temperature": Constant(start=0.1), "optimizer": AdamW(lr=0.01)}
        parts |= {name: changes.pop(name) for name in OBJECTIVE if name in changes}
        job = TrainingJob(
            towers=towers,
            dataset=dataset.tokenized(towers.tokenizers),
            sampler=(negatives or InBatch()).fit(dataset.training_view()),
            objective=Objective(**parts),
            settings=TrainSettings(max_epochs=4, batch_size=96, patience=None),
            seed=seed,
            device="cpu",
            precision="32",
            exclude_seen=True,
            eval_batch_size=64,
        )
        own = {name: changes.pop(name) for name in TrainingJob.__dataclass_fields__ if name in changes}
        return replace(job, **own, settings=replace(job.settings, **changes))

    return make


@pytest.fixture
def train(make_job: Callable[..., TrainingJob], tmp_path: Path) -> Callable[..., Path]:
    """Trains and gives the folder with what came out; ``folder`` goes on with an earlier one."""

    def run(folder: Path | None = None, logger: Any = None, **changes: Any) -> Path:
        folder = folder or tmp_path / f"training{len(list(tmp_path.iterdir()))}"
        folder.mkdir(exist_ok=True)
        fit(make_job(**changes), folder, Reporting(folder=folder, logger=logger, progress_bar=False))
        return folder

    return run
