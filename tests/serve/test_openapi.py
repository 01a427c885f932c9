"""Requests generated from the service's own description: whatever comes, nothing is answered with a 5xx, and memory does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from services import WRITER, line, registry_of, running, serving

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.serve.settings import ServeOptions

MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
GROWTH_MB = 200


@pytest.fixture(scope="module")
def client(bundle: Bundle, other_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    registry = registry_of(tmp_path_factory.mktemp("openapi") / "registry", [bundle, other_bundle])
    with running(registry, ServeOptions(runtime="torch", max_waiting=64), metrics=lambda: b"") as (client, _):
        client.headers.update(WRITER)
        yield client


def attack(client: httpx.Client, examples: int) -> int:
    """So many requests of each operation and kind; how many were sent."""
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    sent = sum(ask(client, found.ok(), mode, examples) for found in schema.get_all_operations() for mode in MODES)
    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/search", json={"queries": [{"id": "3"}]}).status_code == 200
    return sent


def ask(client: httpx.Client, operation: schemathesis.schemas.APIOperation, mode: GenerationMode, examples: int) -> int:
    """Requests of one operation and kind."""
    sent = 0

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def once(case: schemathesis.Case) -> None:
        nonlocal sent
        answer = case.call(base_url=str(client.base_url), headers=WRITER)
        sent += 1
        assert answer.status_code < 500 or operation.path == "/readyz", (operation.label, case.body, answer.text)
        if answer.status_code >= 400:
            assert answer.json()["error"]["reason"]

    with suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
        once()
    return sent


def test_generated_requests_get_an_answer_that_is_no_failure_of_ours(client: httpx.Client) -> None:
    assert attack(client, 25) >= 250


@pytest.mark.slow
def test_ten_thousand_generated_requests_leave_the_service_as_it_was(bundle: Bundle, tmp_path: Path) -> None:
    with serving(line(tmp_path, f"bundle={bundle.folder}")) as (process, client):
        client.headers.update(WRITER)
        attack(client, 20)
        before = resident_mb(process.popen.pid)
        assert attack(client, 1000) >= 10_000
        assert resident_mb(process.popen.pid) - before < GROWTH_MB


def resident_mb(process: int) -> float:
    """Memory of a process."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return next(int(each.split()[1]) for each in status.splitlines() if each.startswith("VmRSS")) / 1024
