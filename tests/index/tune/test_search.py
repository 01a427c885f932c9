"""The whole search over a small catalogue; latencies are told, not measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from vector_cases import catalogue, questions

from tt_hydra.contracts import Estimate, FloatArray, SearchResult
from tt_hydra.errors import BudgetError, IndexSpecError
from tt_hydra.index.auto import Auto
from tt_hydra.index.budget import Budget
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.storage import bytes_on_disk
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.choice import TIE
from tt_hydra.index.tune.judge import Built, Judge, Questions
from tt_hydra.index.tune.measure import ROUNDS
from tt_hydra.index.tune.search import Job, Outcome, tune
from tt_hydra.index.tune.workshop import Workshop
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.pca import Pca

SIZE, DIM = 2500, 24
ITEMS = catalogue(SIZE, DIM)
AUTO, NONE = Auto(threads=1), NoQuantization()


@dataclass(frozen=True)
class Told:
    p50_ms: float = 1.0
    p95_ms: float = 1.0
    p99_ms: float = 1.0


def alike(call: Callable[[int], object], count: int, warm_up: int) -> Told:
    return Told()


def asked(seed: int, items: FloatArray = ITEMS) -> Questions:
    queries = questions(60, DIM, seed=seed)
    scores = queries @ items.T
    best = np.sort(scores, axis=1)[:, -10:]

    def recall(found: SearchResult) -> Estimate:
        value = float((np.take_along_axis(scores, found.rows, axis=1) >= best[:, :1] - 1e-4).mean())
        return Estimate(value=value, low=value, high=value)

    return Questions(queries, recall)


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., Outcome]:
    def search(
        budget: Budget, auto: Auto = AUTO, quantization: object = NONE, prefix: int | None = None, latency=alike, quality=None, items=ITEMS
    ) -> Outcome:
        np.save(tmp_path / "items.npy", items)
        judge = Judge(tune=asked(1, items), fresh=asked(2, items), latency=latency, quality=quality)
        job = Job(auto=auto, quantization=quantization, prefix_dim=prefix, budget=budget, metric="dot", seed=3)
        return tune(job, items, tmp_path / "items.npy", judge, tmp_path)

    return search


@pytest.mark.parametrize("limit", [20, 30, 60])
def test_what_is_found_keeps_the_budget_when_measured_by_others(search, limit, tmp_path) -> None:
    found = search(Budget(bytes_per_item=limit))
    found.index.save(tmp_path)
    assert bytes_on_disk(tmp_path, tmp_path / "items.npy") <= limit * SIZE
    fresh = asked(2)
    recall = fresh.recall(found.index.search(fresh.queries, 10)).value
    chosen = next(point for point in found.points if point.chosen)
    assert recall == chosen.fresh.recall.value, "the saved index searches with the parameters that it was measured at"
    assert chosen.meets
    assert all(point.meets == (point.bytes_per_item <= limit) for point in found.points)
    tuned = asked(1)
    assert chosen.recall.value == tuned.recall(found.index.search(tuned.queries, 10)).value, "as all points are held against each other"
    assert found.figures["winners_curse"] == pytest.approx(chosen.recall.value - recall)
    rivals = [point.recall.value for point in found.points if point.meets]
    assert recall >= max(rivals) - 0.03, "the best of them, but for the other queries"


def test_recall_alone_is_kept_on_fresh_queries_too(search) -> None:
    found = search(Budget(recall_vs_exact=0.97))
    assert next(point for point in found.points if point.chosen).fresh.recall.value >= 0.97
    assert found.figures["points"] == len(found.points)
    assert found.figures["candidates"] >= 3
    assert abs(found.figures["winners_curse"]) < 0.05


def test_only_the_quantization_families_and_prefix_that_were_asked_for_are_tried(search) -> None:
    found = search(Budget(), Auto(families=("ivf",), threads=1), Int8())
    assert {(point.family, point.quantization) for point in found.points} == {("ivf", "int8")}
    assert {point.dim for point in search(Budget(), Auto(families=("flat",)), prefix=12).points} == {12}
    assert {point.dim for point in search(Budget(), Auto(families=("flat",), prefixes=(8, 16))).points} == {8, 16, DIM}


def test_a_choice_below_the_default_recall_is_told_and_warned_of(search, caplog: pytest.LogCaptureFixture) -> None:
    chosen = next(point for point in search(Budget(), quantization=Pca(dim=4)).points if point.chosen)
    assert chosen.fresh.recall.value < 0.9
    assert chosen.reason.startswith("none of those measured again reaches a recall of 0.99: ")
    assert f"keeps a recall of {chosen.fresh.recall.value:.3f} against exact search" in caplog.text
    caplog.clear()
    search(Budget(recall_vs_exact=0.1), quantization=Pca(dim=4))
    assert "less than" not in caplog.text, "a recall that was asked for is kept"


def test_prefixes_that_are_no_shorter_than_the_vectors_are_left_out_with_a_warning(search, caplog: pytest.LogCaptureFixture) -> None:
    found = search(Budget(), Auto(families=("flat",), prefixes=(8, 99, DIM)))
    assert {point.dim for point in found.points} == {8, DIM}
    assert "index.prefixes holds [24, 99], no shorter than the vectors, which have 24 dimensions: not tried" in caplog.text


def test_a_budget_that_nothing_keeps_is_refused_with_what_would_have_to_give_way(search, tmp_path) -> None:
    with pytest.raises(BudgetError, match=r"budget\.bytes_per_item=1 cannot be met.*raise budget\.bytes_per_item to") as refused:
        search(Budget(bytes_per_item=1, recall_vs_exact=0.9))
    assert "keep budget.recall_vs_exact=0.9" in str(refused.value)
    told = float(str(refused.value).rpartition("raise budget.bytes_per_item to ")[2])
    assert told < DIM + 8 + 60, "no more than a byte a dimension is needed, and the told size is that of the smallest found"
    search(Budget(bytes_per_item=told, recall_vs_exact=0.9))
    with pytest.raises(BudgetError, match=r"budget\.latency_p99_ms=0\.5 cannot be met.* to 1"):
        search(Budget(latency_p99_ms=0.5))
    assert not [path for path in tmp_path.iterdir() if path.is_dir()], "nothing is left behind"


@pytest.mark.parametrize(("size", "quantization"), [(80, NONE), (3, NONE), (10, Pca(dim=16))], ids=["few", "headers", "projection"])
def test_the_limit_that_a_refusal_names_can_be_kept_however_few_the_items_are(search, size, quantization) -> None:
    """Of few items an index takes less than is estimated, so that nothing seems to fit, and what all items share is most of it."""
    few = ITEMS[:size]
    with pytest.raises(BudgetError, match=r"budget\.bytes_per_item=2 cannot be met: the smallest index has") as refused:
        search(Budget(bytes_per_item=2), items=few, quantization=quantization)
    told = float(str(refused.value).rpartition("raise budget.bytes_per_item to ")[2])
    found = search(Budget(bytes_per_item=told), items=few, quantization=quantization)
    assert next(point for point in found.points if point.chosen).bytes_per_item <= told


def test_a_limit_on_building_that_lets_nothing_be_built_is_refused_with_its_price(search) -> None:
    with pytest.raises(BudgetError, match=r"budget\.build_s=1e-09 cannot be met: the index quickest to build has .* \(flat none\); raise"):
        search(Budget(build_s=1e-9), Auto(families=("flat",)))


def test_where_even_the_refusal_would_take_too_long_it_names_an_estimate(search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workshop, "seconds", lambda workshop, candidate: 1000.0 if isinstance(candidate.spec, Hnsw) else 2000.0)
    told = r"budget\.build_s=1 cannot be met: the index quickest to build, hnsw M=16 none, takes some 1000 s, by estimate; raise"
    with pytest.raises(BudgetError, match=told):
        search(Budget(build_s=1.0), Auto(families=("flat", "hnsw"), threads=1))
    # 24 * 6 / 8 bytes of codes, 8 * 4 + 16 of links, (8 * 24 + 700) / 2500 of what all items share
    told = r"budget\.bytes_per_item=9 cannot be met: the smallest index, hnsw M=4 scalar bits=6, takes some 66\.4 bytes an item"
    with pytest.raises(BudgetError, match=told):
        search(Budget(bytes_per_item=9.0), Auto(families=("hnsw",), threads=1))


def test_a_kind_of_index_that_so_few_items_cannot_fill_is_refused(tmp_path) -> None:
    few = ITEMS[:50]
    np.save(tmp_path / "items.npy", few)
    job = Job(auto=Auto(families=("ivf",)), quantization=NONE, prefix_dim=None, budget=Budget(), metric="dot", seed=3)
    with pytest.raises(IndexSpecError, match=r"index\.families=\[ivf\]: none of them can be built over 50 items of 24 dimensions"):
        tune(job, few, tmp_path / "items.npy", Judge(tune=asked(1), fresh=asked(2), latency=alike), tmp_path)


def test_what_would_take_too_long_is_left_out(search) -> None:
    found = search(Budget(build_s=100), Auto(threads=1, seconds=0.001))
    assert found.figures["candidates"] >= 1
    assert found.figures["skipped"] >= 1


def test_exhaustive_indexes_are_left_out_once_one_of_them_is_too_slow_by_far(search, caplog: pytest.LogCaptureFixture) -> None:
    """Every query is told to take 1 ms: a limit of .4 ms leaves no hope to what is not twice as quick, one of .8 none to slower codes."""
    caplog.set_level("INFO", "tt_hydra")
    for limit, left_out in ((0.4, {"int8", "fp16", "scalar"}), (0.8, {"scalar"})):
        caplog.clear()
        with pytest.raises(BudgetError, match="latency_p99_ms"):
            search(Budget(latency_p99_ms=limit, bytes_per_item=100), Auto(families=("flat",), threads=1))
        told = [record.getMessage() for record in caplog.records if "comparing every item takes too long" in record.getMessage()]
        assert left_out <= {message.split()[1] for message in told}
        assert ("int8" in {message.split()[1] for message in told}) == ("int8" in left_out)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Milliseconds of a query and seconds of a build, by family, instead of those of the machine."""
    building = Workshop.build

    def told(milliseconds: dict[str, float], seconds: dict[str, float]) -> object:
        def build(self: Workshop, candidate: Candidate) -> Built:
            built = building(self, candidate)
            built.build_s = seconds[candidate.family]
            return built

        def latency(call: Callable[[int], object], count: int, warm_up: int) -> Told:
            asked_of: list[str] = []
            with monkeypatch.context() as patched:
                patched.setattr(FaissIndex, "search", lambda index, *_: asked_of.append(type(index.spec).__name__.lower()))
                call(0)
            return Told(*[milliseconds[asked_of[0]]] * 3)

        monkeypatch.setattr(Workshop, "build", build)
        return latency

    return told


@pytest.mark.parametrize("budget", [Budget(), Budget(recall_vs_exact=0.9)])
def test_an_index_that_was_let_go_is_not_measured_again(search, told, budget) -> None:
    """Lists of int8 lose what flat int8 finds, at more bytes and a tenth of the speed: nobody needs them, though only they are second."""
    latency = told({"flat": 1.0, "ivf": 10.0}, {"flat": 1.0, "ivf": 1.0})
    found = search(budget, Auto(families=("flat", "ivf"), threads=1), Int8(), latency=latency)
    assert {point.family for point in found.points} == {"flat", "ivf"}
    assert [point.family for point in found.points if point.chosen] == ["flat"]


def test_a_winner_keeps_the_time_with_room_to_spare_where_one_can(search, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fine codes take .85 ms while settings are looked for, and .98 when they are measured again: the next time, who knows."""
    timed: list[str] = []

    def latency(call: Callable[[int], object], count: int, warm_up: int) -> Told:
        with monkeypatch.context() as patched:
            patched.setattr(FaissIndex, "search", lambda index, *_: timed.append(type(index.quantization).__name__))
            call(0)
        fine = 0.85 if timed.count(timed[-1]) <= ROUNDS else 0.98
        return Told(*[fine if timed[-1] in ("NoQuantization", "Fp16") else 0.5] * 3)

    found = search(Budget(latency_p99_ms=1.0, bytes_per_item=200), Auto(families=("flat",), threads=1), latency=latency)
    chosen = next(point for point in found.points if point.chosen)
    again = [point for point in found.points if point.fresh is not None]
    finer = [point for point in again if point.fresh.recall.value > chosen.fresh.recall.value + TIE]
    assert chosen.fresh.p99_ms == 0.5
    assert {(point.p99_ms, point.fresh.p99_ms, point.meets) for point in finer} == {(0.85, 0.98, True)}


def test_the_quality_of_an_index_is_judged_before_it_is_let_go(search, told) -> None:
    """The front is drawn by one figure, so all points need it; by their recall, lists would be beaten in everything."""
    latency = told({"flat": 1.0, "ivf": 10.0}, {"flat": 1.0, "ivf": 1.0})

    def quality(index: FaissIndex) -> float:
        return 0.2 if isinstance(index.spec, Ivf) else 0.1

    found = search(Budget(), Auto(families=("flat", "ivf"), threads=1), Int8(), latency=latency, quality=quality)
    assert {(point.family, point.quality) for point in found.points} == {("flat", 0.1), ("ivf", 0.2)}
    assert {point.family for point in found.points if point.on_front} == {"flat", "ivf"}
    assert [point.family for point in found.points if point.chosen] == ["flat"]


def test_the_front_holds_figures_of_the_same_queries_against_each_other(search, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured again takes ten times as long then: held against what was not, every finalist would be beaten."""
    timed: dict[str, int] = {}

    def latency(call: Callable[[int], object], count: int, warm_up: int) -> Told:
        asked_of: list[str] = []
        with monkeypatch.context() as patched:
            patched.setattr(FaissIndex, "search", lambda index, *_: asked_of.append(f"{id(index)} {_[2]}"))
            call(0)
        timed[asked_of[0]] = timed.get(asked_of[0], 0) + 1
        return Told(*[1.0 if timed[asked_of[0]] <= ROUNDS else 10.0] * 3)

    points = search(Budget(), Auto(families=("flat", "ivf"), threads=1), latency=latency).points
    again = [point for point in points if point.fresh is not None]
    assert {point.p99_ms for point in points} == {1.0}
    assert again
    assert len(again) < len(points)
    assert {point.fresh.p99_ms for point in again} == {10.0}
    good, cost = [point.recall.value for point in points], [point.bytes_per_item for point in points]
    for place, point in enumerate(points):
        rivals = [each for each in range(len(points)) if good[each] >= good[place] and cost[each] <= cost[place] and each != place]
        better = [each for each in rivals if (good[each], cost[each]) != (good[place], cost[place]) or each < place]
        assert point.on_front == (not better)


def test_an_index_that_takes_too_long_to_build_lets_no_other_go(search, told) -> None:
    latency = told({"flat": 1.0, "ivf": 10.0}, {"flat": 10.0, "ivf": 1.0})
    found = search(Budget(build_s=5), Auto(families=("flat", "ivf"), threads=1), Int8(), latency=latency)
    chosen = next(point for point in found.points if point.chosen)
    assert (chosen.family, chosen.meets) == ("ivf", True)
