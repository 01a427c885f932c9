"""Requests that nobody sends by accident, byte by byte to a real service: refused with a reason, and the next one is answered."""

from __future__ import annotations

import json
import logging
import re
import socket
import time

import pytest
from services import TOKEN, WRITER, registry_of, running

from tt_hydra.serve.app import protocol
from tt_hydra.serve.settings import ServeOptions

KNOWN = {"queries": [{"id": "1"}]}
BEARER = f"Authorization: Bearer {TOKEN}\r\n"


@pytest.fixture(scope="module")
def service(bundle, tmp_path_factory):
    with running(registry_of(tmp_path_factory.mktemp("hostile") / "registry", [bundle]), ServeOptions(runtime="torch")) as (client, _):
        yield client


@pytest.fixture
def answer(service, caplog):
    """Sends bytes as they are; gives the status and the body. The service logs no failure of its own, and lives on."""

    def answer(sent: bytes, *, is_cut: bool = False) -> tuple[int, str]:
        with socket.create_connection((service.base_url.host, service.base_url.port), timeout=20) as connection:
            connection.sendall(sent)
            if is_cut:
                connection.shutdown(socket.SHUT_WR)
            return received(connection)

    yield answer
    assert service.post("/v1/search", json=KNOWN).status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def received(connection: socket.socket) -> tuple[int, str]:
    with connection.makefile("rb") as stream:
        status = stream.readline()
        if not status:
            return 0, ""
        length = 0
        while (line := stream.readline().strip().lower()) != b"":
            name, _, value = line.partition(b":")
            length = int(value) if name == b"content-length" else length
        return int(status.split()[1]), stream.read(length).decode()


def request(body: bytes, *, method: str = "POST", path: str = "/v1/search", headers: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def with_query(**more: object) -> bytes:
    return json.dumps({**KNOWN, **more}).encode()


@pytest.mark.parametrize("depth", [17, 900, 1000, 1023, 1024, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_values_deep_in_one_another(answer, depth, left, right):
    status, text = answer(request(b'{"queries":[{"id":"1"}],"filter":' + (left * depth + "1" + right * depth).encode() + b"}"))
    assert status in {400, 422}
    assert "reason" in json.loads(text)["error"]


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "1e400", "-1e400", "1e308", "9" * 400, "18446744073709551616", "1.5", "0.1e-400", "-0"]
)
@pytest.mark.parametrize(
    "template",
    [
        '{"queries":[{"id":"1"}],"k":%s}',
        '{"queries":[{"features":{"age":%s,"job":%s}}]}',
        '{"queries":[{"vector":[%s,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}]}',
        '{"queries":[{"id":"1"}],"filter":{"year":%s}}',
        '{"queries":[{"id":"1"}],"filter":{"year":[1980,%s]}}',
        '{"queries":[{"id":"1"}],"filter":{"year":{"gte":%s,"not":%s}}}',
        '{"queries":[{"id":"1"}],"filter":{"genres":[%s]}}',
    ],
)
def test_odd_numbers(answer, template, number):
    status, text = answer(request(template.replace("%s", number).encode()))
    assert status in {200, 400, 422}
    assert status == 200 or "reason" in json.loads(text)["error"]


@pytest.mark.parametrize("value", ["1", True, None, [1]])
def test_a_vector_is_of_numbers(answer, value):
    status, text = answer(request(json.dumps({"queries": [{"vector": [value] * 16}]}).encode()))
    assert (status, json.loads(text)["error"]["field"]) == (422, "queries.0.vector.0")


@pytest.mark.parametrize(
    ("wanted", "years"),
    [
        ([1980.0, 1981.5, 1e308, 2**62], {1980}),
        ([1979, 1981.0], {1979, 1981}),
        (1980.0, {1980}),
        (1980.5, set()),
        ([], set()),
        ({"not": []}, None),
        ({"not": 1980.5}, None),
        ({"gte": 1987.5}, {1988, 1989}),
    ],
)
def test_a_filter_takes_numbers_as_numbers(answer, wanted, years):
    status, text = answer(request(with_query(filter={"year": wanted}, k=100, include=["year"])))
    found = [hit["fields"]["year"] for hit in json.loads(text)["results"][0]]
    assert status == 200
    assert len(found) == 40 if years is None else set(found) == years


@pytest.mark.parametrize(("year", "kept"), [(1980.0, 1980), ("1980", 1980), (1980.5, None), ("1980.5", None), (2**63, None), (None, None)])
def test_a_column_of_whole_numbers_takes_no_fraction(answer, service, year, kept):
    sent = request(json.dumps({"items": [{"id": "odd", "year": year}]}).encode(), method="PUT", path="/v1/items", headers=BEARER)
    status, text = answer(sent)
    if kept is None and year is not None:
        assert (status, "'year'" in text) == (422, True)
    else:
        assert status == 200
        assert service.get("/v1/items/odd").json()["item"]["year"] == kept
    service.request("DELETE", "/v1/items", json={"ids": ["odd"]}, headers=WRITER)


@pytest.mark.parametrize(
    "body", [b'{"queries":[{"text":"\xff\xfe"}]}', b'{"queries":[{"id":"\\ud800"}]}', b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"", b"{"]
)
def test_bodies_that_are_no_json(answer, body):
    status, text = answer(request(body))
    assert (status, "the body is no JSON" in text) == (400, True)


@pytest.mark.parametrize(
    "path", ["/static/../index.html", "/static/..%2f..%2fserve.py", "/static/%2e%2e/x", "/static/%00", "/static//etc/passwd"]
)
def test_paths_lead_nowhere_else(answer, path):
    assert answer(request(b"", method="GET", path=path))[0] == 404


@pytest.mark.parametrize("identifier", ["%ff%fe", "..", "a/../b", "%zz", "a" * 50_000, "%00"])
def test_items_that_cannot_be(answer, identifier):
    status, text = answer(request(b"", method="GET", path=f"/v1/items/{identifier}"))
    assert (status, "there is no item" in text) == (404, True)


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: -5\r\n",
        "Content-Length: abc\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nX: \x00\r\n",
    ],
)
def test_headers_that_contradict_themselves(answer, headers):
    status, _ = answer(f"POST /v1/search HTTP/1.1\r\nHost: x\r\n{headers}\r\n0\r\n\r\n".encode())
    assert status == 400


def test_a_body_that_breaks_off_is_no_failure_of_the_service(answer):
    sent = b'POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"queries'
    assert answer(sent, is_cut=True)[0] in {0, 400}


def test_a_body_that_does_not_come_is_the_clients_fault(bundle, tmp_path):
    sent = b'POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"queries'
    with running(registry_of(tmp_path / "registry", [bundle]), ServeOptions(runtime="torch", timeout_s=0.3)) as (client, _):
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=20) as connection:
            connection.sendall(sent)
            status, text = received(connection)
        assert (status, "did not come in time" in text) == (408, True)
        assert client.post("/v1/search", json=KNOWN).status_code == 200


def test_every_refusal_is_described(service):
    """Without the model that FastAPI supposes for 422."""
    description = service.get("/openapi.json").json()
    schemas = description["components"]["schemas"]
    assert schemas["ErrorAnswer"]["properties"].keys() == {"error"}
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(description)))
    assert used <= schemas.keys()
    for operations in description["paths"].values():
        for operation in operations.values():
            assert {"4XX", "5XX"} <= operation["responses"].keys()
            assert "422" not in operation["responses"]


@pytest.mark.parametrize(
    "endless", [b"GET /" + b"a" * 600_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 600_000, b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 100_000]
)
def test_a_head_without_an_end_is_not_kept(answer, endless):
    assert answer(endless)[0] in {400, 431}


def test_a_head_that_does_not_come_is_not_waited_for(service, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for sent, answers in [(b"", [408]), (b"GET /healthz HT", [408]), (whole + b"GET /he", [200, 408]), (whole, [200])]:
        with socket.create_connection((service.base_url.host, service.base_url.port), timeout=20) as connection:
            connection.sendall(sent)
            assert [received(connection)[0] for _ in answers] == answers
    with socket.create_connection((service.base_url.host, service.base_url.port), timeout=20) as connection:
        for _ in range(2):  # one that is asked again after a while is not late
            connection.sendall(whole)
            assert received(connection)[0] == 200
            time.sleep(0.4)


def test_a_body_of_chunks_is_counted_as_it_comes(answer):
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    head = b"POST /v1/search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, text = answer(head + 8 * chunk)
    assert (status, "8000000 bytes" in text) == (413, True)


@pytest.mark.parametrize("given", ["", "Bearer", f"Basic {TOKEN}", "Bearer \xff\xfe", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"])
def test_tokens_that_are_not_the_token(answer, given):
    sent = "PUT /v1/items HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAuthorization: " + given + "\r\n\r\n{}"
    assert answer(sent.encode("latin-1"))[0] in {401, 403}
