from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from services import registry_of

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import CHANGES, Change, ChangeLog
from tt_hydra.artifact.registry import Registry
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.contracts.serving import Health, Observed, Reference
from tt_hydra.errors import BuildingError, BundleError, DataError, OvertakenError
from tt_hydra.serve import engine as engine_module
from tt_hydra.serve.asking import Answer, Ask
from tt_hydra.serve.describe import schema
from tt_hydra.serve.engine import Engine, Upkeep
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.settings import ServeOptions

QUERIES = [Query(query_id="1"), Query(features={"age": 30}, history=["i1", "i2"]), Query(context={"device": "tv"}), Query(query_id="7")]
PLAIN = ServeOptions(runtime="torch")


@pytest.fixture(scope="module")
def retriever(bundle: Bundle) -> Retriever:
    return Retriever.load(bundle.folder, verify=False)


@pytest.fixture
def registry(bundle: Bundle, other_bundle: Bundle, tmp_path: Path) -> Registry:
    return registry_of(tmp_path / "registry", [bundle, other_bundle])


@pytest.fixture
def engine(registry: Registry) -> Iterator[Engine]:
    engine = Engine(registry, PLAIN)
    yield engine
    engine.close()


def ids(answer: Answer | Exception) -> list[list[str]]:
    assert isinstance(answer, Answer), answer
    return [[hit.id for hit in hits] for hits in answer.results]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"k": 3, "exclude_seen": True},
        {"exclude": ["i3", "i4", "unknown"]},
        {"exclude": [f"i{number}" for number in range(2, 30)] + [f"none{number}" for number in range(60)]},
        {"exact": True, "k": 100},
    ],
    ids=["plain", "seen", "few left out", "many left out", "exact"],
)
def test_an_answer_is_that_of_the_retriever(engine: Engine, retriever: Retriever, asked: dict[str, object]) -> None:
    answer = engine.search(QUERIES, **asked)
    plain = {name: value for name, value in asked.items() if name != "exact"}
    expected = retriever.search_many(QUERIES, **plain)  # type: ignore[arg-type]
    assert ids(answer) == [[hit.id for hit in hits] for hits in expected]
    found = [hit.score for hits in answer.results for hit in hits]
    np.testing.assert_allclose(found, [hit.score for hits in expected for hit in hits], atol=1e-6)


def test_requests_answered_together_are_answered_as_alone(engine: Engine) -> None:
    asks = [
        Ask(queries=QUERIES[:1], k=5),
        Ask(queries=QUERIES[1:3], k=5),
        Ask(queries=[QUERIES[3]], k=3, filter={"genres": "a"}, include=("title", "vector")),
        Ask(queries=[Query(features={"age": "31"})], k=5, exclude_seen=True),
        Ask(queries=[Query(features={"age": 31.5, "job": 3})], k=5),
    ]
    together = engine.answer(asks)
    for ask, both in zip(asks, together, strict=True):
        alone = engine.answer([ask])[0]
        assert isinstance(both, Answer)
        assert isinstance(alone, Answer)
        assert ids(both) == ids(alone)
        assert [[hit.fields for hit in hits] for hits in both.results] == [[hit.fields for hit in hits] for hits in alone.results]


def test_one_request_with_a_mistake_does_not_touch_the_others(engine: Engine) -> None:
    asks = [
        Ask(queries=[Query(query_id="1")]),
        Ask(queries=[Query(query_id="1"), Query(query_id="nobody")]),
        Ask(queries=[Query(query_id="2")]),
    ]
    first, wrong, last = engine.answer(asks)
    assert isinstance(wrong, DataError)
    assert wrong.place == "queries.1"  # type: ignore[attr-defined]
    assert ids(first) == ids(engine.search([Query(query_id="1")]))
    assert ids(last) == ids(engine.search([Query(query_id="2")]))


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"genres": "a"}, lambda row: "a" in row["genres"]),
        ({"genres": ["b", "c"]}, lambda row: bool({"b", "c"} & set(row["genres"]))),
        ({"genres": {"not": "a"}}, lambda row: "a" not in row["genres"]),
        ({"year": {"gte": 1960, "lt": 1975}}, lambda row: row["year"] is not None and 1960 <= row["year"] < 1975),
        ({"year": 1962}, lambda row: row["year"] == 1962),
        ({"year": [1962, None]}, lambda row: row["year"] in (1962, None)),
        ({"year": {"not": [1962, 1963]}}, lambda row: row["year"] not in (1962, 1963)),
        ({"title": "naïve 🎬"}, lambda row: row["title"] == "naïve 🎬"),
        ({"genres": "c", "year": {"gt": 1970}}, lambda row: "c" in row["genres"] and row["year"] is not None and row["year"] > 1970),
        ({"title": "no such film"}, lambda row: False),
    ],
)
def test_filters_give_the_rows_that_fulfil_them(engine: Engine, retriever: Retriever, rule: dict[str, object], holds) -> None:
    expected = {row["id"] for row in retriever.bundle.items().to_dicts() if holds(row)}
    assert set(ids(engine.search([QUERIES[0]], k=100, filter=rule))[0]) == expected


def test_filters_see_items_that_are_added_and_replaced(engine: Engine) -> None:
    def fulfil() -> set[str]:
        return set(ids(engine.search([QUERIES[0]], k=100, filter={"year": {"gte": 2100}}))[0])

    assert fulfil() == set()
    engine.upsert([{"id": "far", "title": "later", "year": 2101}, {"id": "i3", "title": "film 3", "year": 2102}])
    assert fulfil() == {"far", "i3"}
    engine.upsert([{"id": "i3", "title": "film 3", "year": 1953}])
    assert fulfil() == {"far"}
    assert "i3" in ids(engine.search([QUERIES[0]], k=100, filter={"year": 1953}))[0]
    engine.delete(["far"])
    assert fulfil() == set()


@pytest.mark.parametrize(
    "rule",
    [{"yaer": 3}, {"year": "new"}, {"year": {"near": 3}}, {"genres": {"gte": "a"}}, {"year": {"gte": [1]}}, {"year": {}}, {"title": True}],
)
def test_a_filter_that_makes_no_sense_is_refused(engine: Engine, rule: dict[str, object]) -> None:
    with pytest.raises(DataError, match="filter"):
        engine.search([QUERIES[0]], filter=rule)


def test_a_written_item_is_found_by_the_next_search_and_its_old_self_is_not(engine: Engine, parts: Parts) -> None:
    title = "film 7 about sea"
    vector = engine.embed_items([{"title": title, "genres": ["a"], "year": 1957}])[1][0]
    mark = engine.upsert([{"id": "fresh", "title": title, "genres": ["a"], "year": 1957}])
    assert mark.index == "1.1"
    best = engine.search([Query(vector=vector)], k=1, include=("title", "vector"))
    hit = best.results[0][0]
    assert best.mark == mark
    assert (hit.id, hit.fields) == ("fresh", {"title": title})
    np.testing.assert_allclose(hit.vector, vector, atol=1e-6)
    engine.upsert([{"id": "fresh", "title": "another film altogether"}])
    found = ids(engine.search([Query(vector=vector)], k=100))[0]
    assert found.count("fresh") == 1
    assert len(found) == parts.dataset.num_items + 1
    assert "fresh" not in ids(engine.search([Query(vector=vector)], k=100, exclude=["fresh"]))[0]


def test_a_number_written_into_a_column_of_texts_is_the_category_that_tables_make_of_it(engine: Engine) -> None:
    engine.upsert([{"id": "n", "title": 5.0, "genres": [1.0, 2.5, 3, "a"]}, {"id": "m", "title": 5, "genres": 1.0}])
    assert [(engine.item(each)[1] or {})["title"] for each in ("n", "m")] == ["5", "5"]
    assert [(engine.item(each)[1] or {})["genres"] for each in ("n", "m")] == [["1", "2.5", "3", "a"], ["1"]]


def test_a_deleted_item_is_gone_and_may_come_back(engine: Engine) -> None:
    before = engine.item("i5")[1]
    mark, unknown = engine.delete(["i5", "nobody", "i5"])
    assert (mark.sequence, unknown) == (1, ["nobody"])
    assert engine.item("i5")[1] is None
    assert "i5" not in ids(engine.search([QUERIES[0]], k=100))[0]
    assert engine.delete(["i5"]) == (mark, ["i5"])
    assert before is not None
    engine.upsert([before])
    assert engine.item("i5")[1] == before
    assert ids(engine.search([QUERIES[0]], k=100))[0].count("i5") == 1


def test_writes_are_there_after_a_restart_and_under_another_model(engine: Engine, registry: Registry, other_bundle: Bundle) -> None:
    engine.upsert([{"id": "fresh", "title": "film 7 about sea", "year": 1957}])
    engine.delete(["i1"])
    again = Engine(registry, PLAIN)
    assert again.served.state.mark == engine.served.state.mark
    assert ids(again.search(QUERIES, k=50)) == ids(engine.search(QUERIES, k=50))
    own = engine.search([QUERIES[0]], k=50, include=("vector",)).results[0]
    again.activate(2)
    hits = again.search([QUERIES[0]], k=50, include=("vector",)).results[0]
    fresh = next(hit for hit in hits if hit.id == "fresh")
    expected = Retriever.load(other_bundle.folder, verify=False).embed_items([{"title": "film 7 about sea", "year": 1957}])[0]
    np.testing.assert_allclose(fresh.vector, expected, atol=1e-6)
    assert np.abs(np.array(fresh.vector) - np.array(next(hit.vector for hit in own if hit.id == "fresh"))).max() > 1e-2
    assert "i1" not in {hit.id for hit in hits}
    assert again.served.state.mark.index == "2.2"


def test_what_another_process_has_just_written_can_be_deleted(engine: Engine, registry: Registry) -> None:
    ChangeLog(registry.folder / CHANGES).append([Change(items=[{"id": "theirs", "title": "one"}])])
    mark, unknown = engine.delete(["nobody", "theirs"])
    assert (mark.sequence, unknown) == (2, ["nobody"])
    assert engine.item("theirs")[1] is None


def test_what_another_process_writes_is_applied_in_order(engine: Engine, registry: Registry) -> None:
    log = ChangeLog(registry.folder / CHANGES)
    log.append([Change(items=[{"id": "theirs", "title": "one"}]), Change(items=[{"id": "theirs", "title": "two"}], deleted=["i0"])])
    assert engine.item("theirs")[1] is None
    engine.tail()
    assert (engine.item("theirs")[1] or {})["title"] == "two"
    assert engine.item("i0")[1] is None
    log.append([Change(deleted=["theirs"])])
    assert engine.upsert([{"id": "ours", "title": "three"}]).sequence == 4
    assert engine.item("theirs")[1] is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"title": "no id"}], "needs an id"),
        ([{"id": "a"}, {"id": "a"}], "twice"),
        ([{"id": "a", "titel": "x"}], "'titel'"),
        ([{"id": "a", "year": "long ago"}], "'year' holds Int64"),
        ([{"id": "a", "year": [1, 2]}], "one value"),
        ([{"id": "a", "vector": [0.0] * 16}], "leave vector out"),
    ],
)
def test_an_item_that_does_not_fit_is_refused_and_nothing_is_written(engine: Engine, rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        engine.upsert([{"id": "good", "title": "x"}, *rows])
    assert engine.served.state.mark.sequence == 0
    assert engine.item("good")[1] is None


def test_writes_at_once_share_what_they_wait_for(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    appended: list[int] = []
    append = ChangeLog.append

    def slow(log: ChangeLog, changes: list[Change]) -> list[Change]:
        appended.append(len(changes))
        if len(appended) == 1:
            assert others_wait.wait(10)
        return append(log, changes)

    monkeypatch.setattr(ChangeLog, "append", slow)
    others_wait, marks = threading.Event(), []
    threads = [threading.Thread(target=lambda n=n: marks.append(engine.upsert([{"id": f"n{n}", "title": "x"}]))) for n in range(6)]
    for thread in threads:
        thread.start()
    while len(engine._commits._waiting) < 5:  # type: ignore[misc]
        pass
    others_wait.set()
    for thread in threads:
        thread.join()
    assert appended == [1, 5]
    assert sorted(mark.sequence for mark in marks) == [1, 6, 6, 6, 6, 6]
    assert {f"n{n}" for n in range(6)} <= set(ids(engine.search([QUERIES[0]], k=100))[0])


def test_a_version_that_another_process_activates_is_served_and_a_damaged_one_is_not(
    engine: Engine, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.activate(2)
    engine.follow()
    assert engine.served.version.number == 2
    broken = registry.folder / "versions" / "1" / "item_vectors.npy"
    content = bytearray(broken.read_bytes())
    content[-1] ^= 1
    broken.unlink()
    broken.write_bytes(content)
    registry._point(1)
    engine.follow()
    assert engine.served.version.number == 2
    assert "item_vectors.npy is damaged" in caplog.text
    with pytest.raises(BundleError, match=r"item_vectors\.npy is damaged"):
        engine.activate(1)
    assert ids(engine.search(QUERIES))
    registry._point(2)
    engine.follow()
    assert engine.served.version.number == 2


def test_an_answer_in_flight_stays_with_its_version(engine: Engine) -> None:
    old = engine.served
    expected = ids(engine.search(QUERIES))
    engine.activate(2)
    outcomes, _ = engine._answerer.answer(old, [Ask(queries=QUERIES)])
    assert ids(outcomes[0]) == expected
    assert outcomes[0].mark.version == 1  # type: ignore[union-attr]
    assert ids(engine.search(QUERIES)) != expected


def test_vectors_are_remembered_for_one_model_only(registry: Registry, retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(registry, ServeOptions(runtime="torch", cached_queries=2))
    runs: list[int] = []
    encode = type(engine.served).encode
    monkeypatch.setattr(type(engine.served), "encode", lambda self, queries, rows: runs.append(len(rows)) or encode(self, queries, rows))
    first = engine.search([QUERIES[0], QUERIES[1]])
    assert ids(engine.search([QUERIES[0], QUERIES[1]])) == ids(first)
    assert runs == [2]
    engine.search([QUERIES[2]])
    engine.search([QUERIES[0]])
    assert runs == [2, 1, 1], "the oldest went when the third came"
    engine.activate(2)
    engine.search([QUERIES[0]])
    assert runs[3:] == [len(retriever.bundle.queries), *[1] * len(retriever.bundle.queries), 1], "warm-up, and then the query again"


@dataclass
class Watching:
    """An observer that keeps what it is told."""

    versions: list[int] = field(default_factory=list)
    ages: list[tuple[str, str | None]] = field(default_factory=list)
    changed: list[float | None] = field(default_factory=list)
    seen: list[Observed] = field(default_factory=list)
    health: list[Health] = field(default_factory=list)
    counted: list[tuple[int, int, int]] = field(default_factory=list)
    closed: bool = False

    def serving(
        self, version: int, created: str, reference: Reference | None, *, trained: str | None = None, changed: float | None = None
    ) -> None:
        self.versions.append(version)
        self.ages.append((created, trained))
        self.changed.append(changed)

    def searched(self, observed: Observed) -> None:
        self.seen.append(observed)

    def written(self, vectors: np.ndarray, health: Health, *, writes: int, items: int) -> None:
        self.health.append(health)
        self.counted.append((len(vectors), writes, items))

    def state(self) -> dict[str, object]:
        return {"searches": len(self.seen)}

    def close(self) -> None:
        self.closed = True


def test_an_observer_hears_of_searches_writes_and_versions(registry: Registry) -> None:
    watching = Watching()
    engine = Engine(registry, PLAIN, watching)
    answer = engine.search([Query(features={"job": "z"}, history=["i1", "none"]), Query(query_id="1")], k=4, exclude=["i1"])
    observed = watching.seen[0]
    assert observed.result.rows.shape == (2, 5), "what the index gave, before i1 was left out"
    assert observed.ids == ids(answer)
    known = engine.served.retriever.bundle.queries.row(1, named=True)
    assert observed.unknown == [2, 0], "job z and item none"
    assert observed.values == [3, 2 + len(known["history"]) + (known["device"] is not None) - (known["job"] is None)]
    assert set(observed.seconds) == {"tower", "search", "merge", "total"}
    engine.search([Query(query_id="1")], exact=True)
    assert [each.as_served for each in watching.seen] == [True, False]
    engine.upsert([{"id": "a", "title": "x"}])
    engine.delete(["i2"])
    assert [(each.alive, each.delta, each.dead) for each in watching.health] == [(41, 1, 0), (40, 1, 1)]
    registry.log.append([Change(items=[{"id": "b", "title": title}]) for title in ("y", "z")])
    engine.tail()
    assert watching.counted == [(1, 1, 1), (0, 1, 0), (1, 2, 2)], "vectors that are there, writes, items written"
    engine.activate(2)
    engine.close()
    assert (watching.versions, watching.closed) == ([1, 2], True)
    manifests = [registry.version(number).manifest for number in (1, 2)]
    assert watching.ages == [(each.created, each.trained_at) for each in manifests]


def test_an_observer_hears_how_long_changes_wait_already(registry: Registry) -> None:
    """After a start and after a swap; both versions hold none of them."""
    first = Watching()
    engine = Engine(registry, PLAIN, first)
    engine.upsert([{"id": "a", "title": "x"}])
    engine.delete(["i2"])
    engine.activate(2)
    engine.close()
    oldest = registry.log.read(0)[0].time
    assert first.changed == [None, oldest]
    again = Watching()
    Engine(registry, PLAIN, again).close()
    assert again.changed == [oldest]


def test_a_version_that_could_not_be_opened_is_tried_again_later(
    engine: Engine, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For want of memory, perhaps; not at each look, for reading all of a large version takes long."""
    tried, opened = [], engine_module.load

    def load(*given: object) -> object:
        tried.append(given)
        if len(tried) == 1:
            raise MemoryError("no room for version 2")
        return opened(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(engine_module, "load", load)
    registry.activate(2)
    for _ in range(3):
        engine.follow()
    assert (len(tried), engine.served.version.number) == (1, 1)
    assert caplog.text.count("no room for version 2") == 1
    monkeypatch.setattr(engine_module, "AGAIN_S", 0.0)
    engine.follow()
    engine.follow()
    assert (len(tried), engine.served.version.number) == (2, 2)


def test_upkeep_builds_anew_when_it_is_due(registry: Registry) -> None:
    engine, built = Engine(registry, ServeOptions(runtime="torch", poll_s=0.01)), threading.Event()

    def compact() -> None:
        registry.activate(2)
        built.set()

    engine.start(
        Upkeep(due=lambda health: "two are dead" if health.dead >= 2 and not built.is_set() else None, compact=compact, every_s=0.01)
    )
    engine.delete(["i1"])
    assert not built.wait(0.1)
    engine.delete(["i2"])
    assert built.wait(10)
    for _ in range(1000):
        if engine.served.version.number == 2:
            break
        threading.Event().wait(0.01)
    assert engine.served.state.mark.index == "2.2"
    engine.close()


@pytest.mark.parametrize("error", [BuildingError("another version is being built"), OvertakenError("version 2 is current by now")])
def test_a_catalogue_that_another_process_builds_is_looked_at_again_soon(
    registry: Registry, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def compact() -> None:
        raise error

    engine = Engine(registry, PLAIN)
    engine._keep_up(Upkeep(due=lambda health: "due", compact=compact, patience_s=600))  # would wait so long after a failure
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    engine.close()


def test_upkeep_builds_nothing_while_another_version_is_about_to_be_served(registry: Registry) -> None:
    """Compaction would build version 2 anew, of whose state the engine knows nothing yet."""
    engine, built = Engine(registry, PLAIN), []
    upkeep = Upkeep(due=lambda health: f"{health.dead} are dead", compact=lambda: built.append(engine.served.version.number))
    registry.activate(2)
    engine._keep_up(upkeep)
    assert built == []
    engine.follow()
    engine._keep_up(upkeep)
    assert built == [2]


def test_an_empty_registry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no current version"):
        Engine(Registry(tmp_path))


def test_ready_made_vectors_are_searched_and_written_as_they_are(parts: Parts, tmp_path: Path) -> None:
    folder = shutil.copytree(parts.dataset.folder, tmp_path / "dataset")
    asking = np.random.default_rng(0).normal(size=(parts.dataset.num_queries, 16)).astype(np.float32)
    np.save(folder / "query_vectors.npy", asking)
    given = replace(parts, model=None, dataset=type(parts.dataset).load(folder), reference=None)
    engine = Engine(registry_of(tmp_path / "registry", [write_bundle(tmp_path / "bundle", given)]))
    items = np.load(parts.item_vectors)
    expected = [parts.dataset.item_ids[int(row)] for row in np.argsort(-(items @ asking[3]), kind="stable")[:5]]
    assert ids(engine.search([Query(query_id="3")], k=5)) == [expected]
    asked = schema(engine.served, engine.options.limits)["query"]
    assert (asked["known_ids"], asked["features"], asked["context"], asked["history"]) == (True, [], [], False)
    for name, part in {"features": {"id": "3"}, "context": {"device": "tv"}, "history": ["i1"], "text": "sea"}.items():
        for known in (None, "3"):
            with pytest.raises(DataError, match="takes vector="):
                engine.search([Query(query_id=known, **{name: part})])
            with pytest.raises(DataError, match="has no query tower" if known is None else "takes vector="):
                engine.served.retriever.search(query_id=known, **{name: part})
    with pytest.raises(DataError, match=r"'3000' is not known .* For a new query give vector=$"):
        engine.search([Query(query_id="3000")])
    with pytest.raises(DataError, match="give vector, 16 numbers"):
        engine.upsert([{"id": "new", "title": "x"}])
    with pytest.raises(DataError, match="16 finite numbers"):
        engine.upsert([{"id": "new", "vector": [1.0] * 15}])
    for size in (1e-40, 3e38):  # whose cosine would be infinite in 32 bits
        with pytest.raises(DataError, match="length"):
            engine.upsert([{"id": "odd", "vector": [size, size] + [0.0] * 14}])
    engine.upsert([{"id": "zero", "vector": [0.0] * 16}, {"id": "small", "vector": (1e-9 * asking[3]).tolist()}])
    assert ids(engine.search([Query(query_id="3")], k=1)) == [["small"]]
    found = {hit.id: hit.score for hit in engine.search([Query(query_id="3")], k=100).results[0]}
    assert (found["small"], found["zero"]) == (pytest.approx(1), 0)
    engine.delete(["small"])
    engine.upsert([{"id": "new", "title": "x", "vector": asking[3].tolist()}])
    assert ids(engine.search([Query(query_id="3")], k=1)) == [["new"]]
    again = Engine(engine.registry)
    assert ids(again.search([Query(vector=asking[3])], k=1)) == [["new"]]
