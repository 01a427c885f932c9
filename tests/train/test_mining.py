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
import polars as pl
import pytest
import torch

from tt_hydra.contracts import DrawRequest, NegativeSampler
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import Declaration, FeatureSpec, SplitSpec
from tt_hydra.data.prepare import prepare
from tt_hydra.data.tables import Tables
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.metrics.exact import exact_search
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.negatives.mined import FittedMined, Mined
from tt_hydra.pooling.mean import Mean
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.tower.finish import Finish
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train import fit as fitting
from tt_hydra.train import mining
from tt_hydra.train.encode import embed_examples, embed_items
from tt_hydra.train.fit import WEIGHTS, Reporting, TrainingJob, load_weights
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


@pytest.mark.parametrize(("margin", "warned"), [(2.0, True), (None, False)])
def test_a_margin_that_leaves_most_pairs_nothing_is_a_warning(
    make_job: Callable[..., TrainingJob], tmp_path: Path, caplog: pytest.LogCaptureFixture, margin: float | None, warned: bool
) -> None:
    """No cosine is 2 below another, but for opposite vectors."""
    job = make_job()
    with caplog.at_level("WARNING"):
        miner_of(job, tmp_path, dataclasses.replace(MINED, margin=margin, margin_kind="absolute")).pool(job.towers, "key")
    assert ("negatives.margin=2.0 lets pass" in caplog.text) == warned


def test_mining_leaves_mode_and_random_state_as_they_were(make_job: Callable[..., TrainingJob], tmp_path: Path) -> None:
    job = make_job()
    job.towers.train()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    miner_of(job, tmp_path).pool(job.towers, "key")
    assert job.towers.training
    assert torch.equal(torch.rand(2), expected)


def test_the_same_weights_compared_otherwise_have_another_pool(make_job: Callable[..., TrainingJob], tmp_path: Path) -> None:
    job = make_job()
    keys = set()
    for finish in (Finish("cosine"), Finish("dot"), Finish("dot", item_bias=True)):
        job.towers.finish = finish
        keys.add(miner_of(job, tmp_path).key(job.towers))
    assert len(keys) == 3


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


TOPICS, OF_A_TOPIC, WAYS = 20, 20, 3


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Items of twenty topics, which a batch of other topics tells apart at once, but not the twenty items of one topic."""
    size = TOPICS * OF_A_TOPIC
    asked = [(item, way) for item in range(size) for way in range(WAYS)]
    text = {"text": FeatureSpec(kind="text")}
    texts = [f"about{item // OF_A_TOPIC} ask{item}" + (f" way{way}" if way else "") for item, way in asked]
    tables = Tables(
        queries=pl.DataFrame({"id": [f"q{number}" for number in range(len(asked))], "text": texts}),
        items=pl.DataFrame({"id": [f"d{item}" for item in range(size)], "text": [f"topic{i // OF_A_TOPIC} item{i}" for i in range(size)]}),
        interactions=pl.DataFrame(
            {
                "query": [f"q{number}" for number in range(len(asked))],
                "item": [f"d{item}" for item, _ in asked],
                "split": ["train" if way < WAYS - 1 else "test" for _, way in asked],
            }
        ),
        declaration=Declaration(queries=text, items=text, split=SplitSpec(kind="given")),
        fingerprint="-",
    )
    folder = tmp_path_factory.mktemp("topics")
    prepare(tables, valid_share=0.0, folder=folder)
    return Dataset.load(folder)


def test_filtered_mined_negatives_teach_what_a_batch_does_not_show(
    topics: Dataset, make_job: Callable[..., TrainingJob], tmp_path: Path
) -> None:
    def hits(negatives: NegativeSampler, folder: Path) -> float:
        """Share of the test questions whose first result is the answer."""
        folder.mkdir()
        torch.manual_seed(0)
        tower = Mlp(feature_dim=16, text_buckets=4096, dropout=0.0)
        towers = TwoTower.build(
            query=tower,
            item=tower,
            schema=topics.schema,
            text_pooling=Mean(),
            history_pooling=Mean(),
            embedding_dim=16,
            metric="cosine",
            num_items=topics.num_items,
        )
        dataset, sampler = topics.tokenized(towers.tokenizers), negatives.fit(topics.training_view())
        job = make_job(towers=towers, dataset=dataset, sampler=sampler, max_epochs=2, batch_size=8, exclude_seen=False)
        fitting.fit(job, folder, Reporting(folder=folder, progress_bar=False))
        load_weights(towers, folder / WEIGHTS)
        part = topics.eval_part("test")
        queries = embed_examples(towers, dataset, "test", np.arange(len(part)), 256)
        found = exact_search(queries, embed_items(towers, dataset, 256), 1, "cosine").rows[:, 0]
        return float((found == part.relevant.values).mean())

    mined = Mined(per_query=4, top=20, last=20, margin=0.98, start=0)
    assert hits(mined, tmp_path / "mined") > hits(InBatch(), tmp_path / "in_batch") + 0.05
