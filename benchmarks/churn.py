"""A service under load while its versions and its items change all the time.

A real server process; clients in threads. Readers check every answer against what the named version must say: model, vectors and scores.
Writers upsert and delete 10,000 items, some of them as another process would, and look at once whether their write is seen. Meanwhile 100
versions are swapped, by the service and by other processes, and the catalogue is built anew twice. At the end every item is looked up,
the server is killed with SIGKILL, started again, and every item is looked up again.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from churn_world import WRITTEN, World, bundles, payload
from common import ROOT, arguments, finish, outputs, table

from tt_hydra.artifact.changes import Change, ChangeLog

TOKEN = "churn"
K = 10
READERS, WRITERS = 2, 3
PATIENCE = 20.0
"""Seconds until what another process wrote or activated must be seen."""
COMPACTIONS = 2


class Server:
    """``python -m tt_hydra serve`` over a registry."""

    def __init__(self, root: Path) -> None:
        environment = {**os.environ, "TT_HYDRA_OUTPUTS": str(root), "TT_HYDRA_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tt_hydra", "serve", "bundle=current", "serve.port=0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "http://" not in line:
            raise SystemExit("the service did not start")
        self.url = line[line.index("http://") :].split()[0]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class Churn:
    """The load, and what came of it.

    Attributes:
        expected: by id the code that must be there, None for a deleted item; what was acknowledged and nothing else.
        counts: of requests, writes, swaps and of everything that went wrong.
    """

    def __init__(self, world: World, server: Server, writes: int, swaps: int) -> None:
        self.world, self.server, self.writes, self.swaps = world, server, writes, swaps
        self.expected: dict[str, int | None] = {}
        self.counts: Counter[str] = Counter()
        self.recalls: list[tuple[float, float]] = []
        self.seconds: list[float] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._next = 0

    def run(self) -> None:
        writers = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        swapper = threading.Thread(target=self._swap)
        others = [threading.Thread(target=self._read, args=(number,)) for number in range(READERS)]
        others.append(threading.Thread(target=self._probe))
        for thread in (*writers, swapper, *others):
            thread.start()
        for thread in (*writers, swapper):
            thread.join()
        self._over.set()
        for thread in others:
            thread.join()

    def count(self, what: str, number: int = 1, why: str = "") -> None:
        with self._lock:
            self.counts[what] += number
        if why:
            print(f"{what}: {why}", file=sys.stderr, flush=True)

    def ask(self, client: httpx.Client, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        """The answer, None where it failed."""
        self.count("requests")
        try:
            answer = client.request(method, path, json=body)
        except httpx.HTTPError as error:
            self.count("failed_requests", why=f"{method} {path}: {error!r}")
            return None
        if answer.status_code != 200:
            self.count("failed_requests", why=f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            return None
        return answer.json()

    def search(self, client: httpx.Client, query: int, **more: Any) -> dict[str, Any] | None:
        body = {"queries": [{"id": self.world.queries[query]}], "k": K, "include": ["code", "vector"], **more}
        return self.ask(client, "POST", "/v1/search", body)

    def _read(self, seed: int) -> None:
        chance = random.Random(seed)
        with self.server.client() as client:
            while not self._over.is_set():
                query = chance.randrange(len(self.world.queries))
                start = time.perf_counter()
                answer = self.search(client, query)
                self.seconds.append(time.perf_counter() - start)
                if answer is not None and (wrong := self.world.mixed(answer, query, K)) is not None:
                    self.count("mixed_answers", why=wrong)

    def _probe(self) -> None:
        """Asks twice, through the index and exactly."""
        chance = random.Random(99)
        with self.server.client() as client:
            while not self._over.is_set():
                query = chance.randrange(len(self.world.queries))
                found, exact = self.search(client, query), self.search(client, query, exact=True)
                if found is None or exact is None or found["version"] != exact["version"]:
                    continue
                last = exact["results"][0][-1]["score"]
                share = sum(hit["score"] >= last - 1e-5 * abs(last) for hit in found["results"][0]) / K
                self.recalls.append((time.perf_counter(), share))

    def _write(self, number: int) -> None:
        chance, mine = random.Random(1000 + number), [str(item) for item in range(self.world.items) if item % WRITERS == number]
        alive, new = set(mine), 0
        with self.server.client() as client:
            while (codes := self._taken(chance.choice([1, 1, 1, 2, 5]))) is not None:
                if chance.random() < 0.4:
                    identifiers = chance.sample(sorted(alive), len(codes))
                    self._delete(client, identifiers)
                    alive -= set(identifiers)
                    continue
                fresh = [f"w{number}-{new + place}" for place in range(len(codes))]
                identifiers = fresh if chance.random() < 0.4 else chance.sample(mine, len(codes))
                new += len(codes)
                rows = [payload(code, each) for code, each in zip(codes, identifiers, strict=True)]
                (self._upsert_elsewhere if chance.random() < 0.05 else self._upsert)(client, rows)
                mine += [each for each in identifiers if each in set(fresh)]
                alive |= set(identifiers)

    def _taken(self, number: int) -> list[int] | None:
        """Codes for the next writes; None when there have been enough."""
        with self._lock:
            if self._next >= self.writes:
                return None
            number = min(number, self.writes - self._next)
            self._next += number
        return list(range(WRITTEN + self._next - number, WRITTEN + self._next))

    def _upsert(self, client: httpx.Client, rows: list[dict[str, Any]]) -> None:
        answer = self.ask(client, "PUT", "/v1/items", {"items": rows})
        if answer is not None:
            self._acknowledged({row["id"]: row["code"] for row in rows}, client, answer["sequence"])

    def _upsert_elsewhere(self, client: httpx.Client, rows: list[dict[str, Any]]) -> None:
        """As the ``update`` command does: into the log of the registry, where the service finds it."""
        (change,) = ChangeLog(self.world.registry.folder / "changes").append([Change(items=rows)])
        end = time.perf_counter() + PATIENCE
        while time.perf_counter() < end:
            answer = self.ask(client, "GET", "/v1/versions")
            seen = self.search(client, 0)
            if answer is not None and seen is not None and int(seen["index"].partition(".")[2]) >= change.seq:
                break
            time.sleep(0.02)
        self._acknowledged({row["id"]: row["code"] for row in rows}, client, change.seq)

    def _delete(self, client: httpx.Client, identifiers: list[str]) -> None:
        answer = self.ask(client, "DELETE", "/v1/items", {"ids": identifiers})
        if answer is not None:
            if answer["deleted"] != len(identifiers):
                self.count("lost_writes", why=f"{answer['unknown']} were there and are not known to the deletion")
            self._acknowledged(dict.fromkeys(identifiers, None), client, answer["sequence"])

    def _acknowledged(self, written: dict[str, int | None], client: httpx.Client, sequence: int) -> None:
        """Looks at once for what was written, and for what it took the place of."""
        self.count("writes", len(written))
        before = {each: self.expected.get(each, int(each) if each.isdigit() else None) for each in written}
        self.expected.update(written)
        present = {code: each for each, code in written.items() if code is not None}
        absent = [code for code in before.values() if code is not None]
        codes = [*present, *absent]
        answer = self.search(client, 0, filter={"code": codes}, include=["code"])
        if answer is None:
            return
        found = {hit["fields"]["code"]: hit["id"] for hit in answer["results"][0]}
        if found != present:
            self.count("stale_reads", why=f"wrote {present} instead of {absent}, found {found} at {answer['index']} after {sequence}")
        if int(answer["index"].partition(".")[2]) < sequence:
            self.count("stale_reads", why=f"{answer['index']} is older than the acknowledged {sequence}")

    def _swap(self) -> None:
        with self.server.client() as client:
            for swap in range(self.swaps):
                if swap % (self.swaps // (COMPACTIONS + 1)) == 1 and swap > 1:
                    self._compact(client)
                current = self.world.registry.current
                numbers = [version.number for version in self.world.registry.versions()]
                number = random.Random(swap).choice([each for each in numbers if each != current])
                if swap % 2:
                    self.ask(client, "POST", f"/v1/versions/{number}/activate")
                elif swap % 20:
                    self.world.registry.activate(number)
                else:
                    self._command("versions", f"activate={number}")
                self._follows(client, number, PATIENCE * (swap % 2 == 0))
                self.count("swaps")

    def _compact(self, client: httpx.Client) -> None:
        """The catalogue is built anew by another process; the service takes that version up."""
        before = len(self.world.registry.versions())
        self._command("update", "compact=true", "gate.latency=100")  # on a machine under such a load, the time of a query says nothing
        self.count("compactions", len(self.world.registry.versions()) - before)
        self._follows(client, self.world.registry.current or 0, PATIENCE)

    def _command(self, *words: str) -> None:
        environment = {**os.environ, "TT_HYDRA_OUTPUTS": str(self.world.registry.folder.parent)}
        command = [sys.executable, "-m", "tt_hydra", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            self.count("failed_requests", why=done.stderr)

    def _follows(self, client: httpx.Client, number: int, patience: float) -> None:
        end = time.perf_counter() + patience
        while True:
            answer = self.search(client, 0)
            if answer is not None and answer["version"] == number:
                return
            if self.world.registry.current != number:  # the service has built it anew
                return
            if time.perf_counter() > end:
                self.count("stale_reads", why=f"version {number} was activated, {answer and answer['version']} answers")
                return
            time.sleep(0.02)

    def lookup(self, server: Server) -> int:
        """How many acknowledged writes are not there."""
        clients = [server.client() for _ in range(4)]

        def lost(place: int, identifier: str, code: int | None) -> bool:
            answer = clients[place % 4].get(f"/v1/items/{identifier}")
            held = answer.json()["item"]["code"] if answer.status_code == 200 else None
            if held != code:
                print(f"lost write: {identifier} should be {code}, is {held} ({answer.status_code})", file=sys.stderr, flush=True)
            return held != code

        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(lost, range(len(self.expected)), self.expected.keys(), self.expected.values()))

    @property
    def recall_low(self) -> float:
        """Recall@10 against exact search, the lowest mean of ten stretches of the time."""
        stretches = np.array_split([share for _, share in sorted(self.recalls)], 10)
        return float(min(stretch.mean() for stretch in stretches if len(stretch)))


def main() -> None:
    told = arguments(__doc__ or "")
    items, writes, swaps = (4_000, 1_000, 12) if told.quick else (20_000, 10_000, 100)
    made = bundles(items)
    root = outputs() / "benchmarks" / "churn" / "outputs"
    shutil.rmtree(root, ignore_errors=True)
    world = World(root, made, writes)
    server = Server(root)
    started = time.perf_counter()
    try:
        churn = Churn(world, server, writes, swaps)
        churn.run()
        seconds = time.perf_counter() - started
        churn.counts["lost_writes"] += churn.lookup(server)
        server.kill()
        server = Server(root)
        churn.counts["lost_writes"] += churn.lookup(server)
    finally:
        server.kill()
    report(churn, seconds)


def report(churn: Churn, seconds: float) -> None:
    wrong = {name: float(churn.counts[name]) for name in ("failed_requests", "lost_writes", "mixed_answers", "stale_reads")}
    done = {name: float(churn.counts[name]) for name in ("requests", "writes", "swaps", "compactions")}
    p50, p99 = np.percentile(churn.seconds, [50, 99]) * 1000
    more = {"recall_low": churn.recall_low, "search_p50_ms": p50, "search_p99_ms": p99, "seconds": seconds}
    figures = {f"ours/{name}": float(value) for name, value in {**wrong, **more, **done}.items()}
    table("Churn", ["figure", "value"], [[name, f"{value:.4g}"] for name, value in figures.items()])
    finish("churn", figures)


if __name__ == "__main__":
    main()
