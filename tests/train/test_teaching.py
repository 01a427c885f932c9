"""A teacher is asked for each pair once, and never for what the data says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tt_hydra.contracts import Drawn, FloatArray, Origin, Ragged
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.pairs import Pairs
from tt_hydra.data.prepare import prepare
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.given import Given
from tt_hydra.train.datamodule import EpochBatches
from tt_hydra.train.teaching import RECORD, Scores, teaching


@dataclass
class Lengths:
    """A teacher whose score is ten times the length of the question, plus that of the item."""

    fingerprint: str = "f"
    asked: list[tuple[str, str]] = field(default_factory=list)

    def build(self) -> Lengths:
        return self

    def __call__(self, questions: Sequence[str], items: Sequence[str]) -> FloatArray:
        self.asked += zip(questions, items, strict=True)
        return np.float32([10 * len(question) + len(item) for question, item in zip(questions, items, strict=True)])


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("TT_HYDRA_CACHE", str(tmp_path / "cache"))
    rows = [
        '{"query": "a", "positive": "x", "s": 0.5, "negatives": ["yy", "zzz"], "ns": [7, null]}',
        '{"query": "bb", "positive": "yy", "s": null, "negatives": ["x"], "ns": [null]}',
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    (tmp_path / "test.jsonl").write_text(rows[0])
    source = Pairs(path=str(tmp_path), teacher="s", negatives_teacher="ns", valid_share=0.0)
    (tmp_path / "prepared").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tt_hydra.data.pairs.find_files", lambda path, where: found(tmp_path))
        prepare(source.read(), folder=tmp_path / "prepared")
    return Dataset.load(tmp_path / "prepared")


def found(folder: Path) -> Any:
    from tt_hydra.data.reading import DataFile  # noqa: PLC0415

    return [DataFile(folder / name, name) for name in ("train.jsonl", "test.jsonl")]


def drawn(owner: list[int], rows: list[int], teacher: list[float]) -> Drawn:
    whole = np.array(owner, np.int64)
    return Drawn(rows=np.array(rows), origin=np.full(len(owner), int(Origin.GIVEN)), owner=whole, teacher=np.float32(teacher))


def test_positives_and_named_negatives_are_rated_before_the_training(dataset: Dataset) -> None:
    teacher = Lengths()
    made = teaching(teacher, dataset)
    assert sorted(teacher.asked) == [("a", "zzz"), ("bb", "x"), ("bb", "yy")]
    assert made.of_examples(np.array([1, 0, 1])).tolist() == [22, 0.5, 22]
    assert len(teacher.asked) == 3


def test_only_rows_that_belong_to_a_query_are_rated(dataset: Dataset) -> None:
    teacher = Lengths()
    made = teaching(teacher, dataset)
    item = {text: row for row, text in enumerate(dataset.training_view().item_texts())}
    examples = np.array([1, 0])
    told = made.of_drawn(drawn([0, 1, -1, 1], [item["zzz"], item["yy"], item["x"], item["zzz"]], [np.nan, 7, np.nan, np.nan]), examples)
    assert np.array_equal(told.teacher, np.float32([23, 7, np.nan, 13]), equal_nan=True)


def test_another_training_asks_for_nothing_that_is_known(dataset: Dataset) -> None:
    teaching(Lengths(), dataset)
    again = Lengths()
    made = teaching(again, dataset)
    assert again.asked == []
    assert made.of_examples(np.array([1])).tolist() == [22]
    other = Lengths(fingerprint="other weights")
    teaching(other, dataset)
    assert len(other.asked) == 3


def test_half_a_record_of_a_killed_process_is_cut_off(tmp_path: Path) -> None:
    scores = Scores.open(tmp_path / "a.scores")
    scores.add(np.array([4, 9]), np.float32([1, 2]))
    with scores.path.open("ab") as file:
        file.write(b"12345")
    again = Scores.open(scores.path)
    again.add(np.array([6]), np.float32([3]))
    last = Scores.open(scores.path)
    assert last.of(np.array([9, 6, 4])).tolist() == [2, 3, 1]
    assert last.missing(np.array([5, 4, 5, 6])).tolist() == [5]
    assert scores.path.stat().st_size == 3 * RECORD.itemsize


def test_no_teacher_no_teaching(dataset: Dataset) -> None:
    assert teaching(None, dataset) is None


def test_sides_without_text_are_refused(make_job: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="a cross-encoder reads texts, and the query side has none"):
        teaching(Lengths(), make_job().dataset)


def letters(texts: Sequence[str]) -> Ragged:
    """A token for each letter."""
    return Ragged(np.array([ord(letter) for text in texts for letter in text], np.int32), np.cumsum([0, *map(len, texts)]))


def test_a_batch_goes_along_with_the_scores_of_its_pairs(dataset: Dataset) -> None:
    teacher = Lengths()
    batches = EpochBatches(
        dataset=dataset.tokenized({"query": letters, "item": letters}),
        sampler=Given(per_query=2).fit(dataset.training_view()),
        batch_size=2,
        seed=0,
        teaching=teaching(teacher, dataset),
    )
    (batch,) = batches
    queries, items = ["a", "bb"], list(dataset.training_view().item_texts())
    of_row = [queries[row] for row in batch.queries.rows.tolist()]
    assert dict(zip(of_row, batch.teacher.tolist(), strict=True)) == {"a": 0.5, "bb": 22}
    pairs = zip(batch.own.query.tolist(), batch.own.column.tolist(), batch.own.teacher.tolist(), strict=True)
    told = {(of_row[query], items[batch.item_rows[column]]): score for query, column, score in pairs}
    assert told == {("a", "yy"): 7, ("a", "zzz"): 13, ("bb", "x"): 21}
    assert len(teacher.asked) == 3
