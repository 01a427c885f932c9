"""Serving over HTTP on loopback, the service on one core and its client on the other.

Latency: a bundle of 100,000 items behind HNSW, a query tower over features and a history, single queries at random moments at half of
the rate at which the service saturates, its cache of query vectors off. The floor, measured in turn with it at the same rate: an empty
route of the same service, plus the same tower and index called in a process without HTTP; the figures are percentiles of the sum of
one sample of each. All times count from the moment when a query was due, its waiting for the one before included; ``ratio/*_unqueued``
holds the service against a floor whose tower and index wait for nothing. Throughput: requests of 64 queries, against the same tower
and index in a loop in one process. The last part compares a service that batches a BERT query tower with one that runs it for one
query at a time: the highest rate at which each keeps the same limit of p99.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import ROOT, arguments, finish, outputs, run_ours, table
from open_loop import Client, Load, pin, request

ITEMS, USERS, EVENTS = 100_000, 5_000, 250_000
K, ROUNDS, TOGETHER = 10, 5, 64
P99_LIMIT_MS = 250.0
QUERY_WORDS = 8
"""Of a question to the BERT tower."""
DELAY_MS = 0.0
SERVICE_CORE, CLIENT_CORE = 0, 1


def users_and_items(folder: Path) -> None:
    """People with a taste, items of a topic; the figures of a service do not hang on how good its model is."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    topic = random.integers(0, 200, ITEMS)
    user = random.integers(0, USERS, EVENTS)
    taste = random.integers(0, 200, USERS)
    by_topic = np.argsort(topic, kind="stable")
    starts, sizes = np.searchsorted(topic[by_topic], np.arange(200)), np.bincount(topic, minlength=200)
    item = by_topic[starts[taste[user]] + (sizes[taste[user]] * random.random(EVENTS)).astype(np.int64)]
    device = random.choice(["phone", "tv", "desk"], EVENTS)
    events = {"user": user, "item": item, "time": 1_700_000_000 + 60 * np.arange(EVENTS), "device": device}
    pl.DataFrame(events).write_parquet(folder / "events.parquet")
    items = {"item": np.arange(ITEMS), "title": [f"item {number}" for number in range(ITEMS)], "topic": topic}
    pl.DataFrame({**items, "price": random.lognormal(size=ITEMS)}).write_parquet(folder / "items.parquet")
    users = {"user": np.arange(USERS), "age": random.integers(16, 90, USERS), "city": random.integers(0, 50, USERS).astype(str)}
    pl.DataFrame(users).write_parquet(folder / "users.parquet")


def feature_bundle() -> Path:
    folder = outputs() / "benchmarks" / "serving"
    users_and_items(folder)
    sources = [
        "data=table",
        f"data.interactions={{path: {folder}/events.parquet, query: user, item: item, time: time, context: {{device: categorical}}}}",
        f"data.queries={{path: {folder}/users.parquet, id: user, features: {{age: numeric, city: categorical}}}}",
        f"data.items={{path: {folder}/items.parquet, id: item, features: {{title: text, topic: categorical, price: numeric}}}}",
        "data.history={max_length: 20}",
    ]
    more = ["embedding_dim=64", "train.max_epochs=1", "index=hnsw", "logger=none", "evaluate.latency_queries=100", "evaluate.resamples=20"]
    return run_ours("serving", [*sources, *more]) / "bundle"


def text_bundle() -> Path:
    random = np.random.default_rng(1)
    folder = outputs() / "benchmarks" / "serving_text"
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [{"query": sentence(random, QUERY_WORDS), "positive": sentence(random, 20)} for _ in range(2_000)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    more = ["tower=bert", "train.max_epochs=0", "index=flat", "logger=none", "evaluate.latency_queries=20", "evaluate.resamples=20"]
    return run_ours("serving_text", ["data=pairs", f"data.path={folder}/pairs.jsonl", *more]) / "bundle"


TEXT = "what how is the best way to find a film about sea war history market price health water city music school river code"


def sentence(random: np.random.Generator, words: int) -> str:
    return " ".join(random.choice(TEXT.split(), words))


@contextmanager
def service(bundle: Path, *overrides: str) -> Iterator[int]:
    """A service of its own registry on the service's core; its port."""
    words = [f"bundle={bundle}", "serve.port=0", "serve.cached_queries=0", *overrides]
    root = outputs() / "benchmarks" / "serving_registry" / bundle.parent.name
    environment = {**os.environ, "TT_HYDRA_OUTPUTS": str(root), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tt_hydra", "serve", *words],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
    )  # fmt: skip
    pin(SERVICE_CORE, process.pid)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if "http://" not in line:
            raise SystemExit("the service did not start")
        yield int(line.strip().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()


class InProcess:
    """The same tower and index in a process without HTTP, on the service's core."""

    def __init__(self, bundle: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--in-process", str(bundle)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        pin(SERVICE_CORE, self._process.pid)

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def in_process(bundle: Path) -> None:
    """Answers orders on standard input: ``rate`` and ``seconds`` for single queries, or ``together`` and ``seconds`` for a loop."""
    from tt_hydra.artifact.bundle import Bundle  # noqa: PLC0415
    from tt_hydra.artifact.registry import Version  # noqa: PLC0415
    from tt_hydra.index.threads import single_thread  # noqa: PLC0415
    from tt_hydra.serve.load import load  # noqa: PLC0415
    from tt_hydra.serve.query import Query  # noqa: PLC0415
    from tt_hydra.serve.settings import ServeOptions  # noqa: PLC0415

    served = load(
        Version(1, bundle, Bundle.load(bundle, verify=False).manifest), ServeOptions(), outputs() / "benchmarks" / "serving_graphs"
    )
    params, index = served.version.manifest.search_params, served.retriever.index
    queries = [Query(**each) for each in asked(4096)]

    def answer(some: Sequence[Query]) -> tuple[float, float]:
        start = time.perf_counter()
        vectors = served.tower.embed(some, [served.retriever.records.row(query) for query in some])
        embedded = time.perf_counter()
        index.search(vectors, K, params)
        return embedded - start, time.perf_counter() - embedded

    with single_thread():
        for query in queries[:64]:
            answer([query])
        for line in sys.stdin:
            order = json.loads(line)
            if "together" in order:
                count, start, size = 0, time.perf_counter(), order["together"]
                while time.perf_counter() < start + order["seconds"]:
                    answer([queries[(count + number) % len(queries)] for number in range(size)])
                    count += size
                print(json.dumps({"rate": count / (time.perf_counter() - start)}), flush=True)
            else:
                print(json.dumps({"times": _paced(answer, queries, **order), "runtime": served.tower.name}), flush=True)


def _paced(answer: Callable[[Sequence[Any]], tuple[float, float]], queries: Sequence[Any], rate: float, seconds: float, seed: int) -> Any:
    random, times = np.random.default_rng(seed), []
    start = time.perf_counter()
    for number, due in enumerate(np.cumsum(random.exponential(1 / rate, int(rate * seconds))).tolist()):
        if (left := start + due - time.perf_counter()) > 0:
            time.sleep(left)
        late = max(0.0, time.perf_counter() - start - due)
        times.append((*answer([queries[number % len(queries)]]), late))
    return times


def asked(count: int) -> list[dict[str, Any]]:
    """Questions of people whom nobody knows: features, context and history."""
    random = np.random.default_rng(7)
    return [
        {
            "features": {"age": int(random.integers(16, 90)), "city": str(random.integers(0, 50))},
            "context": {"device": str(random.choice(["phone", "tv", "desk"]))},
            "history": [str(item) for item in random.integers(0, ITEMS, random.integers(1, 21))],
        }
        for _ in range(count)
    ]


def searches(questions: Sequence[dict[str, Any]], together: int = 1) -> list[bytes]:
    groups = [questions[start : start + together] for start in range(0, len(questions) - together + 1, together)]
    return [request("POST", "/v1/search", json.dumps({"queries": group, "k": K}).encode()) for group in groups]


def latency(bundle: Path, seconds: float) -> dict[str, float]:
    own, floor = InProcess(bundle), []
    with service(bundle, f"serve.batch_delay_ms={DELAY_MS}") as port:
        client, singles, empty = Client(port), searches(asked(4096)), [request("GET", "/healthz")]
        client.saturated(singles, 32, seconds / 2)
        rate = client.saturated(singles, 32, seconds).rate / 2
        rounds = []
        for number in range(ROUNDS):
            served = client.paced(singles, rate, seconds, number)
            nothing = client.paced(empty, rate, seconds, number + 100)
            alone = own.ask(rate=rate, seconds=seconds, seed=number + 200)
            rounds.append(_round(served, nothing, np.array(alone["times"]), number))
            floor.append(alone["runtime"])
        batches = [(_throughput(client, seconds), own.ask(together=TOGETHER, seconds=seconds)["rate"]) for _ in range(ROUNDS)]
    own.close()
    middle = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    middle["ours/rate"], middle["ours/throughput"] = rate, statistics.median(ours for ours, _ in batches)
    middle["floor/throughput"] = statistics.median(alone for _, alone in batches)
    middle["ratio/throughput"] = statistics.median(ours / alone for ours, alone in batches)
    _show(middle, floor[0])
    return middle


def _throughput(client: Client, seconds: float) -> float:
    return client.saturated(searches(asked(4096), TOGETHER), 2, seconds).rate * TOGETHER


def _round(served: Load, nothing: Load, alone: np.ndarray, seed: int) -> dict[str, float]:
    """Figures of one round, in milliseconds."""
    random, size = np.random.default_rng(seed), 20_000
    empty = random.choice(nothing.latencies, size)
    sums, unqueued = (empty + random.choice(times, size) for times in (alone.sum(axis=1), alone[:, :2].sum(axis=1)))
    figures = {"ours/failed": float(served.failed)}
    for name, share in (("p50", 50), ("p95", 95), ("p99", 99)):
        figures[f"ours/{name}_ms"] = 1e3 * float(np.percentile(served.latencies, share))
        figures[f"floor/{name}_ms"] = 1e3 * float(np.percentile(sums, share))
        figures[f"ratio/{name}_over_floor"] = figures[f"ours/{name}_ms"] / figures[f"floor/{name}_ms"]
        figures[f"ratio/{name}_unqueued"] = figures[f"ours/{name}_ms"] / (1e3 * float(np.percentile(unqueued, share)))
        figures[f"floor/empty_{name}_ms"] = 1e3 * float(np.percentile(nothing.latencies, share))
        figures[f"floor/tower_{name}_ms"] = 1e3 * float(np.percentile(alone[:, 0], share))
        figures[f"floor/search_{name}_ms"] = 1e3 * float(np.percentile(alone[:, 1], share))
        figures[f"floor/waiting_{name}_ms"] = 1e3 * float(np.percentile(alone[:, 2], share))
        for phase, values in served.phases.items():
            figures[f"ours/{phase}_{name}_ms"] = float(np.percentile(values, share))
    within = sum(statistics.fmean(served.phases[phase]) for phase in ("tower", "search", "merge"))
    whole = 1e3 * statistics.fmean(served.latencies)
    for phase in ("tower", "search", "merge"):
        figures[f"share/{phase}"] = statistics.fmean(served.phases[phase]) / whole
    figures["share/http"] = 1 - within / whole
    return figures


def _show(found: dict[str, float], runtime: str) -> None:
    rows = [
        [name, *(f"{found[f'{key}_{share}_ms']:.3f}" for share in ("p50", "p95", "p99"))]
        for name, key in (
            ("empty route", "floor/empty"),
            ("tower, in process", "floor/tower"),
            ("index, in process", "floor/search"),
            ("waiting, in process", "floor/waiting"),
            ("service: tower", "ours/tower"),
            ("service: search", "ours/search"),
            ("service: merge", "ours/merge"),
        )
    ]
    for name, key in (("floor", "floor/"), ("service", "ours/")):
        rows.append([name, *(f"{found[f'{key}{share}_ms']:.3f}" for share in ("p50", "p95", "p99"))])
    for name, key in (("service / floor", "over_floor"), ("service / floor that waits for nothing", "unqueued")):
        rows.append([name, *(f"{found[f'ratio/{share}_{key}']:.2f}" for share in ("p50", "p95", "p99"))])
    title = (
        f"Milliseconds at {found['ours/rate']:.0f} queries a second, half of saturation; batching delay {DELAY_MS} ms; tower in {runtime}"
    )
    table(title, ["", "p50", "p95", "p99"], rows)
    shares = [[name, f"{found[f'share/{name}']:.0%}"] for name in ("tower", "search", "merge", "http")]
    table("Where the time of an answer goes", ["phase", "share"], shares)
    table(
        f"Queries a second in requests of {TOGETHER}",
        ["", "queries/s"],
        [["service", f"{found['ours/throughput']:.0f}"], ["in process", f"{found['floor/throughput']:.0f}"]],
    )


def batching(bundle: Path, seconds: float) -> dict[str, float]:
    """The highest rate within the limit of p99, batched and one at a time, in turns."""
    random = np.random.default_rng(3)
    texts = searches([{"text": sentence(random, QUERY_WORDS)} for _ in range(4096)])
    found: dict[str, list[float]] = {"one": [], "batched": []}
    with service(bundle, "serve.batch_size=1", "serve.max_waiting=4096") as one, service(bundle, "serve.max_waiting=4096") as batched:
        for _ in range(3):
            for name, port in (("one", one), ("batched", batched)):
                found[name].append(_highest(Client(port), texts, seconds))
    one_rate, rate = (statistics.median(found[name]) for name in ("one", "batched"))
    table(
        f"BERT query tower: queries a second with p99 <= {P99_LIMIT_MS:.0f} ms",
        ["", "queries/s"],
        [["one at a time", f"{one_rate:.0f}"], ["batched", f"{rate:.0f}"]],
    )
    return {"ours/bert_batched": rate, "ours/bert_one": one_rate, "ratio/bert_batching": rate / one_rate}


def _highest(client: Client, texts: Sequence[bytes], seconds: float) -> float:
    """By halving the interval between none and the rate of saturation."""
    low, high = 0.0, client.saturated(texts, 64, seconds).rate
    for number in range(6):
        rate = (low + high) / 2
        load = client.paced(texts, rate, seconds, number)
        if not load.failed and 1e3 * float(np.percentile(load.latencies, 99)) <= P99_LIMIT_MS:
            low = rate
        else:
            high = rate
    return low


def main() -> None:
    if sys.argv[1:2] == ["--in-process"]:
        in_process(Path(sys.argv[2]))
        return
    given = arguments(__doc__)
    seconds = 5.0 if given.quick else 20.0
    features, texts = feature_bundle(), text_bundle()
    pin(CLIENT_CORE)
    finish("serving", {**latency(features, seconds), **batching(texts, seconds)})


if __name__ == "__main__":
    main()
