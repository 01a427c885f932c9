from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tiny_bert import write_tiny_bert

from tt_hydra.contracts import Ragged, Side
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import Declaration, FeatureSpec, SplitSpec
from tt_hydra.data.encoded import pad_rows, tokenize
from tt_hydra.data.prepare import prepare
from tt_hydra.data.tables import Tables
from tt_hydra.errors import ConfigError
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.bert import Bert
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.static import Static
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train import align as alignment
from tt_hydra.train.align import CHECKPOINT, align, alignment_texts, distance
from tt_hydra.train.fit import SUMMARY, Reporting, TrainingJob, fit, load_weights

ITEMS = 60
Job = Callable[..., TrainingJob]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Words of letters: item i's text is two words, its query one of them and one of its own; the last fifth is for the test."""
    random = np.random.default_rng(3)
    words = ["".join(random.choice(list("abcdefghijklmnopqrstuvwxyz"), 4)) for _ in range(3 * ITEMS)]
    spread = [" ".join(" ".join(word) for word in (words[number], words[number + ITEMS])) for number in range(ITEMS)]
    asked = [" ".join(" ".join(word) for word in (words[number], words[number + 2 * ITEMS])) for number in range(ITEMS)]
    ids = [str(number) for number in range(ITEMS)]
    events = pl.DataFrame({"query": ids, "item": ids, "time": range(ITEMS)})
    features = {"text": FeatureSpec(kind="text")}
    tables = Tables(
        queries=pl.DataFrame({"id": ids, "text": asked}),
        items=pl.DataFrame({"id": ids, "text": [*spread[:-1], spread[0]], "year": range(ITEMS)}),
        interactions=events,
        declaration=Declaration(
            queries=features,
            items={**features, "year": FeatureSpec(kind="numeric")},
            split=SplitSpec(kind="random", valid=0.1, test=0.2),
        ),
        fingerprint="texts",
        display="text",
    )
    folder = tmp_path_factory.mktemp("prepared")
    prepare(tables, valid_share=0.0, seed=0, folder=folder)
    return Dataset.load(folder)


@pytest.fixture
def job(dataset: Dataset, model: str, make_job: Any) -> Job:
    def make(query: Any = None, metric: str = "cosine", **settings: Any) -> TrainingJob:
        torch.manual_seed(0)
        towers = TwoTower.build(
            query=query or student(model),
            item=Bert(model=model, freeze="none", item_max_length=32, query_max_length=32, dropout=0.0),
            schema=dataset.schema,
            text_pooling=Mean(),
            history_pooling=Mean(),
            embedding_dim=None,
            metric=metric,  # type: ignore[arg-type]
            num_items=dataset.num_items,
        )
        base = make_job(**settings)
        tokenized = dataset.tokenized(towers.tokenizers)
        return replace(base, towers=towers, dataset=tokenized, exclude_seen=False)

    return make


def student(model: str, **changes: Any) -> Static:
    """Random token vectors under the encoder's tokenizer."""
    folder = Path(model).parent / "tokenizer"
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(model) / "tokenizer.json", folder)
    return Static(model=str(folder), **{"text_dim": 32, "lr_scale": 10.0, "dropout": 0.0, **changes})


def found_share(towers: TwoTower, dataset: Dataset) -> float:
    """Share of texts whose query vector is nearest to the item vector of the same text."""
    distances = torch.cdist(*vectors(towers, dataset))
    return float((distances.diagonal()[:, None] <= distances).all(dim=1).float().mean())


def apart(job: TrainingJob) -> float:
    return float(distance(*vectors(job.towers, job.dataset), job.towers.metric))


@torch.no_grad()
def vectors(towers: TwoTower, dataset: Dataset) -> list[torch.Tensor]:
    texts, towers = alignment_texts(dataset), towers.eval()
    tokens: dict[Side, Ragged] = {side: tokenize(texts, towers.tokenizers[side]) for side in ("query", "item")}
    return [towers.embed_texts(side, pad_rows(tokens[side], np.arange(len(texts)))) for side in tokens]


def weights(towers: TwoTower) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in towers.state_dict().items()}


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_an_asymmetric_pair_starts_at_chance_and_aligned_at_the_teacher(job: Job, tmp_path: Path, metric: str) -> None:
    made = job(metric=metric, align_epochs=120)
    texts, before = len(alignment_texts(made.dataset)), weights(made.towers)
    assert found_share(made.towers, made.dataset) < 5 / texts
    align(made, tmp_path)
    assert found_share(made.towers, made.dataset) > 0.5
    after = weights(made.towers)
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("towers.item."))


def test_a_query_tower_of_fewer_layers_learns_from_the_whole_encoder(job: Job, model: str, tmp_path: Path) -> None:
    short = Bert(model=model, layers=1, freeze="none", lr_scale=0.5, query_max_length=32, dropout=0.0)
    made = job(query=short, align_epochs=60)
    with torch.no_grad():
        for name, weight in made.towers.named_parameters():
            if ".encoder.layer." in name and weight.ndim > 1:
                weight.mul_(20)  # a fresh layer does next to nothing
    before = apart(made)
    align(made, tmp_path)
    assert apart(made) < 0.2 * before


def test_the_texts_are_the_training_queries_and_all_items_once(dataset: Dataset) -> None:
    texts = alignment_texts(dataset)
    asked = dataset.query_table.texts("text").gather(np.unique(dataset.train.query_rows)).to_list()
    items = dataset.catalogue.table.texts("text").to_list()
    assert items[-1] == items[0]
    assert texts.to_list() == [*asked, *items[:-1]]
    assert not set(texts) & set(dataset.query_table.texts("text").gather(dataset.eval_part("test").query_rows))


def test_distances_by_hand() -> None:
    vectors, targets = torch.tensor([[0.6, 0.8], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert float(distance(vectors, targets, "cosine")) == pytest.approx(1 - (0.6 + 1.0) / 2)
    assert float(distance(vectors, targets, "dot")) == pytest.approx((0.16 + 0.64) / 4)


def test_an_interrupted_alignment_ends_where_an_undisturbed_one_does(
    job: Job, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir()
    halves.mkdir()
    settings = {"query": student(model, dropout=0.3), "align_epochs": 4}
    undisturbed = job(**settings)
    align(undisturbed, whole)
    stopped, epochs = job(**settings), []
    save = alignment.AtomicCheckpointIO.save_checkpoint

    def save_and_stop(self: Any, checkpoint: dict[str, Any], path: Any, **more: Any) -> None:
        save(self, checkpoint, path)
        epochs.append(checkpoint["epochs"])
        if len(epochs) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(alignment.AtomicCheckpointIO, "save_checkpoint", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        align(stopped, halves)
    resumed = job(**settings)
    align(resumed, halves)
    assert epochs == [1, 2, 3, 4]
    expected = weights(undisturbed.towers)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights(resumed.towers).items())
    again = job(**settings)
    align(again, halves)
    assert epochs == [1, 2, 3, 4], "a finished one is taken as it is"
    assert all(torch.equal(weight, expected[name]) for name, weight in weights(again.towers).items())


def test_a_damaged_checkpoint_is_told_and_left(job: Job, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"nothing")
    with caplog.at_level(logging.INFO, logger="tt_hydra.train.align"):
        align(job(align_epochs=1), tmp_path)
    first, second, *_ = [record.getMessage() for record in caplog.records if record.name == "tt_hydra.train.align"]
    assert "the alignment starts again" in first
    assert second.startswith("alignment 1: mean 1 - cosine of query and item tower on ")


def test_joint_training_starts_from_the_aligned_towers(job: Job, tmp_path: Path) -> None:
    made = job(align_epochs=2, max_epochs=0)
    align(made, tmp_path)
    aligned = weights(made.towers)
    fit(made, tmp_path, Reporting(folder=tmp_path, progress_bar=False))
    load_weights(made.towers, tmp_path / "model.safetensors")
    assert all(torch.equal(weight, aligned[name]) for name, weight in weights(made.towers).items())
    assert not (tmp_path / CHECKPOINT).exists()
    assert (tmp_path / SUMMARY).exists()
    untouched = job(align_epochs=2)
    before = weights(untouched.towers)
    align(untouched, tmp_path)
    assert all(torch.equal(weight, before[name]) for name, weight in weights(untouched.towers).items()), (
        "a finished training is no more aligned"
    )


def test_nothing_happens_unless_it_is_asked_for(job: Job, tmp_path: Path) -> None:
    made = job()
    before = weights(made.towers)
    align(made, tmp_path)
    assert not list(tmp_path.iterdir())
    assert all(torch.equal(weight, before[name]) for name, weight in weights(made.towers).items())


def test_the_random_state_is_left_alone(job: Job, tmp_path: Path) -> None:
    made = job(align_epochs=1)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    align(made, tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_sides_that_cannot_be_aligned_are_refused(job: Job, make_job: Any, tmp_path: Path, model: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.align_epochs is set, but the query side has no text"):
        align(make_job(align_epochs=1, tower=Mlp()), tmp_path)
    made = job(align_epochs=1)
    schema = dataclasses.replace(made.dataset.schema, item=made.dataset.schema.query)
    tied = TwoTower.build(
        query=Mlp(),
        item=Mlp(),
        schema=schema,
        text_pooling=Mean(),
        history_pooling=Mean(),
        embedding_dim=4,
        metric="dot",
        num_items=3,
    )
    with pytest.raises(ConfigError, match="both sides share one tower"):
        align(replace(made, towers=tied), tmp_path)
