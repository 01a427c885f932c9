from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tt_hydra.contracts import Ragged
from tt_hydra.data import encoded
from tt_hydra.data.encoded import EncodedTable, pad_ranges, tokenize
from tt_hydra.tower.tokenizer import HashTokenizer


def words(texts):
    rows = [[len(word) for word in text.split()] for text in texts]
    return Ragged(np.array([token for row in rows for token in row], np.int64), np.cumsum([0] + [len(row) for row in rows]))


def test_ranges_are_padded_to_the_longest():
    padded = pad_ranges(np.array([5, 6, 7, 8]), np.array([1, 4, 0]), np.array([2, 0, 3]))
    assert padded.ids.tolist() == [[6, 7, 0], [0, 0, 0], [5, 6, 7]]
    assert padded.mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]


@pytest.mark.parametrize("rows", [0, 2])
def test_nothing_but_empty_ranges_still_has_one_position(rows):
    padded = pad_ranges(np.zeros(0, np.int32), np.zeros(rows, np.int64), np.zeros(rows, np.int64))
    assert padded.ids.shape == (rows, 1)
    assert not padded.mask.any()


def test_chunks_do_not_change_the_tokens(monkeypatch):
    texts = pl.Series(["a bc", "", "def", "g h"])
    whole = tokenize(texts, words)
    monkeypatch.setattr(encoded, "TOKENIZER_CHUNK", 3)
    parts = tokenize(texts, words)
    assert parts.values.tolist() == whole.values.tolist() == [1, 2, 3, 1, 1]
    assert parts.offsets.tolist() == whole.offsets.tolist() == [0, 2, 2, 3, 5]
    assert parts.values.dtype == np.int32


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (4, None),
        (3, "INFO item title: 33.3% of 3 texts are cut at 3 words"),
        (1, "WARNING item title: 66.7% of 3 texts are cut at 1 words"),
    ],
)
def test_texts_that_are_cut_are_told_of_a_side_that_is_named(limit, told, tmp_path, monkeypatch, caplog):
    """Of 4, 1 and 3 words; a blank text is none."""
    EncodedTable.save(tmp_path / "t", 4, {}, {"title": pl.Series(["a b c d", "", "e", "f g h"])})
    table, tokenizer = EncodedTable.load(tmp_path / "t"), HashTokenizer(buckets=9, max_words=limit)
    monkeypatch.setattr(encoded, "TOKENIZER_CHUNK", 2)
    with caplog.at_level("INFO"):
        table.tokenized(tokenizer)
        assert not caplog.records
        table.tokenized(tokenizer, "item")
    lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    assert lines == ([] if told is None else [f"{told} (tower.text_max_words)"])


def test_a_table_comes_back_as_it_was_saved_whatever_its_features_are_called(tmp_path):
    columns = {
        "a/b": np.array([2, 3, 4], np.int32),
        "Größe": np.array([[0.5, 0], [0, 1], [2, 0]], np.float32),
        "..": Ragged(np.array([2, 3, 4], np.int32), np.array([0, 2, 2, 3])),
    }
    EncodedTable.save(tmp_path / "t", 3, columns, {"title": pl.Series(["one", "", "two words"])})
    table = EncodedTable.load(tmp_path / "t")
    with pytest.raises(RuntimeError, match="not tokenised"):
        table.gather(np.array([0]))
    values = table.tokenized(words).gather(np.array([2, 0]))
    assert values["a/b"].tolist() == [4, 2]
    assert values["Größe"].tolist() == [[2, 0], [0.5, 0]]
    assert values[".."].ids.tolist() == [[4, 0], [2, 3]]
    assert values["title"].ids.tolist() == [[3, 5], [3, 0]]
    assert not table.columns["a/b"].flags.writeable
