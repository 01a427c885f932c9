"""Mining beside a training: when, with which weights, and that nothing else of the training changes."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tt_hydra.contracts import DrawRequest
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.negatives.mined import FittedMined, Mined
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.train import fit as fitting
from tt_hydra.train import mining
from tt_hydra.train.fit import TrainingJob
from tt_hydra.train.mining import Miner, Mining

STEPS = 3
"""Of an epoch."""
MINED = Mined(margin=None, per_query=2, top=8, last=8)


class Broken(Exception):
    pass


def miner_of(job: TrainingJob, folder: Path, spec: Mined = MINED) -> Miner:
    sampler = spec.fit(job.dataset.training_view())
    build = partial(build_index, spec.index, NoQuantization(), metric=job.towers.metric, seed=0)
    return Miner(dataset=job.dataset, sampler=sampler, build_index=build, folder=folder)


def test_negatives_are_the_nearest_items_that_are_no_positive(make_job: Callable[..., TrainingJob], tmp_path: Path) -> None:
    job = make_job()
    pool, report = miner_of(job, tmp_path).pool(job.towers, "key")
    dataset, towers = job.dataset, job.towers.eval()
    last = {query: number for number, query in enumerate(dataset.train.query_rows.tolist())}
    content = dataset.training_view().content()
    with torch.inference_mode():
        items = torch.nn.functional.normalize(towers.embed_items(dataset.items(np.arange(dataset.num_items))), dim=1)
        for question, query in enumerate(sorted(last)):
            vector = torch.nn.functional.normalize(towers.embed_queries(dataset.queries("train", np.array([last[query]]))), dim=1)
            scores = (items @ vector[0]).numpy()
            banned = {int(content[row]) for row in dataset.known.row(query)}
            expected: list[int] = []
            for row in np.argsort(-scores, kind="stable"):
                if content[row] not in banned:
                    banned.add(int(content[row]))
                    expected.append(int(row))
            assert pool.candidates.row(question).tolist() == expected[:8]
    assert report is not None
    assert report.pairs == len(np.unique(dataset.train.query_rows * dataset.num_items + dataset.train.item_rows))


def test_mining_leaves_mode_and_random_state_as_they_were(make_job: Callable[..., TrainingJob], tmp_path: Path) -> None:
    job = make_job()
    job.towers.train()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    miner_of(job, tmp_path).pool(job.towers, "key")
    assert job.towers.training
    assert torch.equal(torch.rand(2), expected)


def test_a_pool_is_kept_by_the_hash_of_weights_settings_and_data(make_job: Callable[..., TrainingJob], tmp_path: Path) -> None:
    job = make_job()
    miner = miner_of(job, tmp_path)
    key = miner.key(job.towers)
    first, _ = miner.pool(job.towers, key)
    again, report = miner_of(job, tmp_path).pool(job.towers, miner_of(job, tmp_path).key(job.towers))
    assert report is None
    assert np.array_equal(first.candidates.values, again.candidates.values)
    assert np.array_equal(first.positive_scores, again.positive_scores)
    others = {miner_of(job, tmp_path, dataclasses.replace(MINED, top=9)).key(job.towers)}
    others.add(miner_of(make_job("no_validation"), tmp_path).key(job.towers))
    with torch.no_grad():
        next(job.towers.parameters()).view(-1)[0] += 1e-6
    others.add(miner.key(job.towers))
    assert len(others | {key}) == 4


def needed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int | None]]:
    """(step, step before which its pool was mined) of every draw."""
    seen: list[tuple[int, int | None]] = []
    draw = FittedMined.draw

    def told(self: FittedMined, request: DrawRequest, generator: np.random.Generator) -> Any:
        drawn = draw(self, request, generator)
        mined = self.spec.needed(request.step, self.steps_per_epoch)
        assert len(drawn.rows) == (0 if mined is None else 2 * len(request.examples))
        seen.append((request.step, mined))
        return drawn

    monkeypatch.setattr(FittedMined, "draw", told)
    return seen


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [None] * 3 + [3] * 3 + [6] * 3 + [9] * 3),
        ({"start": 0, "every": 2}, [0] * 6 + [6] * 6),
        ({"refresh": "asynchronous"}, [None] * 6 + [3] * 3 + [6] * 3),
        ({"unit": "steps", "every": 2}, [None] * 4 + [3, 3, 5, 5, 7, 7, 9, 9]),
        ({"unit": "steps", "every": 2, "refresh": "asynchronous", "start": 0}, [None] * 3 + [0, 0, 2, 2, 4, 4, 6, 6, 8]),
        ({"start": 9}, [None] * 12),
    ],
    ids=str,
)
def test_each_step_draws_from_the_pool_that_is_due(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: list[int | None]
) -> None:
    seen = needed(monkeypatch)
    train(negatives=dataclasses.replace(MINED, **changes))
    assert sorted(set(seen)) == list(enumerate(expected))


@pytest.mark.parametrize("refresh", ["between", "asynchronous"])
def test_mining_beside_the_training_waits_where_it_is_not_ready(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, refresh: Any, tmp_path: Path
) -> None:
    """However slow the mining, what comes out is the same."""
    spec = dataclasses.replace(MINED, refresh=refresh, unit="steps", every=2)
    expected = (train(tmp_path / "a", negatives=spec) / fitting.WEIGHTS).read_bytes()
    pool = Miner.pool

    def slow(self: Miner, *arguments: Any) -> Any:
        threading.Event().wait(0.2)
        return pool(self, *arguments)

    monkeypatch.setattr(Miner, "pool", slow)
    assert (train(tmp_path / "b", negatives=spec) / fitting.WEIGHTS).read_bytes() == expected


def test_an_error_in_the_thread_ends_the_training(train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise Broken

    monkeypatch.setattr(mining, "mine", broken)
    with pytest.raises((Broken, RuntimeError)):
        train(negatives=dataclasses.replace(MINED, refresh="asynchronous", unit="steps"))


def test_the_table_says_what_was_removed_and_how_good_the_index_is(
    make_job: Callable[..., TrainingJob], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = make_job()
    caplog.set_level(logging.INFO)
    miner_of(job, tmp_path, dataclasses.replace(MINED, index=Hnsw(), margin=0.9)).pool(job.towers, "key")
    for part in ("removed: known positive", "kept", "too close to the positive", "have no mined negative", "mean similarity", "recall@8"):
        assert part in caplog.text
    caplog.clear()
    miner_of(job, tmp_path, dataclasses.replace(MINED, index=Flat())).pool(job.towers, "other")
    assert "recall@" not in caplog.text


def test_pools_that_are_gone_are_mined_anew(make_job: Callable[..., TrainingJob], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    callback = Mining(miner_of(make_job(), tmp_path), STEPS)
    callback.load_state_dict({"pools": {"3": "gone"}})
    assert "are gone" in caplog.text
    assert callback.state_dict() == {"pools": {}}
