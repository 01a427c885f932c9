"""Where events carry their own texts, an evaluated example is a query with one of its texts."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from tt_hydra.contracts import Ragged
from tt_hydra.data import prepare as preparing
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import Declaration, HistorySpec, SplitSpec
from tt_hydra.data.encoded import save_column
from tt_hydra.data.leaks import check_leaks
from tt_hydra.errors import DataError

DAY = 24 * 3_600_000_000
SPLITS = {
    "leave_last_out": SplitSpec(kind="leave_last_out"),
    "temporal": SplitSpec(kind="temporal", valid_from=25 * DAY, test_from=32 * DAY),
    "held out": SplitSpec(kind="temporal", test_from=32 * DAY),
    "random": SplitSpec(kind="random", valid=0.3, test=0.3),
    "given": SplitSpec(kind="given"),
}
SHOP = [
    ("u1", "a", 1, "red", 1),
    ("u1", "b", 2, "blue", 1),
    ("u1", "c", 10, "green shoes", 1),
    ("u1", "d", 11, "black hat", 1),
    ("u1", "e", 12, "green shoes", 2),
    ("u1", "c", 13, "green shoes", 3),
    ("u1", "c", 14, "black hat", 1),
    ("u2", "a", 1, "red", 1),
    ("u2", "c", 10, "black hat", 1),
    ("u2", "f", 11, None, 1),
    ("u2", "b", 12, "", 1),
]


def shop(make_tables, split: SplitSpec):
    """Two users of a shop, each event with what was typed; the test part of a temporal split begins on day 10."""
    columns = zip(*SHOP, strict=True)
    interactions = pl.DataFrame(dict(zip(("query", "item", "time", "text", "weight"), map(list, columns), strict=True)))
    interactions = interactions.with_columns(pl.col("time") * DAY, pl.col("weight").cast(pl.Float32))
    return make_tables(declaration=Declaration(text=True, history=HistorySpec(max_length=9), split=split), interactions=interactions)


def histories(dataset: Dataset, part: str) -> list[list[int]]:
    value = dataset.queries(part, np.arange(len(dataset.eval_part(part)))).values["history"]
    rows = value.items.rows.numpy()
    return [rows[ids[mask]].tolist() for ids, mask in zip(value.positions.ids.numpy(), value.positions.mask.numpy(), strict=True)]


def judged(dataset: Dataset, part: str) -> list[tuple[str, str, dict[str, float], list[str]]]:
    """Query, text, relevant items with their gains and history of each example."""
    block, ids = dataset.eval_part(part), dataset.item_ids
    return [
        (
            dataset.query_ids[int(block.query_rows[row])],
            dataset.event_texts[int(block.positions[row])],
            dict(zip(ids.gather(block.relevant.row(row)).to_list(), block.gains.row(row).tolist(), strict=True)),
            ids.gather(history).to_list(),
        )
        for row, history in enumerate(histories(dataset, part))
    ]


def test_each_text_of_a_temporal_test_part_is_judged_by_its_own_items(make_tables, prepared):
    dataset = prepared(shop(make_tables, SplitSpec(kind="temporal", test_from=10 * DAY)), valid_share=0.0)
    assert judged(dataset, "test") == [
        ("u1", "green shoes", {"c": 3, "e": 2}, ["a", "b"]),
        ("u1", "black hat", {"c": 1, "d": 1}, ["a", "b"]),
        ("u2", "black hat", {"c": 1}, ["a"]),
        ("u2", "", {"b": 1, "f": 1}, ["a"]),
    ]
    test = dataset.eval_part("test")
    assert test.query_rows.tolist() == [0, 0, 1, 1]
    assert test.positions.tolist() == [2, 3, 8, 9]
    assert [test.seen.row(row).tolist() for row in range(4)] == [[0, 1], [0, 1], [0], [0]]
    tokens = dataset.queries("test", np.arange(4)).values["text"]
    assert [ids[mask].tolist() for ids, mask in zip(tokens.ids, tokens.mask, strict=True)] == [[5, 5], [5, 3], [5, 3], []]
    assert dataset.log_counts()["test queries"] == 2


def test_the_last_event_of_a_query_has_its_text(make_tables, prepared):
    dataset = prepared(shop(make_tables, SplitSpec(kind="leave_last_out")))
    before = ["a", "b", "c", "d", "e"]
    assert judged(dataset, "valid") == [("u1", "green shoes", {"c": 3}, before), ("u2", "", {"f": 1}, ["a", "c"])]
    assert judged(dataset, "test") == [("u1", "black hat", {"c": 1}, [*before, "c"]), ("u2", "", {"b": 1}, ["a", "c", "f"])]


def test_a_random_split_leaves_the_part_out_of_the_histories_of_its_later_texts(make_tables, prepared, monkeypatch):
    """Of u1, c@10 and e@12 (shoes) and d@11 (hat) are test, b and c@13 validation, the rest training."""
    parts = np.array([0, 1, 2, 2, 2, 1, 0, 0, 0, 0, 0], np.int8)
    monkeypatch.setattr("tt_hydra.data.splits._random", lambda size, spec, seed: parts)
    dataset = prepared(shop(make_tables, SPLITS["random"]))
    assert judged(dataset, "valid") == [("u1", "blue", {"b": 1}, ["a"]), ("u1", "green shoes", {"c": 3}, ["a"])]
    assert judged(dataset, "test") == [("u1", "green shoes", {"c": 1, "e": 2}, ["a", "b"]), ("u1", "black hat", {"d": 1}, ["a", "b"])]
    valid = dataset.eval_part("valid")
    assert [valid.seen.row(row).tolist() for row in range(2)] == [[0, 2], [0, 2]]


def with_texts(random_tables, split: SplitSpec, seed: int):
    tables = random_tables(split, seed=seed, text=True)
    drawn = np.random.default_rng(seed).choice(["x", "y", "z z", ""], len(tables.interactions))
    return type(tables)(**{**vars(tables), "interactions": tables.interactions.with_columns(text=pl.Series(drawn))})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPLITS)
def test_the_examples_agree_with_a_loop(random_tables, prepared, name, seed):
    tables = with_texts(random_tables, SPLITS[name], seed)
    dataset = prepared(tables, seed=seed)
    source = [tables.interactions.row(row, named=True) for row in dataset.events["row"].tolist()]
    events = list(zip(*(dataset.events[column].tolist() for column in ("query", "item", "part")), strict=True))
    for number, part in ((1, "valid"), (2, "test")):
        expected: dict[tuple[int, str], tuple[int, dict[int, float]]] = {}
        for position, (query, item, of) in enumerate(events):
            if of == number:
                gains = expected.setdefault((query, source[position]["text"]), (position, {}))[1]
                gains[item] = max(gains.get(item, 0), source[position]["weight"])
        block, past = dataset.eval_part(part), histories(dataset, part)
        assert block.positions.tolist() == [position for position, _ in expected.values()]
        assert block.query_rows.tolist() == [query for query, _ in expected]
        for row, ((query, _), (position, gains)) in enumerate(expected.items()):
            assert list(zip(block.relevant.row(row), block.gains.row(row), strict=True)) == sorted(gains.items())
            assert block.seen.row(row).tolist() == sorted({i for q, i, of in events if q == query and of < number})
            assert past[row] == [i for q, i, of in events[:position] if q == query and of < number][-3:]


def rewrite(dataset: Dataset, name: str, change) -> None:
    path = dataset.folder / f"{name}.npy"
    np.save(path, change(np.load(path)))


def items_of_every_text(dataset: Dataset) -> None:
    """Judges each text of u1 by the items of all its texts."""
    test = dataset.eval_part("test")
    rows = [[2, 3, 4], [2, 3, 4], *(test.relevant.row(row).tolist() for row in (2, 3))]
    offsets = np.cumsum([0, *map(len, rows)])
    save_column(dataset.folder / "test", "relevant", Ragged(np.concatenate(rows), offsets))


def one_example_a_query(dataset: Dataset) -> None:
    """Says that the events carry no text, as if the examples had been made so."""
    path = dataset.folder / "about.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "event_texts": False}))


PLANTED = {
    "items of another text": (items_of_every_text, "relevant items of test are of another part or text"),
    "an example after its first event": (lambda d: rewrite(d, "test/positions", lambda a: a + (a == 2) * 2), "test examples do not stand"),
    "one example a query": (one_example_a_query, "test examples do not stand"),
    "seen items of the evaluated part": (
        lambda d: rewrite(d, "test/seen.values", lambda a: a + (np.arange(len(a)) == 3)),
        "seen items of test differ between texts",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_between_texts_is_refused(make_tables, prepared, name):
    plant, message = PLANTED[name]
    dataset = prepared(shop(make_tables, SplitSpec(kind="temporal", test_from=10 * DAY)), valid_share=0.0)
    plant(dataset)
    with pytest.raises(DataError, match=f"leak refused: .*{message}"):
        check_leaks(Dataset.load(dataset.folder))


def test_texts_judged_together_by_the_preparation_are_refused(make_tables, prepared, monkeypatch):
    def by_query(events, part):
        own = events.of(part)
        _, first, which = np.unique(events.queries[own], return_index=True, return_inverse=True)
        return own[first][which]

    monkeypatch.setattr(preparing, "examples", by_query)
    with pytest.raises(DataError, match="leak refused: the test examples do not stand"):
        prepared(shop(make_tables, SplitSpec(kind="temporal", test_from=10 * DAY)), valid_share=0.0)
