"""run: from raw interactions to a measured, searchable bundle."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tt_hydra.artifact.files import write_json
from tt_hydra.artifact.store import Store
from tt_hydra.component import option_of
from tt_hydra.contracts import Watch
from tt_hydra.data.dataset import Dataset
from tt_hydra.errors import ConfigError
from tt_hydra.index.check import check_pair, check_prefix
from tt_hydra.index.threads import threads as index_threads
from tt_hydra.loss.matryoshka import trained_prefixes
from tt_hydra.pipeline.limits import missed
from tt_hydra.pipeline.session import Session, StageRecord
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage import embed as embedding
from tt_hydra.pipeline.stage import evaluate as evaluation
from tt_hydra.pipeline.stage import index as indexing
from tt_hydra.pipeline.stage.bundle import bundle
from tt_hydra.pipeline.stage.folders import Folders
from tt_hydra.pipeline.stage.prepare import log_counts, prepare
from tt_hydra.pipeline.stage.report import Story, report
from tt_hydra.pipeline.stage.resolved import resolve_compute, resolved_nodes
from tt_hydra.pipeline.stage.table import machine
from tt_hydra.pipeline.stage.towers import build_towers
from tt_hydra.pipeline.stage.train import train
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.fit import WEIGHTS, load_weights
from tt_hydra.train.memory import keep_freed_memory
from tt_hydra.train.rank import is_follower, nodes
from tt_hydra.train.summary import TrainingSummary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left: ``metrics`` are those of ``metrics.json``, ``curve`` the validation figure that chose the epoch, after each."""

    run_dir: Path
    metrics: Mapping[str, float]
    stages: Mapping[str, StageRecord]
    curve: Sequence[float] = ()


def run(
    settings: RunSettings, command: str = "", changed: Mapping[str, tuple[Any, Any]] | None = None, watch: Watch | None = None
) -> RunResult:
    """Goes through all stages; writes ``metrics.json``, ``per_query_<part>.parquet``, ``bundle/`` and ``report.html`` for the run.

    Args:
        settings: everything that can be told.
        command: the command line, for the report.
        changed: settings that differ from the defaults, for the report.
        watch: told the validation figure of each epoch that is trained now; may end the training.

    Raises:
        Pruned: ``watch`` ended the training.
    """
    settings = replace(settings, train=replace(settings.train, num_nodes=nodes(settings.train.devices, settings.train.num_nodes)))
    threads = settings.runtime.threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    keep_freed_memory()
    with index_threads(threads), Store(settings.runtime.outputs / "store") as store:
        session = Session(store, settings, watch)
        folders, dataset, towers = _stages(session)
        metrics = _metrics(session, folders)
        started = time.perf_counter()
        story = Story(command=command, changed=changed or {}, warnings=_warnings(settings, dataset, metrics))
        if settings.runtime.bundle:
            bundle(settings, folders, dataset, towers, resolve_compute(settings, dataset).precision, metrics)
        if settings.runtime.report:
            report(settings, folders, dataset, metrics, story)
        evaluation.copy_per_query(folders.evaluate, settings.runtime.run_dir)
        indexing.copy_frontier(folders.index, settings.runtime.run_dir)
        metrics |= {"stage/report/seconds": time.perf_counter() - started, "stage/report/reused": 0.0}
    write_json(settings.runtime.run_dir / "metrics.json", dict(sorted(metrics.items())))
    if settings.runtime.set_latest:
        point_latest(settings.runtime.outputs / "run" / "latest", settings.runtime.run_dir)
    return RunResult(settings.runtime.run_dir, metrics, session.records, _curve(settings, folders))


def _stages(session: Session) -> tuple[Folders, Dataset, TwoTower | None]:
    settings = session.settings
    prepared = session.stage(
        "prepare",
        {"data": settings.data.fingerprint()},
        _title(settings.data),
        lambda folder: prepare(settings.data, settings.seed, folder),
    )
    dataset = Dataset.load(prepared)
    if not is_follower() and session.records["prepare"].reused:
        log_counts(dataset)
    towers = trained = None
    if dataset.vectors is None:
        towers = build_towers(settings, dataset)
        dataset = dataset.tokenized(towers.tokenizers)
        trained = _train(session, dataset, towers)
        load_weights(towers.eval(), trained / WEIGHTS)
    embedded = _embed(session, dataset, towers)
    if towers is not None:
        embedding.recall_item_text(towers, embedded)
    indexed = session.stage(
        "index",
        indexing.resolved(settings),
        _title(settings.index, settings.quantization),
        lambda folder: indexing.index(settings, dataset, embedded, folder),
    )
    evaluated = _evaluate(session, dataset, towers, embedded, indexed)
    return Folders(prepared, trained, embedded, indexed, evaluated), dataset, towers


def _train(session: Session, dataset: Dataset, towers: TwoTower) -> Path:
    settings = session.settings
    _refuse_early(settings, dataset, towers.dim)
    compute = resolve_compute(settings, dataset)
    title = _title(settings.query_tower or settings.tower, settings.item_tower or settings.tower, settings.loss, settings.negatives)
    return session.stage(
        "train", resolved_nodes(settings, compute), title, lambda folder: train(settings, dataset, towers, compute, folder, session.watch)
    )


def _embed(session: Session, dataset: Dataset, towers: TwoTower | None) -> Path:
    settings = session.settings
    if towers is None:
        session.skip("train")
        return _given(session, dataset)
    compute, batch_size = resolve_compute(settings, dataset), settings.runtime.embed_batch_size
    title = {"title": f"{dataset.num_items} items, {towers.dim} dimensions"}
    return session.stage(
        "embed", {"precision": compute.precision}, title, lambda folder: embedding.embed(towers, dataset, compute, batch_size, folder)
    )


def _given(session: Session, dataset: Dataset) -> Path:
    """Ready-made vectors in place of a training."""
    vectors, share, seed = dataset.vectors, embedding.given_share(session.settings.data), session.settings.seed
    assert vectors is not None
    return session.stage("embed", {"seed": seed}, {"title": "given vectors"}, lambda folder: embedding.given(vectors, share, seed, folder))


def _evaluate(session: Session, dataset: Dataset, towers: TwoTower | None, embedded: Path, indexed: Path) -> Path:
    settings = session.settings

    def fill(folder: Path) -> None:
        job = evaluation.Evaluation(
            dataset=dataset,
            towers=towers,
            index=indexing.load(embedded, indexed),
            embedding=embedded,
            building=indexed,
            settings=settings.evaluate,
            budget=settings.budget,
            seed=settings.seed,
            precision=resolve_compute(settings, dataset).precision,
            prefixes=() if towers is None else trained_prefixes(settings.loss),
        )
        evaluation.evaluate(job, folder)

    return session.stage("evaluate", {**machine(), "threads": torch.get_num_threads()}, {"title": "measurements"}, fill)


def _refuse_early(settings: RunSettings, dataset: Dataset, dim: int) -> None:
    """What can be known before a training must not come out after it."""
    if settings.train.max_epochs:
        dataset.require_training_pairs()
    if getattr(settings.negatives, "requires_given", False) and dataset.train.negatives is None:
        raise ConfigError(
            "negatives=given, but the data names no negatives: use data=pairs with a column of negatives, or negatives=in_batch"
        )
    check_prefix(settings.prefix_dim, dim)
    check_pair(settings.index, settings.quantization, settings.prefix_dim or dim, dataset.num_items)


def _title(*components: object) -> dict[str, str]:
    names = dict.fromkeys(map(option_of, components))
    return {"title": " + ".join(names)}


def _metrics(session: Session, folders: Folders) -> dict[str, float]:
    metrics = {**evaluation.load_metrics(folders.evaluate), **evaluation.embedding_metrics(folders.embed), **session.metrics()}
    if folders.train is not None:
        summary = TrainingSummary.load(folders.train)
        metrics |= {"train/examples_per_s": summary.examples_per_s, "train/epochs": float(summary.epochs)}
    return metrics


def _curve(settings: RunSettings, folders: Folders) -> list[float]:
    points = [] if folders.train is None else TrainingSummary.load(folders.train).curves
    key = f"valid/model/{settings.train.monitor}"
    return [point[key] for point in points if key in point]


def _warnings(settings: RunSettings, dataset: Dataset, metrics: Mapping[str, float]) -> list[str]:
    found = [f"the budget is not met: {limit}" for limit in missed(settings.budget, metrics)]
    if dataset.vectors is None and not len(dataset.eval_part("test")):
        found.append("there are no test queries: no figure of this run says what new queries get")
    if settings.train.max_epochs and dataset.vectors is None and not len(dataset.eval_part("valid")):
        found.append("there were no validation queries: the last epoch was kept, nothing was chosen by validation recall")
    for text in found:
        logger.warning(text)
    return found


def point_latest(link: Path, run_dir: Path) -> None:
    """Lets ``link`` point to the newest finished run, atomically."""
    unfinished = link.with_name(f".{link.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    unfinished.symlink_to(os.path.relpath(run_dir.resolve(), link.parent.resolve()), target_is_directory=True)
    unfinished.replace(link)
