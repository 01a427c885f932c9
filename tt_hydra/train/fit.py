"""One training, from untrained towers to the best epoch's weights, resumable at every epoch."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from safetensors.torch import load_file

from tt_hydra.contracts import FittedSampler, Teacher, Watch
from tt_hydra.data.dataset import Dataset
from tt_hydra.errors import ConfigError, Pruned, interruption
from tt_hydra.index.build import build_index
from tt_hydra.negatives.mined import FittedMined
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.tower.autocast import Precision
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.budget import within_budget
from tt_hydra.train.callbacks import EpochBar, ItemTexts, OwnSignals
from tt_hydra.train.datamodule import BatchModule, EpochBatches, Passed, epoch_examples, num_batches
from tt_hydra.train.encode import refresh_item_text
from tt_hydra.train.guide import guide_vectors
from tt_hydra.train.loggers import LoggerSpec
from tt_hydra.train.mining import Miner, Mining
from tt_hydra.train.module import Objective, OwnReduction, RetrievalModule
from tt_hydra.train.precision import LIGHTNING_NAMES, Device
from tt_hydra.train.queue import VectorQueue
from tt_hydra.train.rank import by_torchrun, is_follower, lead
from tt_hydra.train.selection import AtomicCheckpointIO, CurvePoint, Selection, save_weights
from tt_hydra.train.settings import TrainSettings
from tt_hydra.train.shards import in_order_of_all
from tt_hydra.train.summary import SUMMARY, TrainingSummary
from tt_hydra.train.teaching import teaching
from tt_hydra.train.validate import tell_hidden, validation_figures

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
MINED = "mined"
FEW_NEGATIVES = 1000
UNREADABLE = (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError)
"""What torch raises for a damaged file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """What is trained on what, and how; ``dataset`` is tokenized."""

    towers: TwoTower
    dataset: Dataset
    sampler: FittedSampler
    objective: Objective
    settings: TrainSettings
    seed: int
    device: Device
    precision: Precision
    exclude_seen: bool
    eval_batch_size: int
    teacher: Teacher | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reporting:
    """Where the progress of a training is shown; changes nothing of its result. ``watch`` may end it without one."""

    folder: Path
    logger: LoggerSpec | None = None
    progress_bar: bool = True
    watch: Watch | None = None


def fit(job: TrainingJob, folder: Path, reporting: Reporting) -> None:
    """Trains into ``folder`` (``model.safetensors``, ``training.json``), going on from what an interrupted training left there."""
    if not (folder / SUMMARY).exists():
        _fit(job, folder, reporting)
    if not is_follower():
        for leftover in (*folder.glob("best-*.safetensors"), *folder.glob("*.ckpt")):
            leftover.unlink()
        shutil.rmtree(folder / MINED, ignore_errors=True)


def _fit(job: TrainingJob, folder: Path, reporting: Reporting) -> None:
    if job.settings.max_epochs == 0 and is_follower():
        return
    if job.settings.max_epochs == 0:
        save_weights(job.towers, folder / WEIGHTS)
        _summary(job, [], -1).save(folder)
        return
    job.dataset.require_training_pairs()
    _require_weights(job.towers)
    _require_shares(job)
    selection = _selection(job, folder, reporting.watch)
    _train(job, folder, selection, reporting)
    if selection.pruned:
        raise Pruned(f"the training was ended after {len(selection.curves)} epochs as not worth going on")
    if not is_follower():
        shutil.copyfile(selection.best_path, folder / WEIGHTS)
        _summary(job, selection.curves, selection.best_epoch).save(folder)


def _require_weights(towers: TwoTower) -> None:
    if not any(parameter.requires_grad for parameter in towers.parameters()):
        raise ConfigError(
            "neither tower has a weight to train: text encoders are frozen, and nothing stands on top of them. Set tower.freeze=none or "
            "tower.hidden_dims=[256], or train.max_epochs=0 to measure the towers as they are"
        )


def _require_shares(job: TrainingJob) -> None:
    examples, ranks = _examples(job), job.settings.world_size
    if examples // num_batches(examples, job.settings.batch_size) < ranks:
        raise ConfigError(f"{ranks} processes share batches of {examples} training pairs, fewer than one each: use train.devices=1")


def _examples(job: TrainingJob) -> int:
    """Training pairs of an epoch."""
    return epoch_examples(len(job.dataset.train), job.settings.epoch_pairs)


def load_weights(towers: TwoTower, path: Path) -> None:
    """Puts saved weights into towers of the same make."""
    towers.load_state_dict(load_file(path))


def _selection(job: TrainingJob, folder: Path, watch: Watch | None) -> Selection:
    validate = None
    part = job.dataset.eval_part("valid")
    if len(part) and job.exclude_seen and not is_follower():
        tell_hidden(part)
    if len(part):
        validate = partial(
            validation_figures,
            dataset=job.dataset,
            exclude_seen=job.exclude_seen,
            batch_size=job.eval_batch_size,
            precision=job.precision,
        )
    return Selection(folder, validate, f"valid/model/{job.settings.monitor}", job.settings.patience, watch)


def _train(job: TrainingJob, folder: Path, selection: Selection, reporting: Reporting) -> None:
    checkpoint = folder / "last.ckpt"
    resumed = _resumes(selection, checkpoint)
    total_steps = job.settings.max_epochs * num_batches(_examples(job), job.settings.batch_size)
    _log_effective_batch(job, total_steps)
    if selection.stopped or len(selection.curves) >= job.settings.max_epochs:
        return
    guide = guide_vectors(job.objective.screen, job.dataset.training_view())
    queue = VectorQueue(job.sampler.memory, job.towers.dim, 0 if guide is None else guide.width) if job.sampler.memory else None
    template = EpochBatches(
        dataset=job.dataset,
        sampler=job.sampler,
        batch_size=job.settings.batch_size,
        seed=job.seed,
        guide=guide,
        teaching=teaching(job.teacher, job.dataset),
        prefetch=job.settings.prefetch,
        taken=job.settings.epoch_pairs,
    )
    if job.settings.memory_gb is not None:
        first = next(iter(replace(template, world_size=job.settings.world_size, prefetch=False, passed=Passed())))
        job = within_budget(job, first, _refresh(job))
    module = RetrievalModule(job.towers, job.objective, job.settings, total_steps, job.seed, queue)
    data = BatchModule(replace(template, hardness=module.hardness))
    trainer = _trainer(job, selection, reporting, module.reduces_itself)
    if resumed:
        logger.info("resuming the training after epoch %d of at most %d", len(selection.curves), job.settings.max_epochs)
    try:
        with _process_as_before(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint if resumed else None)
            if dist.is_initialized():
                dist.destroy_process_group()  # what comes after the training is the first rank's alone
    except SystemExit as stop:
        interrupt = interruption(stop)  # which Lightning answers with an exit
        raise stop if interrupt is None else interrupt from None


def _resumes(selection: Selection, checkpoint: Path) -> bool:
    """Whether there is a training to go on with; what it chose so far is taken up."""
    if not checkpoint.exists():
        return False
    try:
        return selection.resumes(torch.load(checkpoint, weights_only=True, map_location="cpu"))
    except UNREADABLE as error:
        logger.warning("%s cannot be read (%s): training starts again", checkpoint, error)
        return False


@contextmanager
def _process_as_before() -> Iterator[None]:
    """Takes back what several ranks need: a share of the cores each, and addresses in the environment."""
    threads, environment = torch.get_num_threads(), dict(os.environ)
    if not is_follower():
        lead()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        os.environ.clear()
        os.environ.update(environment)


def _trainer(job: TrainingJob, selection: Selection, reporting: Reporting, reduces_itself: bool) -> pl.Trainer:
    settings = job.settings
    several = settings.world_size > 1 or settings.strategy == "ddp"
    kind = OwnReduction if reduces_itself else DDPStrategy
    strategy = kind(find_unused_parameters=True, broadcast_buffers=False) if several else "auto"
    callbacks: list[pl.Callback] = [OwnSignals(), *([EpochBar()] if reporting.progress_bar else []), ItemTexts(_refresh(job))]
    callbacks += [*_mining(job, selection.folder), selection]
    for name in ("pytorch_lightning", "lightning_fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return pl.Trainer(
        accelerator=job.device,
        devices=settings.devices,
        num_nodes=settings.num_nodes or 1,
        strategy=strategy,
        precision=LIGHTNING_NAMES[job.precision],  # type: ignore[arg-type]
        max_epochs=settings.max_epochs,
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), TorchElasticEnvironment() if by_torchrun() else LightningEnvironment()],
        logger=False if reporting.logger is None else reporting.logger.build(reporting.folder),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=reporting.folder,
    )


def _refresh(job: TrainingJob) -> Callable[[TwoTower], None]:
    return partial(
        refresh_item_text, dataset=job.dataset, batch_size=job.eval_batch_size, precision=job.precision, gathered=in_order_of_all
    )


def _mining(job: TrainingJob, folder: Path) -> list[pl.Callback]:
    """What gives a sampler of mined negatives its pools; it comes after the items' texts are fresh, before a checkpoint is saved."""
    sampler = job.sampler
    if not isinstance(sampler, FittedMined):
        return []
    build = partial(build_index, sampler.spec.index, NoQuantization(), metric=job.towers.metric, seed=job.seed)
    miner = Miner(
        dataset=job.dataset,
        sampler=sampler,
        build_index=build,
        folder=folder / MINED,
        batch_size=job.eval_batch_size,
        precision=job.precision,
    )
    return [Mining(miner, num_batches(_examples(job), job.settings.batch_size))]


def _log_effective_batch(job: TrainingJob, total_steps: int) -> None:
    examples = _examples(job)
    per_step = min(job.settings.batch_size, -(-examples // num_batches(examples, job.settings.batch_size)))
    logger.info(
        "training on %d pairs: effective batch %d over %d device(s), %s precision, at most %d steps",
        examples, per_step, job.settings.world_size, job.precision, total_steps,
    )  # fmt: skip
    if job.sampler.in_batch and per_step < FEW_NEGATIVES:
        logger.warning(
            "an effective batch of %d gives fewer than %d in-batch negatives: raise train.batch_size, or draw some with negatives=uniform",
            per_step, FEW_NEGATIVES,
        )  # fmt: skip


def _summary(job: TrainingJob, curves: list[CurvePoint], best_epoch: int) -> TrainingSummary:
    seconds = sum(point["seconds"] for point in curves)
    return TrainingSummary(
        epochs=len(curves),
        best_epoch=best_epoch,
        examples_per_s=len(curves) * _examples(job) / seconds if seconds else 0.0,
        batch_size=job.settings.batch_size,
        precision=job.precision,
        curves=curves,
    )
