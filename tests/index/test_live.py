from __future__ import annotations

import functools
import threading

import numpy as np
import pytest
from vector_cases import DIM, PAIRS, catalogue, questions, recall, similarities

from tt_hydra.contracts import Health, SearchResult
from tt_hydra.errors import IndexSpecError
from tt_hydra.index import live, scan
from tt_hydra.index.build import build_index
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.live import LiveIndex, LiveSnapshot
from tt_hydra.index.mask import Mask
from tt_hydra.index.vectors import prepared
from tt_hydra.quantization.none import NoQuantization

K = 10
NAMES = ["flat-none", "flat-pq", "flat-binary", "ivf-none", "ivf-int8", "ivf-pq_refined", "hnsw-none", "hnsw-int8", "hnsw-pca"]
NAMES += ["factory-NSG16,Flat", "factory-IVF8,Flat,RFlat", "factory-PQ12x4fs"]
every_index = pytest.mark.parametrize("name", NAMES)
both_metrics = pytest.mark.parametrize("metric", ["dot", "cosine"])
ITEMS, ASKED = catalogue(), questions()


@functools.cache
def built(name: str, metric: str) -> FaissIndex:
    return build_index(*PAIRS[name], ITEMS, metric, seed=3)


class Oracle:
    """All rows ever given, and which of them live: compared one by one, in float64."""

    def __init__(self, metric: str) -> None:
        self.metric, self.vectors, self.alive = metric, ITEMS.astype(np.float64), np.ones(len(ITEMS), np.bool_)

    def apply(self, delete: np.ndarray, add: np.ndarray) -> None:
        self.alive[delete] = False
        self.vectors = np.concatenate([self.vectors, add])
        self.alive = np.concatenate([self.alive, np.ones(len(add), np.bool_)])

    def scores(self, allowed: np.ndarray | None = None) -> np.ndarray:
        kept = self.alive if allowed is None else self.alive & allowed
        return np.where(kept, similarities(ASKED, self.vectors, self.metric), -np.inf)


def check_lists(found: SearchResult, truth: np.ndarray, least: float) -> None:
    """Full lists of distinct living rows, best first, and at least so much of what is best."""
    left = min(K, int(np.isfinite(truth[0]).sum()))
    assert found.rows.shape == found.scores.shape == (len(ASKED), K)
    assert (found.rows[:, :left] >= 0).all()
    assert (found.rows[:, left:] == -1).all()
    assert np.isneginf(found.scores[:, left:]).all()
    rows = found.rows[:, :left]
    assert all(len(set(row)) == left for row in rows.tolist())
    assert np.isfinite(np.take_along_axis(truth, rows, axis=1)).all(), "dead or forbidden rows came back"
    assert (np.diff(found.scores[:, :left], axis=1) <= 0).all()
    if left:
        assert recall(rows, np.where(np.isfinite(truth), truth, -100)) >= least


@both_metrics
@every_index
def test_whatever_is_written_searches_find_what_comparing_with_all_finds(name: str, metric: str, monkeypatch) -> None:
    monkeypatch.setattr(live, "FEW", 50)
    generator = np.random.default_rng(7)
    index, oracle = LiveIndex(built(name, metric), ITEMS), Oracle(metric)
    start = recall(built(name, metric).search(ASKED, K).rows, oracle.scores())
    for step in range(8):
        add = catalogue(int(generator.integers(13, 90)), seed=100 + step)[: generator.integers(0, 80)]
        delete = generator.choice(index.snapshot.size, generator.integers(0, index.snapshot.size // 3), replace=False)
        rows = index.apply(delete.tolist(), add)
        np.testing.assert_array_equal(rows, np.arange(len(oracle.alive), len(oracle.alive) + len(add)))
        oracle.apply(delete, add)
        snapshot = index.snapshot
        np.testing.assert_allclose(snapshot.take(np.arange(snapshot.size)), oracle.vectors, rtol=1e-6)
        assert snapshot.health.alive == oracle.alive.sum()
        for allowed in (None, generator.random(snapshot.size) < 0.5, generator.random(snapshot.size) < 0.02):
            truth = oracle.scores(allowed)
            check_lists(snapshot.search(ASKED, K, allowed=allowed), truth, start - 0.1)
            exact = snapshot.exact(ASKED, K, allowed)
            check_lists(exact, truth, 1)
            best = -np.sort(-truth, axis=1)[:, :K]
            np.testing.assert_allclose(exact.scores, best, rtol=1e-4, atol=1e-5)


@both_metrics
@every_index
def test_an_unchanged_catalogue_answers_as_its_index(name: str, metric: str) -> None:
    index = built(name, metric)
    found, expected = LiveIndex(index, ITEMS).snapshot.search(ASKED, K), index.search(ASKED, K)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


@both_metrics
@every_index
def test_scores_of_old_and_new_rows_are_of_one_kind(name: str, metric: str) -> None:
    index = LiveIndex(built(name, metric), ITEMS)
    index.apply(add=np.zeros((1, DIM), np.float32))
    found = index.snapshot.search(ASKED, K)
    true = similarities(ASKED, np.concatenate([ITEMS, np.zeros((1, DIM))]), metric)
    np.testing.assert_allclose(found.scores, np.take_along_axis(true, found.rows, axis=1), rtol=1e-4, atol=1e-5)


@both_metrics
def test_scores_of_a_prefix_become_those_of_whole_vectors(metric: str) -> None:
    index = LiveIndex(build_index(*PAIRS["flat-none"], ITEMS, metric, prefix_dim=8), ITEMS)
    index.apply(add=ITEMS[:1])
    found = index.snapshot.search(ASKED, K)
    true = similarities(ASKED, np.concatenate([ITEMS, ITEMS[:1]]), metric)
    np.testing.assert_allclose(found.scores, np.take_along_axis(true, found.rows, axis=1), rtol=1e-4, atol=1e-5)


def test_rows_that_tie_stand_by_row_however_exact_search_is_cut(monkeypatch) -> None:
    """Whole numbers, whose products are exact in any order."""
    monkeypatch.setattr(scan, "ROWS", 7)
    monkeypatch.setattr(scan, "QUERIES", 3)
    query = np.ones((1, DIM), np.float32)
    index = LiveIndex(built("flat-none", "dot"), ITEMS)
    index.apply(add=np.full((30, DIM), 90))
    for search in (index.snapshot.search, index.snapshot.exact):
        np.testing.assert_array_equal(search(query, 20).rows, [np.arange(len(ITEMS), len(ITEMS) + 20)])
    index.apply(delete=[len(ITEMS) + 1, len(ITEMS) + 3])
    for search in (index.snapshot.search, index.snapshot.exact):
        assert search(query, 3).rows.tolist() == [[len(ITEMS), len(ITEMS) + 2, len(ITEMS) + 4]]


@pytest.mark.parametrize("name", ["ivf-none", "hnsw-none"])
def test_a_snapshot_never_changes(name: str) -> None:
    index = LiveIndex(built(name, "cosine"), ITEMS)
    taken: list[tuple[LiveSnapshot, SearchResult, SearchResult, Health]] = []
    for step in range(12):
        snapshot = index.snapshot
        taken.append((snapshot, snapshot.search(ASKED, K), snapshot.exact(ASKED, K), snapshot.health))
        best = snapshot.search(ASKED, 1).rows[:, 0]
        index.apply(best.tolist() if step % 2 else (), ASKED[step : 3 * step] * 2)
    for snapshot, *before in taken:
        after = [snapshot.search(ASKED, K), snapshot.exact(ASKED, K)]
        for old, new in zip(before, after, strict=False):
            np.testing.assert_array_equal(old.rows, new.rows)
            np.testing.assert_array_equal(old.scores, new.scores)
        assert LiveSnapshot(snapshot.base, snapshot.added, snapshot.alive).health == before[2]


def test_searches_while_others_write_see_whole_changes_only() -> None:
    """Every change replaces one vector by its double: at each moment exactly one lives, and the last one is found first."""
    query = ASKED[:1]
    index = LiveIndex(built("hnsw-none", "dot"), ITEMS)
    marker = query * 100
    index.apply(add=marker)
    stop, wrong = threading.Event(), []

    def read() -> None:
        last = 0
        while not stop.is_set():
            snapshot = index.snapshot
            found = snapshot.search(query, K)
            markers = [row for row in found.rows[0].tolist() if row >= len(ITEMS)]
            if len(markers) != 1 or markers[0] < last or markers[0] != snapshot.size - 1:
                wrong.append((markers, last, snapshot.size))
            last = max(markers, default=last)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(300):
        row = index.snapshot.size - 1
        assert index.apply([row], marker * (1 + step)).tolist() == [row + 1]
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert index.snapshot.health == Health(alive=len(ITEMS) + 1, base=len(ITEMS), delta=301, dead=300)


def test_writers_in_several_threads_lose_nothing() -> None:
    index = LiveIndex(built("flat-none", "dot"), ITEMS)
    given: list[list[int]] = []

    def write(number: int) -> None:
        given.append([int(index.apply(add=np.full((1, DIM), 1000 * number + step, np.float32))[0]) for step in range(100)])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    rows = sorted(row for each in given for row in each)
    assert rows == list(range(len(ITEMS), len(ITEMS) + 400))
    values = index.snapshot.take(np.arange(len(ITEMS), len(ITEMS) + 400))[:, 0]
    assert sorted(values.tolist()) == [1000 * number + step for number in range(1, 5) for step in range(100)]


def test_everything_may_die_and_come_back() -> None:
    index = LiveIndex(built("hnsw-none", "dot"), ITEMS)
    index.apply(range(len(ITEMS)))
    for found in (index.snapshot.search(ASKED, K), index.snapshot.exact(ASKED, K)):
        assert (found.rows == -1).all()
        assert np.isneginf(found.scores).all()
    assert index.snapshot.health == Health(alive=0, base=len(ITEMS), delta=0, dead=len(ITEMS))
    rows = index.apply(add=ITEMS)
    found = index.snapshot.search(ASKED, K)
    expected = built("flat-none", "dot").search(ASKED, K)
    np.testing.assert_array_equal(found.rows, expected.rows + len(ITEMS))
    assert index.snapshot.search(ASKED[:1], 2 * len(ITEMS)).rows[0, len(ITEMS) :].tolist() == [-1] * len(ITEMS)
    assert rows[0] == len(ITEMS)


def test_a_row_dies_once() -> None:
    index = LiveIndex(built("flat-none", "dot"), ITEMS)
    index.apply([3, 3])
    index.apply([3])
    assert index.snapshot.health.dead == 1


@pytest.mark.parametrize(
    ("delete", "add", "message"),
    [
        ([700], None, r"row 700 cannot be deleted: the catalogue has the rows 0 \.\. 699"),
        ([-1], None, "row -1 cannot be deleted"),
        ([0], np.full((2, DIM), np.nan), "added vectors hold NaN or infinity, first in row 0"),
        ([0], np.full((2, DIM), 1e300), "added vectors hold NaN or infinity"),
        ([0], np.zeros((2, DIM + 1)), f"added vectors have {DIM + 1} dimensions, the index has {DIM}"),
        ([0], np.zeros(DIM), "matrix of numbers"),
        ([0], np.zeros((2, DIM), np.str_), "matrix of numbers"),
        ([700], np.zeros((1, DIM)), "row 700 cannot be deleted"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_what_is_no_change_is_refused_and_changes_nothing(delete: list[int], add: np.ndarray | None, message: str) -> None:
    index = LiveIndex(built("flat-none", "dot"), ITEMS)
    before = index.snapshot
    with pytest.raises(IndexSpecError, match=message):
        index.apply(delete, add)
    assert index.snapshot is before


def test_float64_vectors_are_taken_and_later_changes_of_theirs_are_not() -> None:
    index = LiveIndex(built("flat-none", "dot"), ITEMS)
    vectors = np.asfortranarray(ASKED[:3].astype(np.float64) * 50)
    rows = index.apply(add=vectors)
    vectors[:] = 0
    np.testing.assert_allclose(index.snapshot.take(rows), ASKED[:3] * 50, rtol=1e-6)


@every_index
def test_refuses_what_is_no_query(name: str) -> None:
    index = LiveIndex(built(name, "dot"), ITEMS)
    index.apply([1], ITEMS[:1])
    broken = ASKED.copy()
    broken[7, 3] = np.nan
    for search in (index.snapshot.search, index.snapshot.exact):
        with pytest.raises(IndexSpecError, match="row 7"):
            search(broken, K)
        with pytest.raises(IndexSpecError, match=f"{DIM - 1} dimensions, the index has {DIM}"):
            search(ASKED[:, 1:], K)
        with pytest.raises(IndexSpecError, match="at least one"):
            search(ASKED, 0)
        with pytest.raises(IndexSpecError, match="701 booleans"):
            search(ASKED, K, allowed=np.ones(700, np.bool_))
        assert search(ASKED[:0], K).rows.shape == (0, K)


def test_vectors_of_another_index_are_refused() -> None:
    with pytest.raises(IndexSpecError, match="699 vectors for an index of 700 rows"):
        LiveIndex(built("flat-none", "dot"), ITEMS[:699])
    with pytest.raises(IndexSpecError, match="8 dimensions"):
        LiveIndex(built("flat-none", "dot"), ITEMS[:, :8])


def test_the_vectors_of_the_index_may_stay_on_disk(tmp_path) -> None:
    np.save(tmp_path / "items.npy", ITEMS)
    mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
    index = LiveIndex(built("ivf-int8", "cosine"), mapped)
    index.apply(range(0, 700, 2), ITEMS[:5])
    check = LiveIndex(built("ivf-int8", "cosine"), ITEMS)
    check.apply(range(0, 700, 2), ITEMS[:5])
    np.testing.assert_array_equal(index.snapshot.search(ASKED, K).rows, check.snapshot.search(ASKED, K).rows)
    assert np.shares_memory(index.snapshot.base.vectors, mapped)


def test_imbalance_is_that_of_the_living_rows_of_the_lists() -> None:
    clusters = np.repeat(np.eye(4, dtype=np.float32) * 10, 50, axis=0)
    base = build_index(Ivf(nlist=4), NoQuantization(), clusters, "dot", seed=1)
    index = LiveIndex(base, clusters)
    assert index.snapshot.health.imbalance == 1
    index.apply([*range(50), *range(50, 75)], clusters)
    assert index.snapshot.health.imbalance == pytest.approx(4 * (25**2 + 50**2 + 50**2) / 125**2)
    index.apply(range(200))
    assert index.snapshot.health.imbalance == 0
    assert LiveIndex(built("hnsw-none", "dot"), ITEMS).snapshot.health.imbalance is None


def clusters(number: int, each: int, seed: int) -> np.ndarray:
    """``number * each`` vectors around so many centres."""
    centres = np.random.default_rng(5).normal(size=(number, DIM)) * 2
    return (np.repeat(centres, each, axis=0) + np.random.default_rng(seed).normal(size=(number * each, DIM))).astype(np.float32)


@both_metrics
@pytest.mark.parametrize("spec", [Hnsw(M=16, efConstruction=60, efSearch=24), Ivf(nlist=60, nprobe=3)])
def test_what_is_left_is_found_where_all_that_was_near_has_died(spec: Hnsw | Ivf, metric: str, monkeypatch) -> None:
    """Whole neighbourhoods die, up to 80% of all; questions about them are asked all the same. Then half as many come, from elsewhere."""
    monkeypatch.setattr(live, "FEW", 100)
    items, asked = clusters(60, 100, 0), clusters(60, 2, 1)
    base = build_index(spec, NoQuantization(), items, metric)
    index, truth = LiveIndex(base, items), similarities(asked, items, metric)
    order = np.random.default_rng(2).permutation(60)
    rows = np.arange(len(items)).reshape(60, 100)
    worst = []
    for start, stop in ((0, 6), (6, 18), (18, 30), (30, 48)):
        index.apply(rows[order[start:stop]].ravel())
        alive = np.isin(np.arange(60), order[stop:]).repeat(100)
        scores = np.where(alive, truth, -1000)
        found = index.snapshot.search(asked, K)
        assert alive[found.rows].all()
        assert recall(found.rows, scores) >= 0.95
        masked = base._engine._plain(prepared(asked, metric, ""), K, base.search_params, Mask(alive, int(alive.sum())))[1]
        worst.append(recall(np.where(masked < 0, order[0] * 100, masked), scores))
    assert min(worst) < 0.9, "the premise is that a mask alone is not enough"
    moved = np.concatenate([items[rows[order[:20]].ravel()] + 1, items[rows[order[20:30]].ravel()] * 1.5])
    index.apply(add=moved)
    every = np.concatenate([scores, similarities(asked, moved, metric)], axis=1)
    assert recall(index.snapshot.search(asked, K).rows, every) >= 0.95
