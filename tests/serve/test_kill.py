"""kill -9 of a service and of a publisher while both write: what stands up again is one whole version with every acknowledged write."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from bundle_parts import FULL, ITEMS, make_parts
from forked import Started, start
from services import TOKEN, WRITER, registry_of

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.write import Parts, write_bundle

PATIENCE = 120.0
WRITERS = 2
Value = int | None


class Service:
    """A server process."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.process = start(["serve", "bundle=current", "serve.port=0", "serve.runtime=torch"], folder / "server.txt", environment)
        said = self.process.wait_for("http://")
        self.url = said[said.index("http://") :].split()[0]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=WRITER, timeout=PATIENCE)

    def version(self, client: httpx.Client) -> int:
        """The version that answers; its answer must be one of a whole service."""
        assert client.get("/readyz").status_code == 200
        answer = client.post("/v1/search", json={"queries": [{"id": "3"}], "k": 10})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert len({hit["id"] for hit in body["results"][0]}) == 10
        return int(body["version"])


class Writer(threading.Thread):
    """Upserts and deletes its own items until it is told to stop or the service is gone.

    Attributes:
        known: by id what may be there: the last value that was acknowledged, and what was sent after it.
        acknowledged: how many writes were.
    """

    def __init__(self, service: Service, number: int, known: dict[str, list[Value]], seed: int) -> None:
        super().__init__()
        self.stop, self.known, self.acknowledged = threading.Event(), known, 0
        self._service, self._chance = service, random.Random(seed)
        self._mine = [f"i{place}" for place in range(number, ITEMS - 1, WRITERS)] + [f"new{number}-{place}" for place in range(10)]

    def run(self) -> None:
        with self._service.client() as client:
            while not self.stop.is_set():
                chosen = self._chance.sample(self._mine, self._chance.choice([1, 1, 3]))
                year: Value = self._chance.randrange(10**6) if self._chance.random() < 0.7 else None
                for each in chosen:
                    self.known[each].append(year)
                try:
                    if year is None:
                        answer = client.request("DELETE", "/v1/items", json={"ids": chosen})
                    else:
                        answer = client.put("/v1/items", json={"items": [{"id": each, "title": "new", "year": year} for each in chosen]})
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200, answer.text
                self.acknowledged += len(chosen)
                for each in chosen:
                    self.known[each][:] = [year]


class Trial:
    """One registry, a service over it, and what has been acknowledged so far."""

    def __init__(self, folder: Path, bundles: Sequence[Bundle], seed: int) -> None:
        self.folder, self.bundles, self.chance = folder, bundles, random.Random(seed)
        self.environment = {"TT_HYDRA_OUTPUTS": str(folder), "TT_HYDRA_TOKEN": TOKEN}
        self.registry = registry_of(folder / "registry", bundles[:1])
        self.known: dict[str, list[Value]] = {}
        for number in range(WRITERS):
            self.known |= {each: [0] for each in Writer(None, number, {}, 0)._mine}  # type: ignore[arg-type]
        self.service = Service(folder, self.environment)
        with self.service.client() as client:
            for each in self.known:
                assert client.put("/v1/items", json={"items": [{"id": each, "title": "first", "year": 0}]}).status_code == 200
        self.publishing_s = 1.0
        self.acknowledged = 0
        self.survived = 0

    def round(self, number: int) -> None:
        before = self.registry.current
        writers = [Writer(self.service, each, self.known, 100 * number + each) for each in range(WRITERS)]
        for writer in writers:
            writer.start()
        started = time.monotonic()
        words = ["versions", f"publish={self.bundles[number].folder}", "force=true"]
        publisher = start(words, self.folder / "publisher.txt", self.environment)
        victims = self.chance.choice([("server",), ("publisher",), ("server", "publisher")])
        self._wait(publisher, started)
        if "publisher" in victims:
            publisher.kill()
        if "server" in victims:
            self.service.process.kill()
        status = publisher.end()
        if "publisher" not in victims:
            assert status == 0, publisher.text
            self.publishing_s = time.monotonic() - started
        for writer in writers:
            writer.stop.set()
            writer.join()
            self.acknowledged += writer.acknowledged
        self._check(before, published=status == 0, restart="server" in victims)

    def _wait(self, publisher: Started, started: float) -> None:
        """Until a random moment of the publication, or, every other time, until its files appear."""
        if self.chance.random() < 0.5:
            time.sleep(self.chance.random() * self.publishing_s)
            return
        versions = self.registry.folder / "versions"
        there = set(os.listdir(versions))
        while set(os.listdir(versions)) <= there and publisher.runs and time.monotonic() - started < PATIENCE:
            time.sleep(0.0005)
        time.sleep(self.chance.choice([0, 0.002, 0.02, 0.1]) * self.chance.random())

    def _check(self, before: int | None, published: bool, restart: bool) -> None:
        current = self.registry.current
        newest = self.registry.versions()[-1].number
        assert current in {before, newest}
        assert current == newest or not published
        self.survived += current == before
        for version in self.registry.versions():
            Bundle.load(version.folder)
        if restart:
            self.service = Service(self.folder, self.environment)
        with self.service.client() as client:
            ends = time.monotonic() + PATIENCE
            while self.service.version(client) != current:
                assert time.monotonic() < ends, f"version {current} is current and is not served"
                time.sleep(0.05)
            for identifier, values in self.known.items():
                answer = client.get(f"/v1/items/{identifier}")
                found = answer.json()["item"]["year"] if answer.status_code == 200 else None
                assert found in values, f"{identifier} is {found}, acknowledged or sent since were {values}"
                values[:] = [found]

    def close(self) -> None:
        self.service.process.kill()
        self.service.process.end()


def made(folder: Path, number: int, kinds: Sequence[Parts]) -> list[Bundle]:
    """Different bundles of a few models in turn."""
    return [
        write_bundle(folder / str(place), replace(kinds[place % len(kinds)], measured={"test/model/recall@10": place / 1000}))
        for place in range(number)
    ]


def killed(folder: Path, kinds: Sequence[Parts], rounds: int, seed: int) -> Trial:
    (folder / "service").mkdir()
    trial = Trial(folder / "service", made(folder / "bundles", rounds + 1, kinds), seed)
    try:
        for number in range(1, rounds + 1):
            trial.round(number)
            trial.registry.retain(3)
    finally:
        trial.close()
    return trial


@pytest.fixture(scope="module")
def kinds(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> list[Parts]:
    """Two models over one catalogue."""
    return [parts, make_parts(tmp_path_factory.mktemp("other"), FULL, seed=1)]


def test_what_stands_up_is_a_whole_version_with_every_acknowledged_write(kinds: list[Parts], tmp_path: Path) -> None:
    trial = killed(tmp_path, kinds, 2, 0)
    assert trial.acknowledged > 10


@pytest.mark.slow
def test_the_same_two_hundred_times(kinds: list[Parts], tmp_path: Path) -> None:
    trial = killed(tmp_path, kinds, 200, 1)
    assert trial.acknowledged > 1000
    assert trial.survived > 0
