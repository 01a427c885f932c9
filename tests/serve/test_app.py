"""The service over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from services import TOKEN, WRITER, registry_of, running
from starlette.testclient import TestClient

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import ChangeLog
from tt_hydra.errors import BundleError
from tt_hydra.serve import answering
from tt_hydra.serve.app import about, asking
from tt_hydra.serve.app.create import create_app
from tt_hydra.serve.app.service import Service
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.settings import Limits, ServeOptions

LIMITS = Limits(body_bytes=60_000, queries=4, k=50, text_length=300, history=5, values=6, columns=8, items=3, ids=5, param=99)
OPTIONS = ServeOptions(runtime="torch", limits=LIMITS, timeout_s=20)
Serving = tuple[httpx.Client, Service]


@pytest.fixture(scope="module")
def serving(bundle: Bundle, other_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    registry = registry_of(tmp_path_factory.mktemp("service") / "registry", [bundle, other_bundle])
    with running(registry, OPTIONS, metrics=lambda: b"searches_total 3\n") as found:
        yield found


@pytest.fixture(scope="module")
def client(serving: Serving) -> httpx.Client:
    return serving[0]


@pytest.fixture
def fresh(bundle: Bundle, other_bundle: Bundle, tmp_path: Path) -> Any:
    """Starts services of a registry that only the test uses."""
    return lambda options=OPTIONS, **more: running(registry_of(tmp_path / "registry", [bundle, other_bundle]), options, **more)


def search(client: httpx.Client, *queries: dict[str, Any], **more: Any) -> Any:
    answer = client.post("/v1/search", json={"queries": list(queries), **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: Any) -> list[list[str]]:
    return [[hit["id"] for hit in hits] for hits in answer["results"]]


def test_an_answer_is_the_retrievers_and_names_who_gave_it(client: httpx.Client, bundle: Bundle) -> None:
    queries = [{"id": "3"}, {"features": {"age": 30, "job": "a"}, "history": ["i1"], "context": {"device": "tv"}}]
    answer = search(client, *queries, k=5, exclude=["i2"], include=["title", "genres", "vector"])
    retriever = Retriever.load(bundle.folder, verify=False)
    expected = [
        retriever.search(query_id="3", k=5, exclude=["i2"]),
        retriever.search(features={"age": 30, "job": "a"}, history=["i1"], context={"device": "tv"}, k=5, exclude=["i2"]),
    ]
    assert ids(answer) == [[hit.id for hit in hits] for hits in expected]
    assert [[hit["fields"]["title"] for hit in hits] for hits in answer["results"]] == [[hit.title for hit in hits] for hits in expected]
    scores = [hit["score"] for hits in answer["results"] for hit in hits]
    np.testing.assert_allclose(scores, [hit.score for hits in expected for hit in hits], atol=1e-6)
    first = answer["results"][0][0]
    row = retriever.row_of[first["id"]]
    np.testing.assert_allclose(first["vector"], bundle.item_vectors[row], atol=1e-6)
    assert first["fields"]["genres"] == bundle.items("genres")["genres"][row].to_list()
    assert (answer["model"], answer["version"], answer["index"]) == (bundle.manifest.model_fingerprint, 1, "1.0")
    assert "fields" not in search(client, {"id": "3"})["results"][0][0]


def test_what_is_asked_at_once_is_answered_as_what_is_asked_alone(client: httpx.Client) -> None:
    queries = [{"features": {"age": number}, "history": [f"i{number}"]} for number in range(30)]
    alone = [ids(search(client, query, k=4)) for query in queries]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda query: ids(search(client, query, k=4)), queries)) == alone


def test_vectors_of_queries_and_items(client: httpx.Client, bundle: Bundle) -> None:
    retriever = Retriever.load(bundle.folder, verify=False)
    found = client.post("/v1/embed", json={"queries": [{"features": {"age": 20}}]}).json()
    np.testing.assert_allclose(found["vectors"], retriever.embed_queries([Query(features={"age": 20})]), atol=1e-6)
    rows = [{"title": "film 7 about sea", "genres": ["a"], "year": 1957}, {"title": "other"}]
    items = client.post("/v1/embed", json={"items": rows}).json()
    np.testing.assert_allclose(items["vectors"], retriever.embed_items(rows), atol=1e-6)
    assert items["model"] == found["model"] == bundle.manifest.model_fingerprint


def test_an_item_is_written_found_replaced_read_and_deleted(fresh: Any) -> None:
    with fresh() as (client, _):
        row = {"id": "new/1 ü", "title": "film 7 about sea", "genres": ["a"], "year": 1957}
        written = client.put("/v1/items", json={"items": [row]}, headers=WRITER)
        assert written.status_code == 200, written.text
        assert written.json() | {"model": ""} == {"model": "", "version": 1, "index": "1.1", "upserted": 1, "sequence": 1}
        assert client.get("/v1/items/new%2F1%20%C3%BC").json()["item"] == {**row, "poster": None}
        vector = client.post("/v1/embed", json={"items": [{name: row[name] for name in ("title", "genres", "year")}]}).json()["vectors"][0]
        answer = search(client, {"vector": vector}, k=1, include="*")
        assert answer["results"][0][0]["fields"] == {**row, "poster": None}
        assert answer["index"] == "1.1"
        deleted = client.request("DELETE", "/v1/items", json={"ids": ["new/1 ü", "nobody"]}, headers=WRITER).json()
        assert (deleted["deleted"], deleted["unknown"], deleted["sequence"]) == (1, ["nobody"], 2)
        assert client.get("/v1/items/new%2F1%20%C3%BC").status_code == 404
        assert "new/1 ü" not in ids(search(client, {"vector": vector}, k=50))[0]


def test_whole_numbers_are_ids_too(fresh: Any) -> None:
    with fresh() as (client, _):
        assert client.put("/v1/items", json={"items": [{"id": 77, "title": "x"}]}, headers=WRITER).status_code == 200
        assert client.get("/v1/items/77").json()["item"]["id"] == "77"
        assert client.request("DELETE", "/v1/items", json={"ids": [77]}, headers=WRITER).json()["deleted"] == 1
        assert ids(search(client, {"id": 3})) == ids(search(client, {"id": "3"}))


def test_versions_are_listed_and_activated(fresh: Any, other_bundle: Bundle) -> None:
    with fresh() as (client, _):
        listed = client.get("/v1/versions").json()
        assert (listed["current"], listed["previous"]) == (1, None)
        assert [each["version"] for each in listed["versions"]] == [1, 2]
        assert client.post("/v1/versions/2/activate").status_code == 401
        assert client.post("/v1/versions/2/activate", headers=WRITER).json()["model"] == other_bundle.manifest.model_fingerprint
        assert search(client, {"id": "3"})["version"] == 2
        gone = client.post("/v1/versions/9/activate", headers=WRITER)
        assert gone.status_code == 404
        assert gone.json() == {"error": {"reason": "there is no version 9; GET /v1/versions lists those that there are"}}
        assert client.get("/v1/versions").json()["current"] == 2


def test_a_swap_under_load_fails_nothing_and_mixes_nothing(fresh: Any) -> None:
    with fresh() as (client, service):
        queries = [{"id": str(number)} for number in range(3)]
        truth = {}
        for version in (1, 2):
            service.engine.activate(version)
            truth[version] = ids(search(client, *queries, k=10))
        assert truth[1] != truth[2]
        answers, ending = [], threading.Event()

        def ask() -> None:
            while not ending.is_set():
                answers.append(search(client, *queries, k=10))

        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        for number in range(10):
            service.engine.activate(1 + number % 2)
        ending.set()
        for asker in askers:
            asker.join()
        assert {answer["version"] for answer in answers} == {1, 2}
        assert all(ids(answer) == truth[answer["version"]] for answer in answers)


def test_what_is_served_is_described(client: httpx.Client, bundle: Bundle) -> None:
    found = client.get("/v1/schema").json()
    query = found["query"]
    assert (query["text"], query["known_ids"], query["history"], query["example_ids"][:2]) == (False, True, True, ["0", "1"])
    assert {each["name"]: each["kind"] for each in query["features"]} == {"age": "numeric", "job": "categorical", "id": "categorical"}
    assert sorted(next(each for each in query["context"] if each["name"] == "device")["values"]) == ["phone", "tv"]
    columns = {each["name"]: (each["type"], each["kind"]) for each in found["items"]["columns"]}
    assert columns["genres"] == ("List(String)", "multi")
    assert columns["poster"] == ("String", "text")
    assert (found["items"]["title"], found["limits"]["queries"]) == ("title", 4)
    assert client.get("/v1/monitor").json() == {}
    assert client.get("/metrics").text == "searches_total 3\n"
    assert client.get("/openapi.json").json()["paths"].keys() >= {"/v1/search", "/v1/items", "/readyz"}


NAMELESS: list[tuple[str, str, bytes, int]] = [
    ("GET", "/healthz", b"", 200),
    ("GET", "/readyz", b"", 200),
    ("GET", "/v1/versions", b"", 200),
    ("GET", "/v1/schema", b"", 200),
    ("GET", "/v1/monitor", b"", 200),
    ("GET", "/metrics", b"", 200),
    ("GET", "/v1/items/i3", b"", 200),
    ("POST", "/v1/embed", b'{"items": [{"title": "x"}]}', 200),
    ("GET", "/v1/items/none", b"", 404),
    ("GET", "/v2", b"", 404),
    ("POST", "/v1/search", b"{", 400),
    ("POST", "/v1/search", b'{"queries": [{"id": "nobody"}]}', 422),
    ("PUT", "/v1/items", b"{}", 422),
    ("POST", "/v1/versions/9/activate", b"", 404),
]


@pytest.mark.parametrize(("method", "path", "content", "status"), NAMELESS, ids=lambda each: str(each)[:20])
def test_an_answer_whose_body_does_not_say_who_gave_it_says_so_beside_it(
    client: httpx.Client, bundle: Bundle, method: str, path: str, content: bytes, status: int
) -> None:
    answer = client.request(method, path, content=content, headers=WRITER)
    assert answer.status_code == status
    assert answer.headers.get_list("x-tt-hydra-model") == [bundle.manifest.model_fingerprint]
    assert answer.headers.get_list("x-tt-hydra-index") == ["1.0"]


def test_headers_name_what_the_body_names(fresh: Any, other_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is served by the time that the answer leaves."""
    with fresh() as (client, service):
        written, item = service.engine.upsert, {"id": "a", "title": "x"}

        def overtaken(rows: Any) -> Any:
            mark = written(rows)
            written([{"id": "b", "title": "y"}])
            return mark

        monkeypatch.setattr(service.engine, "upsert", overtaken)
        answer = client.put("/v1/items", json={"items": [item]}, headers=WRITER)
        assert (answer.json()["index"], answer.headers["x-tt-hydra-index"]) == ("1.1", "1.1")
        assert client.get("/healthz").headers["x-tt-hydra-index"] == "1.2"
        swapped = client.post("/v1/versions/2/activate", headers=WRITER).headers
        assert (swapped["x-tt-hydra-model"], swapped["x-tt-hydra-index"]) == (other_bundle.manifest.model_fingerprint, "2.2")
        responses = client.get("/openapi.json").json()["paths"]["/v1/versions"]["get"]["responses"]
        assert all({"X-TT-Hydra-Model", "X-TT-Hydra-Index"} <= each["headers"].keys() for each in responses.values())


def test_the_page_is_there_and_asks_no_other_host(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/static/page.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/static/..%2f..%2fengine.py").status_code == 404
    assert client.get("/docs").status_code == 404


def test_readiness_waits_for_warm_up_and_ends_with_draining(fresh: Any) -> None:
    with fresh(is_warm=False) as (client, service):
        assert client.get("/healthz").status_code == 200
        assert (client.get("/readyz").status_code, client.get("/readyz").json()["status"]) == (503, "warming up")
        service.warm_up()
        assert client.get("/readyz").json()["status"] == "ready"
        service.draining = True
        assert (client.get("/readyz").status_code, client.get("/healthz").status_code) == (503, 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": "Bearer other"}, 403),
        ({"Authorization": "Bearer"}, 403),
        ({"Authorization": f"Bearer {TOKEN}x"}, 403),
        ({"Authorization": b"Bearer \xff\xfe"}, 403),
        ({"Authorization": f"bearer {TOKEN}"}, 422),
    ],
)
def test_writing_needs_the_token(client: httpx.Client, headers: dict[str, Any], status: int) -> None:
    assert client.put("/v1/items", json={"items": [{"no": "id"}]}, headers=headers).status_code == status
    assert search(client, {"id": "3"})["index"] == "1.0"


def test_without_a_token_nobody_writes_and_reading_may_ask_for_it(fresh: Any) -> None:
    with fresh(token=None) as (client, _):
        refused = client.put("/v1/items", json={"items": [{"id": "a"}]}, headers={"Authorization": "Bearer"})
        assert refused.status_code == 403
        assert "TT_HYDRA_TOKEN" in refused.json()["error"]["reason"]
    with fresh(ServeOptions(runtime="torch", read_token=True)) as (client, _):
        assert client.post("/v1/search", json={"queries": [{"id": "3"}]}).status_code == 401
        assert client.get("/v1/versions").status_code == 401
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        assert client.post("/v1/search", json={"queries": [{"id": "3"}]}, headers=WRITER).status_code == 200


def test_too_many_are_told_to_come_again_and_late_ones_that_they_are(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh(ServeOptions(runtime="torch", max_waiting=2, timeout_s=0.5)) as (client, service):
        held, answer = threading.Event(), service.engine.answer

        def slow(asks: Any) -> Any:
            held.wait(10)
            return answer(asks)

        monkeypatch.setattr(service._batcher, "_answer", slow)
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: client.post("/v1/search", json={"queries": [{"id": "3"}]}), range(6)))
        assert sorted(each.status_code for each in answers) == [429] * 4 + [504] * 2
        busy = next(each for each in answers if each.status_code == 429)
        assert busy.headers["retry-after"] == "1"
        held.set()
        for _ in range(100):
            if service._batcher.waiting == 0:
                break
            time.sleep(0.01)
        assert search(client, {"id": "3"})


def test_the_time_of_a_request_includes_its_wait_in_the_queue(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes at 100 s, a worker is free at 107 s and takes no time: 7 s in all, none of them in the tower or the search."""
    seconds = iter([100.0])
    clock = SimpleNamespace(perf_counter=lambda: next(seconds, 107.0))
    monkeypatch.setattr(asking, "time", clock)
    with fresh() as (client, _):
        monkeypatch.setattr(answering, "time", clock)
        told = client.post("/v1/search", json={"queries": [{"id": "3"}]}).headers["server-timing"]
    assert told == "tower;dur=0.000, search;dur=0.000, merge;dur=0.000, total;dur=7000.000"


class Stuck:
    """An observer that does not say what it saw, until it may."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def state(self) -> dict[str, Any]:
        self.free.wait(10)
        return {}

    def serving(self, *given: Any, **more: Any) -> None: ...

    searched = written = serving

    def close(self) -> None: ...


def test_nobody_waits_longer_than_the_service_allows_for_what_it_looks_up(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """But a version may take its time to be loaded."""
    stuck = Stuck()

    def slow(*given: Any) -> Any:
        stuck.free.wait(10)
        raise BundleError("there is none")

    monkeypatch.setattr(about, "versions", slow)
    monkeypatch.setattr(about, "schema", slow)
    options = ServeOptions(runtime="torch", timeout_s=0.2)
    with fresh(options, observer=stuck, metrics=lambda: b"%d" % len(stuck.state())) as (client, service):
        monkeypatch.setattr(service.engine, "item", slow)
        monkeypatch.setattr(service.engine, "activate", slow)
        with ThreadPoolExecutor(6) as pool:
            paths = ["/v1/versions", "/v1/schema", "/v1/monitor", "/metrics", "/v1/items/i3"]
            loading = pool.submit(client.post, "/v1/versions/2/activate", headers=WRITER)
            assert [each.status_code for each in pool.map(client.get, paths)] == [504] * 5
            stuck.free.set()
            assert loading.result().status_code == 409


def test_a_disk_that_refuses_is_told_and_the_service_goes_on(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh() as (client, _):
        with monkeypatch.context() as full:
            full.setattr(ChangeLog, "append", lambda self, changes: (_ for _ in ()).throw(BundleError("the disk is full")))
            refused = client.put("/v1/items", json={"items": [{"id": "a", "title": "x"}]}, headers=WRITER)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert client.get("/v1/items/a").status_code == 404
        assert client.put("/v1/items", json={"items": [{"id": "a", "title": "x"}]}, headers=WRITER).json()["sequence"] == 1


def test_a_fault_of_ours_shows_no_trace(fresh: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with fresh() as (client, service):
        monkeypatch.setattr(service._batcher, "_answer", lambda asks: 1 / 0)
        broken = client.post("/v1/search", json={"queries": [{"id": "3"}]})
        assert broken.status_code == 500
        assert broken.json() == {"error": {"reason": "the service failed at this request; its log says more"}}
        assert "ZeroDivisionError" in caplog.text


LONG = "x" * 301
REFUSED: list[tuple[str, Any, int, str | None]] = [
    ("no json", b"{", 400, None),
    ("empty", b"", 400, None),
    ("no object", b"[]", 422, None),
    ("utf-16", json.dumps({"queries": [{"id": "3"}]}).encode("utf-16"), 400, None),
    ("lone surrogate", b'{"queries": [{"text": "\\ud800"}]}', 400, None),
    ("NaN", b'{"queries": [{"features": {"age": NaN}}]}', 400, None),
    ("Infinity", b'{"queries": [{"vector": [Infinity]}]}', 400, None),
    ("1e999", b'{"queries": [{"features": {"age": 1e999}}]}', 400, None),
    ("deep", b"[" * 20_000 + b"]" * 20_000, 400, None),
    ("deep query", b'{"queries": [{"features": {"age": ' + b"[" * 500 + b"]" * 500 + b"}}]}", 422, None),
    ("too large", b" " * 60_001, 413, None),
    ("no queries", {}, 422, "queries"),
    ("zero queries", {"queries": []}, 422, "queries"),
    ("many queries", {"queries": [{"id": "3"}] * 5}, 422, "queries"),
    ("unknown field", {"queries": [{"id": "3"}], "kk": 3}, 422, "kk"),
    ("unknown query field", {"queries": [{"id": "3", "feature": {}}]}, 422, "queries.0.feature"),
    ("empty query", {"queries": [{}]}, 422, "queries.0"),
    ("k of text", {"queries": [{"id": "3"}], "k": "10"}, 422, "k"),
    ("k of half", {"queries": [{"id": "3"}], "k": 1.5}, 422, "k"),
    ("k 0", {"queries": [{"id": "3"}], "k": 0}, 422, "k"),
    ("k large", {"queries": [{"id": "3"}], "k": 51}, 422, "k"),
    ("long text", {"queries": [{"text": LONG}]}, 422, "queries.0.text"),
    ("long feature", {"queries": [{"features": {"job": LONG}}]}, 422, "queries.0.features.job"),
    ("long key", {"queries": [{"features": {LONG: 1}}]}, 422, "queries.0.features"),
    ("many features", {"queries": [{"features": {str(n): n for n in range(9)}}]}, 422, "queries.0.features"),
    ("text not taken", {"queries": [{"id": "1"}, {"text": "sea"}]}, 422, "queries.1"),
    ("unknown id", {"queries": [{"id": "nobody"}]}, 422, "queries.0"),
    ("unknown feature", {"queries": [{"features": {"aeg": 3}}]}, 422, "queries.0"),
    ("number of text", {"queries": [{"features": {"age": "old"}}]}, 422, "queries.0"),
    ("largest double", {"queries": [{"features": {"age": 1.7e308}}]}, 422, "queries.0"),
    ("history too long", {"queries": [{"history": ["i1"] * 6}]}, 422, "queries.0.history"),
    ("history of lists", {"queries": [{"history": [["i1"]]}]}, 422, "queries.0.history.0"),
    ("short vector", {"queries": [{"vector": [0.5]}]}, 422, "queries.0.vector"),
    ("vector of text", {"queries": [{"vector": ["a"] * 16}]}, 422, "queries.0.vector.0"),
    ("vector beyond float32", {"queries": [{"vector": [1e300] * 16}]}, 422, "queries.0.vector"),
    ("vector and id", {"queries": [{"vector": [0.1] * 16, "id": "3"}]}, 422, "queries.0.vector"),
    ("many excluded", {"queries": [{"id": "3"}], "exclude": ["a"] * 6}, 422, "exclude"),
    ("filter column", {"queries": [{"id": "3"}], "filter": {"yaer": 3}}, 422, None),
    ("filter values", {"queries": [{"id": "3"}], "filter": {"year": list(range(7))}}, 422, "filter.year"),
    ("filter rule", {"queries": [{"id": "3"}], "filter": {"year": {"near": 3}}}, 422, "filter.year"),
    ("filter type", {"queries": [{"id": "3"}], "filter": {"year": "new"}}, 422, None),
    ("many included", {"queries": [{"id": "3"}], "include": ["title"] * 9}, 422, "include"),
    ("include", {"queries": [{"id": "3"}], "include": ["titel"]}, 422, None),
    ("params", {"queries": [{"id": "3"}], "params": {"efSearch": 5}}, 422, None),
    ("params large", {"queries": [{"id": "3"}], "params": {"efSearch": 100}}, 422, "params.efSearch"),
]


@pytest.mark.parametrize(("body", "status", "place"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED])
def test_what_makes_no_sense_is_refused_with_a_reason(client: httpx.Client, body: Any, status: int, place: str | None) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/v1/search", content=content)
    assert answer.status_code == status, answer.text
    fault = answer.json()["error"]
    assert len(fault["reason"]) > 10
    assert "Traceback" not in answer.text
    if place is not None:
        assert (fault.get("field") or "").startswith(place), fault
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"items": []}, "items"),
        ({"items": [{"id": str(n)} for n in range(4)]}, "items"),
        ({"items": [{"title": "x"}]}, None),
        ({"items": [{"id": None}]}, None),
        ({"items": [{"id": 1.5}]}, None),
        ({"items": [{"id": ""}]}, None),
        ({"items": [{"id": "a"}, {"id": "a"}]}, None),
        ({"items": [{"id": "a", "titel": "x"}]}, None),
        ({"items": [{"id": "a", "year": "long ago"}]}, None),
        ({"items": [{"id": "a", "year": 1e300}]}, None),
        ({"items": [{"id": "a", "title": LONG}]}, "items.0.title"),
        ({"items": [{"id": "a", "genres": ["a"] * 7}]}, "items.0.genres"),
        ({"items": [{"id": "a", "vector": [0.1] * 16}]}, None),
        ({"items": "a"}, "items"),
    ],
)
def test_items_that_make_no_sense_are_refused(client: httpx.Client, body: Any, place: str | None) -> None:
    answer = client.put("/v1/items", json=body, headers=WRITER)
    assert answer.status_code == 422, answer.text
    if place is not None:
        assert answer.json()["error"]["field"].startswith(place)
    assert search(client, {"id": "3"})["index"] == "1.0"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/search", 405),
        ("POST", "/v1/items", 405),
        ("GET", "/v2/search", 404),
        ("POST", "/v1/versions/one/activate", 422),
        ("POST", f"/v1/versions/{10**30}/activate", 404),
        ("POST", f"/v1/versions/{10**1000}/activate", 404),
        ("POST", "/v1/versions/-1/activate", 404),
        ("GET", "/v1/items/%00%ff", 404),
        ("GET", "/v1/items/", 404),
        ("TRACE", "/", 405),
    ],
)
def test_routes_that_there_are_not(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, headers=WRITER)
    assert answer.status_code == status
    assert answer.json()["error"]["reason"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /v1/search HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    ],
)
def test_broken_http_does_not_break_the_service(client: httpx.Client, raw: bytes) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=5) as peer:
        peer.sendall(raw)
        peer.settimeout(1)
        try:
            answer = peer.recv(4096)
        except TimeoutError:
            answer = b""
        assert b"HTTP/1.1 5" not in answer
    assert search(client, {"id": "3"})


def test_a_body_in_parts_is_counted_whole(client: httpx.Client) -> None:
    parts = (b"x" * 10_000 for _ in range(7))
    assert client.post("/v1/search", content=parts).status_code == 413


def test_a_client_that_goes_away_leaves_no_trace(client: httpx.Client, serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"queries": [{"id": "3"}]}).encode()
    head = f"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for sent in (head, head + body[:5], head + body):
        with socket.create_connection((client.base_url.host, client.base_url.port)) as peer:
            peer.sendall(sent)
    for _ in range(200):
        if serving[1]._batcher.waiting == 0:
            break
        time.sleep(0.01)
    assert serving[1]._batcher.waiting == 0
    assert search(client, {"id": "3"})
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b'{"queries": [{"id": "3"}], "k": 3}',
        b'{"queries": [{"id": "nobody"}]}',
        b'{"queries": []}',
        b'{"queries": [{"features": {"height": 3}}]}',
        b'{"queries": [{"id": "3"}], "k": 51}',
        b'{"queries": [{"id": "3"}], "params": {"nprobe": 3}}',
        b"{",
        b"[" * 40 + b"]" * 40,
        b'{"queries": [{"text": "' + b"x" * 301 + b'"}]}',
        b" " * 60_001,
    ],
)
def test_searches_before_the_framework_are_answered_as_within_it(serving: Serving, content: bytes) -> None:
    client, service = serving
    before = client.post("/v1/search", content=content)
    with TestClient(create_app(service)) as inside:
        within = inside.post("/v1/search", content=content)
    assert (before.status_code, before.json()) == (within.status_code, within.json())
    assert before.headers["content-type"] == within.headers["content-type"]


def test_what_fails_before_the_framework_is_no_stack_trace(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    client, service = serving
    monkeypatch.setattr(service, "require_reader", lambda _: 1 / 0)
    answer = client.post("/v1/search", json={"queries": [{"id": "3"}]})
    assert (answer.status_code, answer.json()) == (500, {"error": {"reason": "the service failed at this request; its log says more"}})
