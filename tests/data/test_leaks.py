"""Leaks are planted, in the code that prepares and in the arrays that it left, and must be refused."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from tt_hydra.data import prepare as preparing
from tt_hydra.data import statistics
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import Declaration, HistorySpec, SplitSpec
from tt_hydra.data.history import Timeline
from tt_hydra.data.leaks import check_leaks
from tt_hydra.data.splits import TEST, TRAIN, VALID
from tt_hydra.data.statistics import EventTimes, raw
from tt_hydra.errors import DataError

DAY = 24 * 3_600_000_000


def rewrite(dataset: Dataset, name: str, change) -> None:
    path = dataset.folder / f"{name}.npy"
    array = np.load(path)
    np.save(path, change(array).astype(array.dtype))


def rewrite_timeline(dataset: Dataset, name: str, visible) -> None:
    events = dataset.events
    timeline = Timeline.build(events["item"], np.isin(events["part"], visible), events["offsets"])
    for field in ("items", "positions", "offsets"):
        np.save(dataset.folder / "timeline" / name / f"{field}.npy", getattr(timeline, field))


def own_event_in_statistics(dataset: Dataset) -> None:
    shifted = EventTimes.build(dataset.events["item"], dataset.events["time"] - 1)
    np.save(dataset.folder / "events" / "time_keys.npy", shifted.keys)
    np.save(dataset.folder / "events" / "distinct_times.npy", shifted.times)


def everything_in_standing_statistics(dataset: Dataset) -> None:
    times = EventTimes.build(dataset.events["item"], dataset.events["time"])
    values = raw(("count", "rate_1d"), times, np.arange(6), np.full(6, dataset.begin["valid"]))
    everything = raw(("count", "rate_1d"), times, np.arange(6), np.full(6, 99 * DAY))
    assert not np.allclose(values, everything)
    np.save(dataset.folder / "items" / "statistics_valid.npy", everything)


def vocabulary_of_everything(dataset: Dataset) -> None:
    path = dataset.folder / "featurizer.json"
    plain = json.loads(path.read_text())
    plain["items"][0]["vocabulary"].append("d")
    path.write_text(json.dumps(plain))


def refitted_normaliser(dataset: Dataset) -> None:
    names = json.loads((dataset.folder / "items" / "table" / "table.json").read_text())["columns"]
    path = f"items/table/{names.index('price')}"
    rewrite(dataset, path, lambda column: (column - column.mean(axis=0) * [1, 0]) / [2, 1])


PLANTED = {
    "a later event in the histories": (
        lambda d: rewrite_timeline(d, "test", [TRAIN, VALID, TEST]),
        "histories of 'test' hold other events",
    ),
    "validation events in training histories": (lambda d: rewrite_timeline(d, "valid", [TRAIN, VALID]), "histories of 'valid' hold other"),
    "the target in the history": (lambda d: rewrite(d, "timeline/valid/items", lambda a: np.roll(a, -1)), "hold items of other events"),
    "another query's events": (lambda d: rewrite(d, "timeline/valid/offsets", lambda a: a - (a == 2)), "another query's events"),
    "a shifted order": (lambda d: rewrite(d, "train/positions", lambda a: a + (np.arange(len(a)) == 1)), "train examples do not stand"),
    "examples after their target": (lambda d: rewrite(d, "test/positions", lambda a: a + 1), "test examples do not stand"),
    "events out of order": (lambda d: rewrite(d, "events/time", lambda a: a[::-1]), "not in the order of their times"),
    "training after test": (lambda d: rewrite(d, "events/part", lambda a: np.roll(a, 1)), "later than its validation or test event"),
    "a test pair among the known": (lambda d: rewrite(d, "known.values", lambda a: a + (np.arange(len(a)) == 1)), "known positives"),
    "popularity of everything": (lambda d: rewrite(d, "counts", lambda a: a + 1), "popularity was not counted on the training"),
    "seen items of the evaluated part": (lambda d: rewrite(d, "valid/seen.values", lambda a: a + 2), "seen items of valid"),
    "relevant items of another part": (lambda d: rewrite(d, "test/relevant.values", lambda a: a * 0), "relevant items of test"),
    "the event itself in its statistic": (own_event_in_statistics, "statistic counts events that are not before"),
    "test events in standing statistics": (everything_in_standing_statistics, "items' statistics for valid"),
    "a test value in a vocabulary": (vocabulary_of_everything, "vocabulary of items.id has values"),
    "a normaliser of everything": (refitted_normaliser, "items.price was not normalised"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_leak_planted_in_the_stored_arrays_is_refused(make_tables, prepared, name):
    plant, message = PLANTED[name]
    dataset = prepared(make_tables())
    check_leaks(dataset)
    plant(dataset)
    with pytest.raises(DataError, match=f"leak refused: .*{message}"):
        check_leaks(Dataset.load(dataset.folder))


def test_neighbors_of_another_part_are_refused(make_tables, prepared):
    declaration = Declaration(history=HistorySpec(), neighbors=3)
    dataset = prepared(make_tables(declaration=declaration))
    check_leaks(dataset)
    path = dataset.folder / "items" / "raw.parquet"
    shown = pl.read_parquet(path)
    shown.with_columns(pl.Series("neighbors", [["d"], *shown["neighbors"].to_list()[1:]])).write_parquet(path)
    with pytest.raises(DataError, match=r"leak refused: .*neighbors that no query of the training part took with it"):
        check_leaks(Dataset.load(dataset.folder))


UNORDERED = {
    "a later event": (lambda d: rewrite_unordered(d, "test", [TRAIN, VALID, TEST]), "histories of 'test' hold other items"),
    "an item twice": (lambda d: rewrite(d, "timeline/valid/items", lambda a: np.where(np.arange(len(a)) == 1, a[0], a)), "or one twice"),
    "the target in the history": (lambda d: rewrite(d, "timeline/others/starts", lambda a: a - (np.arange(len(a)) == 0)), "train history"),
    "a longer history": (lambda d: rewrite(d, "timeline/others/lengths", lambda a: a + (np.arange(len(a)) == 0)), "holds its own target"),
    "another query's items": (lambda d: rewrite(d, "timeline/others/starts", lambda a: a + 50), "another query's events"),
    "other items": (
        lambda d: rewrite(d, "timeline/others/items", lambda a: np.where(a == 0, 5, a)),
        "other items than those of the training",
    ),
}


def rewrite_unordered(dataset: Dataset, name: str, visible) -> None:
    events = dataset.events
    timeline = Timeline.unordered(events["item"], np.isin(events["part"], visible), events["offsets"], 0)
    for field in ("items", "positions", "offsets"):
        np.save(dataset.folder / "timeline" / name / f"{field}.npy", getattr(timeline, field))


@pytest.mark.parametrize("name", UNORDERED)
def test_a_leak_planted_in_histories_without_order_is_refused(make_tables, prepared, name):
    plant, message = UNORDERED[name]
    declaration = Declaration(history=HistorySpec(ordered=False), split=SplitSpec(kind="leave_last_out"))
    dataset = prepared(make_tables(declaration=declaration))
    check_leaks(dataset)
    plant(dataset)
    with pytest.raises(DataError, match=f"leak refused: .*{message}"):
        check_leaks(Dataset.load(dataset.folder))


SAID = {
    "labels of every event": (lambda d: np.save(d.folder / "train" / "label0.npy", np.ones(9, np.float32)), "labels are not of the"),
    "scores of every event": (lambda d: np.save(d.folder / "train" / "teacher.npy", np.ones(9, np.float32)), "labels are not of the"),
    "a positive among the negatives": (lambda d: rewrite(d, "train/negatives.values", lambda a: a * 0), "is a positive of its query"),
    "negatives of every event": (lambda d: rewrite(d, "train/negatives.offsets", lambda a: a[:-1]), "given negatives are not those of the"),
    "scores of other negatives": (lambda d: rewrite(d, "train/negatives_teacher", lambda a: a[:-1]), "scores of other negatives"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_of_other_pairs_than_those_trained_on_is_refused(make_tables, prepared, name):
    plant, message = SAID[name]
    columns = {"negatives": [["f"]] * 7, "negatives_teacher": [[1.0]] * 7, "rating": range(7), "teacher": [0.5] * 7}
    interactions = make_tables().interactions.with_columns(**{key: pl.Series(values) for key, values in columns.items()})
    declaration = Declaration(split=SplitSpec(kind="leave_last_out"), labels=("rating",))
    dataset = prepared(make_tables(interactions=interactions, declaration=declaration))
    check_leaks(dataset)
    plant(dataset)
    with pytest.raises(DataError, match=f"leak refused: .*{message}"):
        check_leaks(Dataset.load(dataset.folder))


def test_vocabularies_and_normalisers_fitted_on_everything_are_refused(make_tables, prepared, monkeypatch):
    fitted = preparing._fitted
    monkeypatch.setattr(preparing, "_fitted", lambda specs, table, rows: fitted(specs, table, np.arange(len(table))))
    with pytest.raises(DataError, match=r"leak refused: the vocabulary of items\.id"):
        prepared(make_tables())


def test_histories_that_see_every_part_are_refused(make_tables, prepared, monkeypatch):
    monkeypatch.setitem(preparing.VISIBLE, "test", (TRAIN, VALID, TEST))
    with pytest.raises(DataError, match="leak refused: the histories of 'test'"):
        prepared(make_tables())


def test_statistics_that_count_their_own_event_are_refused(make_tables, prepared, monkeypatch):
    monkeypatch.setattr(statistics.EventTimes, "rank", lambda self, at: np.searchsorted(self.times, at, side="right"))
    with pytest.raises(DataError, match="leak refused: a statistic counts events"):
        prepared(make_tables())


def test_a_temporal_split_that_trains_after_its_cutoff_is_refused(random_tables, prepared):
    dataset = prepared(random_tables(SplitSpec(kind="temporal", valid_from=20 * DAY, test_from=30 * DAY)))
    part = dataset.events["part"].copy()
    part[np.flatnonzero(part == TEST)[0]] = TRAIN
    np.save(dataset.folder / "events" / "part.npy", part)
    with pytest.raises(DataError, match="as late as the test part"):
        check_leaks(Dataset.load(dataset.folder))
