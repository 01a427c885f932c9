"""train: two towers learn from the training part; the best epoch's weights remain."""

from __future__ import annotations

from pathlib import Path

from tt_hydra.contracts import Watch
from tt_hydra.data.dataset import Dataset
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.resolved import Compute
from tt_hydra.tower.lora import training
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.align import align
from tt_hydra.train.fit import Reporting, TrainingJob, fit
from tt_hydra.train.initial import initialise
from tt_hydra.train.module import Objective


def train(settings: RunSettings, dataset: Dataset, towers: TwoTower, compute: Compute, folder: Path, watch: Watch | None = None) -> None:
    """Trains untrained towers on a tokenized data set under ``folder``, or goes on with what an interrupted run left there.

    Raises:
        Pruned: ``watch`` ended the training.
    """
    if settings.train.init_from is not None:
        initialise(towers, Path(settings.train.init_from), dataset.featurizer)
    job = TrainingJob(
        towers=towers,
        dataset=dataset,
        sampler=settings.negatives.fit(dataset.training_view()),
        objective=Objective(
            loss=settings.loss,
            temperature=settings.temperature,
            optimizer=settings.optimizer,
            screen=settings.screen,
            curriculum=settings.curriculum,
        ),
        settings=settings.train,
        seed=settings.seed,
        device=compute.device,
        precision=compute.precision,
        teacher=settings.teacher,
        exclude_seen=settings.evaluate.exclude_seen,
        eval_batch_size=settings.runtime.embed_batch_size,
    )
    runtime = settings.runtime
    reporting = Reporting(folder=runtime.run_dir, logger=settings.logger, progress_bar=runtime.progress_bar, watch=watch)
    with training(towers, settings.seed):
        align(job, folder)
        fit(job, folder, reporting)
