"""Pairs of texts: distinct texts become queries and items; negatives, scores and parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import SplitSpec
from tt_hydra.data.pairs import Pairs
from tt_hydra.data.prepare import prepare
from tt_hydra.errors import ConfigError, DataError

ROWS = [
    {"query": "a?", "positive": "ä", "negatives": ["b", "c"]},
    {"query": "b?", "positive": "b", "negatives": []},
    {"query": "a?", "positive": "b", "negatives": None},
    {"query": "  ", "positive": "b", "negatives": None},
    {"query": "c?", "positive": None, "negatives": None},
    {"query": "b?", "positive": "b", "negatives": ["", "d", "d", None]},
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def test_distinct_texts_are_queries_and_items(tmp_path: Path) -> None:
    tables = Pairs(path=write(tmp_path / "pairs.jsonl", ROWS)).read()
    assert tables.queries.rows() == [("q0", "a?"), ("q1", "b?")]
    assert tables.items.rows() == [("d0", "ä"), ("d1", "b"), ("d2", "c"), ("d3", "d")]
    assert tables.interactions.rows() == [("q0", "d0", ["d1", "d2"]), ("q1", "d1", ["d3"]), ("q0", "d1", [])]
    assert tables.counts == {"pairs with an empty query": 1, "pairs with an empty positive": 1, "duplicate interactions": 1}
    assert tables.declaration.split == SplitSpec(kind="random", valid=0.1, test=0.1)
    assert tables.display == "text"


def test_triplets_of_one_pair_keep_every_negative(tmp_path: Path) -> None:
    rows = [{"query": "a?", "positive": "p", "negative": negative} for negative in ("x", "y", "x")]
    tables = Pairs(path=write(tmp_path / "triplets.jsonl", rows)).read()
    assert tables.interactions.rows() == [("q0", "d0", ["d1", "d2"])]
    assert tables.counts == {"duplicate interactions": 2}


@pytest.mark.parametrize(
    ("negatives", "expected"),
    [("auto", [["d1", "d2"], ["d0"]]), (None, None), ("negative_2", [["d1"], ["d2"]]), (("other",), [["d1"], ["d0"]])],
)
def test_negatives_may_stand_in_several_columns(tmp_path: Path, negatives: Any, expected: Any) -> None:
    frame = pl.DataFrame(
        {"query": ["q", "r"], "positive": ["x", "y"], "negative_1": ["y", "x"], "Negative-2": ["z", ""], "other": ["y", "x"]}
    )
    frame = frame.with_columns(pl.Series("negative_2", ["y", "z"])) if negatives == "negative_2" else frame
    frame.write_csv(tmp_path / "pairs.csv")
    tables = Pairs(path=str(tmp_path / "pairs.csv"), negatives=negatives).read()
    found = tables.interactions["negatives"].to_list() if "negatives" in tables.interactions.columns else None
    assert found == expected


@pytest.mark.parametrize("lists", [True, False])
def test_a_teachers_scores_stay_with_their_texts(tmp_path: Path, lists: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"query": "q", "positive": "x", "s": 5, "negatives": ["y", " ", "z"], "ns": [1, 2, 3.5]},
        {"query": "q", "positive": "x", "s": 5, "negatives": ["v", "y", "w"], "ns": [4, 9, None]},
        {"query": "r", "positive": "y", "s": None, "negatives": ["x"], "ns": [None]},
    ]
    names: tuple[str, ...] = ("ns",)
    if not lists:
        names = ("ns0", "ns1", "ns2")
        for row in rows:
            texts, scores = row.pop("negatives"), row.pop("ns")
            row |= {f"negative_{number}": text for number, text in enumerate(texts)}
            row |= {f"ns{number}": score for number, score in enumerate(scores)}
    path = write(tmp_path / "a.jsonl", rows)
    tables = Pairs(path=path, teacher="s", negatives_teacher=names).read()
    assert tables.items["text"].to_list() == ["x", "y", "z", "v", "w"]
    assert tables.interactions.select("query", "item", "teacher", "negatives", "negatives_teacher").rows() == [
        ("q0", "d0", 5.0, ["d1", "d2", "d3", "d4"], [1.0, 3.5, 4.0, None]),
        ("q1", "d1", None, ["d0"], [None]),
    ]


def test_refused_rows_keep_their_teachers_score(tmp_path: Path) -> None:
    rows = [("q", "x", 1, 0.9), ("q", "y", 0, 0.4)]
    path = write(tmp_path / "a.jsonl", [dict(zip(("query", "positive", "label", "t"), row, strict=True)) for row in rows])
    interactions = Pairs(path=path, score="label", teacher="t").read().interactions
    assert interactions.select("teacher", "negatives", "negatives_teacher").to_dicts() == [
        {"teacher": pytest.approx(0.9), "negatives": ["d1"], "negatives_teacher": [pytest.approx(0.4)]}
    ]


def test_each_negative_has_a_score_or_none_has(tmp_path: Path) -> None:
    rows = [
        {"query": "q", "positive": "x", "negatives": ["y", "z"], "ns": []},
        {"query": "r", "positive": "x", "negatives": ["y"], "ns": [1, 2]},
    ]
    with pytest.raises(DataError, match=r"a\.jsonl, row 2: 1 negatives, but 2 scores of a teacher"):
        Pairs(path=write(tmp_path / "a.jsonl", rows), negatives_teacher="ns").read()


def test_scores_make_weights_and_negatives(tmp_path: Path) -> None:
    rows = [("q", "x", 2), ("q", "y", 0), ("q", "z", -1), ("q", "v", 1), ("r", "x", 0), ("s", "x", None)]
    path = write(tmp_path / "a.jsonl", [dict(zip(("q", "p", "s"), row, strict=True)) for row in rows])
    tables = Pairs(path=path, query="q", positive="p", score="s").read()
    assert tables.items["text"].to_list() == ["x", "v", "y", "z"]
    assert tables.interactions.rows() == [("q0", "d0", 2.0, ["d2", "d3"]), ("q0", "d1", 1.0, ["d2", "d3"])]
    assert tables.counts == {"interactions without weight": 1, "queries without a positive": 1}


def parts_of(folder: Path, *names: str) -> Any:
    for number, name in enumerate(names):
        write(folder / name, [{"query": f"q{number}", "positive": "x"}])
    return Pairs(path=str(folder), valid_share=0.2).read()


def test_names_of_files_say_the_parts(tmp_path: Path) -> None:
    tables = parts_of(tmp_path, "train-00000-of-00001.jsonl", "test.jsonl", "dev.jsonl")
    assert sorted(tables.interactions["split"].to_list()) == ["test", "train", "valid"]
    assert tables.declaration.split == SplitSpec(kind="given", valid=0.2)


def test_without_a_test_part_the_validation_part_is_the_test(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tables = parts_of(tmp_path, "train.jsonl", "validation.jsonl")
    assert tables.interactions["split"].to_list() == ["train", "test"]
    assert "its validation part is the test" in caplog.text


def test_a_training_part_alone_is_divided(tmp_path: Path) -> None:
    tables = parts_of(tmp_path, "train.jsonl")
    assert "split" not in tables.interactions.columns
    assert tables.declaration.split == SplitSpec(kind="random", valid=0.2, test=0.1)


def test_no_text_is_asked_in_training_and_in_the_test(tmp_path: Path) -> None:
    """Forty questions with three answers each: a question that was trained on would know its other answers by heart."""
    rows = [{"query": f"question {number}", "positive": f"answer {number} {each}"} for number in range(40) for each in range(3)]
    prepare(Pairs(path=write(tmp_path / "pairs.jsonl", rows)).read(), folder=tmp_path / "prepared")
    dataset = Dataset.load(tmp_path / "prepared")
    parts = [set(dataset.train.query_rows.tolist()), *(set(dataset.eval_part(part).query_rows.tolist()) for part in ("valid", "test"))]
    assert [len(part) for part in parts] == [32, 4, 4]
    assert len(set.union(*parts)) == 40


def test_files_that_say_their_part_or_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"more\.jsonl does not say its part, but other files do"):
        parts_of(tmp_path, "train.jsonl", "more.jsonl")
    with pytest.raises(DataError, match="a validation part only"):
        parts_of(tmp_path / "valid", "valid.jsonl")


def test_a_column_may_name_the_parts(tmp_path: Path) -> None:
    rows = [{"query": name, "positive": "x", "fold": name} for name in ("train", "Val", "test")]
    tables = Pairs(path=write(tmp_path / "a.jsonl", rows), part="fold").read()
    assert tables.interactions["split"].to_list() == ["train", "valid", "test"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": "qurey"}, r"pairs\.jsonl has no column 'qurey' \(did you mean 'query'\?\)"),
        ({"negatives": "neg"}, r"pairs\.jsonl has no column 'neg'"),
        ({"positive": "negatives"}, r"column 'negatives' holds List\(String\)"),
        ({"score": "query"}, r"column 'query' is declared numeric but holds 'a\?' in row 1"),
        ({"part": "query"}, "names no part"),
        ({"path": "nothing.csv"}, r"data\.path=nothing\.csv: there is no such file"),
    ],
)
def test_what_contradicts_the_declaration_is_one_clear_error(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Pairs(**{"path": write(tmp_path / "pairs.jsonl", ROWS), **arguments}).read()


def test_empty_pairs_and_shares_of_everything_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no interaction is left to use \(pairs with an empty query: 1"):
        Pairs(path=write(tmp_path / "a.jsonl", ROWS[3:4])).read()
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        Pairs(valid_share=0.5, test_share=0.5)
