"""`python -m tt_hydra serve` as a process."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from services import QUIET, TOKEN, WRITER, line, serving

from tt_hydra import cli
from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.registry import Registry


def test_a_service_answers_writes_restarts_and_ends_in_order(bundle: Bundle, tmp_path: Path) -> None:
    command = line(tmp_path, f"bundle={bundle.folder}")
    with serving(command) as (process, client):
        assert client.get("/readyz").status_code == 200
        assert "server" not in client.get("/healthz").headers
        assert client.put("/v1/items", json={"items": [{"id": "new", "title": "film 7"}]}, headers=WRITER).status_code == 200
        ended = process.signal(signal.SIGTERM)
    assert (ended.status, "Traceback" in ended.err) == (0, False), ended.err
    with serving(command) as (process, client):
        answer = client.post("/v1/search", json={"queries": [{"id": "3"}], "k": 100}).json()
        assert (answer["index"], "new" in {hit["id"] for hit in answer["results"][0]}) == ("1.1", True)
        process.popen.kill()
    assert Registry(tmp_path / "outputs" / "registry").current == 1
    with serving(line(tmp_path, "bundle=current")) as (process, client):
        assert client.get("/v1/items/new").json()["item"]["title"] == "film 7"
        assert process.signal(signal.SIGINT).status == 0


def test_what_is_being_answered_when_sigterm_comes_is_answered(bundle: Bundle, tmp_path: Path) -> None:
    with serving(line(tmp_path, f"bundle={bundle.folder}", "serve.quiet_s=0.3")) as (process, client):
        body = {"queries": [{"id": "3"}, {"id": "4"}], "k": 5}
        expected = client.post("/v1/search", json=body).json()["results"]
        got: list[object] = []
        sent = threading.Event()

        def ask() -> None:
            content = json.dumps(body).encode()
            head = f"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            with socket.create_connection((client.base_url.host, client.base_url.port)) as peer:
                peer.sendall(head + content[:10])
                sent.set()
                time.sleep(0.8)
                peer.sendall(content[10:])
                got.append(json.loads(peer.makefile("rb").read().partition(b"\r\n\r\n")[2])["results"])

        asking = threading.Thread(target=ask)
        asking.start()
        assert sent.wait(10)
        process.popen.send_signal(signal.SIGTERM)
        status = 200
        while status == 200:
            status = client.get("/readyz").status_code
        assert status == 503
        assert client.post("/v1/search", json=body).json()["results"] == expected, "a load balancer may not have seen it yet"
        asking.join()
        assert process.end().status == 0
    assert got == [expected]


@pytest.fixture
def told(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Runs a command line that is refused; its one line."""

    def told(*overrides: str, token: str = "") -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TT_HYDRA_OUTPUTS", str(tmp_path / "outputs"))
        monkeypatch.setenv("TT_HYDRA_TOKEN", token)
        words = ["serve", *QUIET, *overrides]
        monkeypatch.setattr(sys, "argv", ["tt-hydra", *words])
        assert cli.status(words) == 2
        lines = [each for each in capfd.readouterr().err.splitlines() if each.startswith("error:")]
        assert len(lines) == 1
        return lines[0]

    return told


def test_a_port_in_use_is_said(told, bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"serve.port={port} cannot be taken: Address already in use" in told(f"bundle={bundle.folder}", f"serve.port={port}")


def test_a_host_that_is_not_this_one_is_said(told, bundle: Bundle) -> None:
    assert "serve.host=203.0.113.1" in told(f"bundle={bundle.folder}", "serve.host=203.0.113.1")


def test_a_missing_and_a_damaged_bundle_are_said(told, bundle: Bundle, tmp_path: Path) -> None:
    assert "no run has finished yet" in told()
    assert "no current version" in told("bundle=current")
    harmed = shutil.copytree(bundle.folder, tmp_path / "harmed")
    (harmed / "item_vectors.npy").write_bytes((harmed / "item_vectors.npy").read_bytes()[:-4])
    assert "item_vectors.npy has" in told(f"bundle={harmed}")


@pytest.mark.parametrize("token", ["", " \n"])
def test_reading_with_a_token_needs_one(told, bundle: Bundle, token: str) -> None:
    assert "set TT_HYDRA_TOKEN" in told(f"bundle={bundle.folder}", "serve.read_token=true", token=token)


def test_blanks_around_the_token_of_the_environment_are_none_of_it(bundle: Bundle, tmp_path: Path) -> None:
    with serving(line(tmp_path, f"bundle={bundle.folder}", token=f" {TOKEN}\n")) as (process, client):
        assert client.put("/v1/items", json={"items": [{"id": "new", "title": "film 7"}]}, headers=WRITER).status_code == 200
        assert process.signal(signal.SIGTERM).status == 0


def test_a_missing_package_is_named_with_what_installs_it(told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tt_hydra.pipeline.serve.PACKAGES", ("fastapi", "no_such_package"))
    assert "serve needs no_such_package, not installed here: pip install 'tt-hydra[serve]'" in told()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("serve.port=99999", "a port is a number up to 65535"),
        ("serve.workers=0", "at least 1 is needed"),
        ("serve.timeout_s=0", "more than 0 seconds"),
        ("serve.limits.k=0", "at least 1 must be allowed"),
        ("serve.runtime=jax", "serve.runtime"),
        ("serve.prot=1", "serve.port"),
    ],
)
def test_settings_that_cannot_work_are_refused(told, override: str, message: str) -> None:
    assert message in told(override)


def test_traffic_is_watched_and_kept(bundle: Bundle, tmp_path: Path) -> None:
    with serving(line(tmp_path, f"bundle={bundle.folder}", "monitor.every=1")) as (process, client):
        for number in range(3):
            client.post("/v1/search", json={"queries": [{"id": str(number)}]})
        found = client.get("/v1/monitor").json()
        assert (found["requests"], found["queries"]) == (3, 3)
        assert client.get("/metrics").headers["content-type"].startswith("text/plain")
        assert b"# TYPE tt_hydra" in client.get("/metrics").content
        assert process.signal(signal.SIGTERM).status == 0
    assert list((tmp_path / "outputs" / "registry" / "traffic").glob("*.parquet"))


def test_a_catalogue_that_changed_much_is_built_anew_while_it_is_served(bundle: Bundle, tmp_path: Path) -> None:
    bounds = ("compaction.least_rows=1", "compaction.delta_share=0.01", "gate.quality=1", "gate.recall=1", "gate.latency=1000")
    with serving(line(tmp_path, f"bundle={bundle.folder}", "serve.upkeep_s=0.1", *bounds)) as (process, client):
        assert client.put("/v1/items", json={"items": [{"id": "new", "title": "film 7"}]}, headers=WRITER).status_code == 200
        ends = time.monotonic() + 60
        while client.get("/readyz").json()["version"] == 1:
            assert time.monotonic() < ends
            time.sleep(0.05)
        answer = client.post("/v1/search", json={"queries": [{"id": "3"}], "k": 100}).json()
        assert (answer["index"], "new" in {hit["id"] for hit in answer["results"][0]}) == ("2.1", True)
        assert client.get("/v1/versions").json()["versions"][1]["items"] == 41
        assert process.signal(signal.SIGTERM).status == 0
