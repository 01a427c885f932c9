from __future__ import annotations

import subprocess
import sys

import httpx
import pytest
from fake_service import TOKEN, Asked, always, refused, serving, with_token

from tt_hydra import client as module
from tt_hydra.client import Client, Hit, Mark, Written, http
from tt_hydra.errors import ServiceError, TTHydraError

MARK = {"model": "abc", "version": 3, "index": "3.17"}
SAID = Mark(model="abc", version=3, index="3.17")


@pytest.fixture
def service():
    with serving({}) as service:
        yield service


@pytest.fixture
def client(service, monkeypatch):
    monkeypatch.delenv("TT_HYDRA_TOKEN", raising=False)
    with Client(service.url, token=TOKEN) as client:
        yield client


@pytest.fixture
def waits(monkeypatch):
    """Seconds that were waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr(http.time, "sleep", found.append)
    return found


def sent(service) -> Asked:
    return service.asked[-1]


def test_importing_it_imports_neither_torch_nor_faiss():
    told = "import sys, tt_hydra.client; print(sorted({'torch', 'faiss', 'polars', 'fastapi', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_search(client, service):
    hits = [{"id": "i1", "score": 0.5}, {"id": "i2", "score": 0.25, "fields": {"title": "x"}, "vector": [1.0, 0.0]}]
    service.routes["POST /v1/search"] = always({**MARK, "results": [hits]})
    found = client.search("the sea", k=2)
    assert sent(service).body == {"queries": [{"text": "the sea"}], "k": 2}
    assert found.mark == SAID
    assert list(found) == [
        Hit(rank=1, id="i1", score=0.5),
        Hit(rank=2, id="i2", score=0.25, fields={"title": "x"}, vector=[1.0, 0.0]),
    ]
    assert (len(found), found[0].id, [hit.id for hit in found[1:]]) == (2, "i1", ["i2"])


def test_all_that_a_search_can_say(client, service):
    service.routes["POST /v1/search"] = always({**MARK, "results": [[], []]})
    more = {"filter": {"year": {"gte": 1990}}, "exclude": ("i1",), "exclude_seen": True, "params": {"efSearch": 64}, "exact": True}
    found = client.search_many([{"id": "7", "context": {"device": "tv"}}, "sea"], k=3, include=["title", "vector"], **more)
    assert [len(each) for each in found] == [0, 0]
    queries = [{"id": "7", "context": {"device": "tv"}}, {"text": "sea"}]
    assert sent(service).body == {"queries": queries, "k": 3, "include": ["title", "vector"], **more, "exclude": ["i1"]}
    client.search_many(["a", "b"], include="*")
    assert sent(service).body["include"] == "*"
    client.search_many(["a", "b"], include="title")
    assert sent(service).body["include"] == ["title"]


def test_vectors(client, service):
    service.routes["POST /v1/embed"] = always({**MARK, "vectors": [[0.5, -0.5]]})
    assert client.embed(["sea"]).vectors == [[0.5, -0.5]]
    assert sent(service).body == {"queries": [{"text": "sea"}]}
    assert client.embed(items=[{"title": "x"}]).mark == SAID
    assert sent(service).body == {"items": [{"title": "x"}]}


def test_writes_carry_the_token_and_say_what_was_done(client, service):
    service.routes["PUT /v1/items"] = with_token(lambda asked: (200, {**MARK, "upserted": len(asked.body["items"]), "sequence": 17}))
    service.routes["DELETE /v1/items"] = with_token(lambda asked: (200, {**MARK, "deleted": 1, "unknown": ["no"], "sequence": 18}))
    assert client.upsert([{"id": "a", "title": "b"}]) == Written(mark=SAID, count=1, sequence=17)
    assert client.delete(["a", "no"]) == Written(mark=SAID, count=1, sequence=18, unknown=("no",))
    assert sent(service).body == {"ids": ["a", "no"]}
    with pytest.raises(ServiceError, match="no items are given"):
        client.upsert([])


def test_what_is_given_alone_is_one(client, service):
    service.routes["PUT /v1/items"] = always({**MARK, "upserted": 1, "sequence": 1})
    service.routes["DELETE /v1/items"] = always({**MARK, "deleted": 1, "unknown": [], "sequence": 2})
    service.routes["POST /v1/search"] = always({**MARK, "results": [[]]})
    service.routes["POST /v1/embed"] = always({**MARK, "vectors": [[0.5]]})
    item = {"id": "17", "title": "b"}
    client.delete("17")
    client.delete(17)
    client.upsert(item)
    client.search("sea", exclude="17")
    client.search("sea", exclude=17)
    client.embed("sea")
    client.embed(items=item)
    client.search_many({"id": "7"}, k=3)
    assert [asked.body for asked in service.asked] == [
        {"ids": ["17"]},
        {"ids": [17]},
        {"items": [item]},
        {"queries": [{"text": "sea"}], "k": 10, "exclude": ["17"]},
        {"queries": [{"text": "sea"}], "k": 10, "exclude": [17]},
        {"queries": [{"text": "sea"}]},
        {"items": [item]},
        {"queries": [{"id": "7"}], "k": 3},
    ]


def test_a_large_write_goes_in_parts_that_a_service_takes(client, service, monkeypatch):
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 2)
    service.routes["PUT /v1/items"] = lambda asked: (200, {**MARK, "upserted": len(asked.body["items"]), "sequence": len(service.asked)})
    assert client.upsert([{"id": str(number)} for number in range(5)]) == Written(mark=SAID, count=5, sequence=3)
    assert [[item["id"] for item in asked.body["items"]] for asked in service.asked] == [["0", "1"], ["2", "3"], ["4"]]


@pytest.mark.parametrize(
    ("environment", "argument"), [(TOKEN, None), (f" {TOKEN}\n", None), ("another", TOKEN)], ids=["environment", "with blanks", "argument"]
)
def test_where_the_token_comes_from(service, monkeypatch, environment, argument):
    """A mounted secret often ends with a newline."""
    monkeypatch.setenv("TT_HYDRA_TOKEN", environment)
    service.routes["GET /v1/schema"] = with_token(always({"query": {}}))
    with Client(service.url, token=argument) as client:
        assert client.schema() == {"query": {}}


def test_an_item_of_any_id(client, service):
    service.routes["GET /v1/items/a%2Fb%20%3Fc%23"] = always({**MARK, "item": {"id": "a/b ?c#", "title": "x"}})
    assert client.item("a/b ?c#").fields["title"] == "x"
    service.routes["GET /v1/items/77"] = always({**MARK, "item": {"id": "77", "title": "y"}})
    assert client.item(77).fields["title"] == "y"


def test_versions(client, service):
    one = {"version": 1, "created": "2026-11-21", "items": 2, "model": "m", "metric": "dot", "dim": 4, "index": {}, "measured": {"a": 0.5}}
    service.routes["GET /v1/versions"] = always({"current": 2, "previous": 1, "versions": [one, {**one, "version": 2}]})
    service.routes["POST /v1/versions/2/activate"] = with_token(always({**MARK, "version": 2}))
    assert [(each.number, each.current, each.measured) for each in client.versions()] == [(1, False, {"a": 0.5}), (2, True, {"a": 0.5})]
    assert client.activate(2).version == 2


def test_a_refusal_says_why(client, service, waits):
    service.routes["POST /v1/search"] = lambda asked: (422, {"error": {"reason": "k=0: at least 1", "field": "k"}})
    with pytest.raises(ServiceError) as caught:
        client.search("x", k=0)
    assert (str(caught.value), caught.value.status, caught.value.field) == ("k=0: at least 1 (k)", 422, "k")
    assert isinstance(caught.value, TTHydraError)
    assert (len(service.asked), waits) == (1, [])


def test_a_busy_service_is_asked_again_when_it_says(client, service, waits):
    answers = iter([refused(429, "busy", Retry_After="2"), refused(503, "draining")])
    service.routes["POST /v1/search"] = lambda asked: next(answers, None) or (200, {**MARK, "results": [[]]})
    assert len(client.search("x")) == 0
    assert waits[0] == 2
    assert 0.2 <= waits[1] <= 0.3


def test_a_service_that_stays_busy(client, service, waits):
    service.routes["POST /v1/search"] = lambda asked: refused(429, "busy")
    with pytest.raises(ServiceError, match="busy") as caught:
        client.search("x")
    assert (caught.value.status, len(service.asked), len(waits)) == (429, 5, 4)
    service.routes["POST /v1/search"] = lambda asked: refused(429, "come back tomorrow", Retry_After="86400")
    with pytest.raises(ServiceError, match="tomorrow"):
        client.search("x")
    assert len(waits) == 4, "a day is not waited for"


def test_a_lost_connection_is_made_again(waits):
    tries = []

    def lost(request: httpx.Request) -> httpx.Response:
        tries.append(request.url.path)
        if len(tries) < 3:
            raise httpx.RemoteProtocolError("gone")
        return httpx.Response(200, json={**MARK, "upserted": 1, "sequence": 5})

    with Client(transport=httpx.MockTransport(lost)) as client:
        assert client.upsert([{"id": "a"}]).sequence == 5
    assert (tries, len(waits)) == (["/v1/items"] * 3, 2)


def test_no_service_at_the_address(waits):
    with serving({}) as gone:
        pass
    with Client(gone.url, retries=1) as client, pytest.raises(ServiceError, match="Is the service running there"):
        client.versions()
    assert len(waits) == 1


def test_a_service_that_takes_too_long_is_not_asked_again(waits):
    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    with Client(timeout=0.5, transport=httpx.MockTransport(slow)) as client, pytest.raises(ServiceError, match=r"within 0\.5 s"):
        client.search("x")
    assert waits == []


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(200, json=[1])])
def test_another_service_at_the_address(answer):
    with Client(transport=httpx.MockTransport(lambda request: answer)) as client, pytest.raises(ServiceError, match="not as tt_hydra does"):
        client.schema()


@pytest.mark.parametrize("content", ["<html>", "[]", '{"error": "no"}'])
def test_a_refusal_without_a_reason(content):
    answer = httpx.Response(502, text=content)
    with Client(transport=httpx.MockTransport(lambda request: answer)) as client, pytest.raises(ServiceError, match="502 Bad Gateway"):
        client.schema()


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_is_no_json_is_refused_before_it_is_sent(client, service, value):
    with pytest.raises(ServiceError, match="cannot be sent as JSON"):
        client.search({"vector": [value]})
    assert service.asked == []
