"""``index=auto`` against autofaiss and plain FAISS defaults, from the same vectors, under the same budgets of bytes and latency.

Budgets: 25, 50 and 110% of the float32 bytes x a p99 of .25 and 1 times that of flat search. Sets: synthetic, 100,000 x 64, whose queries
come from another distribution than the items; tldr, pages and questions through a frozen MiniLM (``--data``); complete_journey, 92,348
products through the same, whose queries are the mean vectors of baskets (``--data``). Ours is tuned on one half of the queries; all sides
are scored on the other one, by single queries on one thread in turns. Recall counts by distance.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from common import ROOT, arguments, finish, metrics_of, outputs, run_ours, table
from index_sets import complete_journey, synthetic, tldr

from tt_hydra.contracts import SearchResult
from tt_hydra.index.storage import load_index
from tt_hydra.index.threads import single_thread
from tt_hydra.index.tune.frontier import read_frontier
from tt_hydra.metrics.ann import ann_recall
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.latency import measure_latency

AUTOFAISS = ROOT / ".venv-autofaiss"
SHARES, SPEEDS = (0.25, 0.5, 1.1), (0.25, 1.0)
NEAR = 0.002
ROUNDS, CALLS = 7, 200
NOISE = 1.1
"""Ratio of two latencies of equal indexes that is seen now and then."""
Search = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Measured:
    """A search on fresh queries."""

    recall: float
    p99_ms: float
    bytes_per_item: float


class Arena:
    """One set of vectors, saved for all sides; queries split as ``data=vectors`` splits them."""

    def __init__(self, name: str, items: np.ndarray, queries: np.ndarray) -> None:
        self.name, self.items = name, items
        self.folder = outputs() / "benchmarks" / "index_auto" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(self.folder / "items.npy", items)
        np.save(self.folder / "queries.npy", queries)
        order = np.random.default_rng(42).permutation(len(queries))
        self.fresh = np.ascontiguousarray(queries[np.sort(order[round(0.5 * len(queries)) :])][:1000])
        self.exact = exact_search(self.fresh, items, 10, "cosine")

    def recall(self, search: Search) -> float:
        rows = search(self.fresh).astype(np.int64)
        found = SearchResult(np.zeros(rows.shape, np.float32), rows)
        return ann_recall(found, self.exact, self.fresh, self.items, "cosine", resamples=1).value

    def p99(self, searches: Mapping[str, Search]) -> dict[str, float]:
        """Median over rounds, the searches taking turns."""
        taken: dict[str, list[float]] = {name: [] for name in searches}
        with single_thread():
            for _ in range(ROUNDS):
                for name, search in searches.items():
                    timed = measure_latency(
                        lambda number, search=search: search(self.fresh[number % len(self.fresh)][None]), CALLS, warm_up=10
                    )
                    taken[name].append(timed.p99_ms)
        return {name: float(np.median(values)) for name, values in taken.items()}

    def _one(self, search: Search, number: int) -> np.ndarray:
        return search(self.fresh[number % len(self.fresh)][None])


def ours(arena: Arena, name: str, seconds: float, limits: Mapping[str, float]) -> tuple[Search, float, Path] | None:
    overrides = [f"{key}={value:.6g}" for key, value in limits.items()]
    told = ["data=vectors", f"data.path={arena.folder}", "index=auto", f"index.seconds={seconds:g}", *overrides, "logger=none"]
    try:
        run = run_ours(f"index_auto/{arena.name}/{name}", told)
    except subprocess.CalledProcessError:
        return None
    index = load_index(run / "bundle" / "index", arena.items)
    return lambda queries: index.search(queries, 10).rows, metrics_of(run)["index/bytes_per_item"], run


def autofaiss(arena: Arena, name: str, limit: float, milliseconds: list[float], patience: float) -> list[tuple[Search, float]]:
    """For each latency limit a search and its bytes an item; nothing where autofaiss gives nothing in time."""
    out = arena.folder / f"autofaiss_{name}"
    told = {
        "items": str(arena.folder / "items.npy"),
        "bytes": limit,
        "milliseconds": milliseconds,
        "cores": os.cpu_count(),
        "out": str(out),
    }
    (arena.folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
    script = ROOT / "benchmarks" / "peers" / "autofaiss_build.py"
    try:
        subprocess.run([str(_peer()), str(script), str(arena.folder / "told.json")], check=True, timeout=patience)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"autofaiss, {arena.name}, {name}: nothing ({type(error).__name__})", flush=True)
        return []
    print(f"autofaiss, {arena.name}, {name}: {json.loads((out / 'built.json').read_text())}", flush=True)
    files = [out / f"{number}.faiss" for number in range(len(milliseconds))]
    return [(_raw(faiss.read_index(str(file))), file.stat().st_size / len(arena.items)) for file in files]


def _raw(index: faiss.Index) -> Search:
    return lambda queries: index.search(queries, 10)[1]


def _peer() -> Path:
    python = AUTOFAISS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(AUTOFAISS)], check=True)
        needed = ROOT / "benchmarks" / "peers" / "autofaiss.txt"
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(needed)], check=True)
    return python


def compare(arena: Arena, quick: bool, rows: list[list[str]], figures: dict[str, float]) -> None:
    flat = faiss.IndexFlatIP(arena.items.shape[1])
    flat.add(arena.items)
    exact_ms = arena.p99({"flat": _raw(flat)})["flat"]
    limits_ms = [speed * exact_ms for speed in SPEEDS]
    full = 4 * arena.items.shape[1]
    for share in SHARES:
        peers = autofaiss(arena, f"{share:g}", share * full * len(arena.items), limits_ms, 180 if quick else 1800)
        for number, (speed, limit_ms) in enumerate(zip(SPEEDS, limits_ms, strict=True)):
            budget = f"{100 * share:g}%_{speed:g}"
            limits = {"budget.bytes_per_item": share * full, "budget.latency_p99_ms": limit_ms}
            found = ours(arena, budget, 20 if quick else 60, limits)
            sides = {"ours": found[:2]} if found else {}
            sides |= {"peer": peers[number]} if peers else {}
            times = arena.p99({side: search for side, (search, _) in sides.items()})
            for side, (search, size) in sides.items():
                it = Measured(arena.recall(search), times[side], size)
                over = it.bytes_per_item > share * full or it.p99_ms > NOISE * limit_ms
                figures[f"{side}/recall@10/{arena.name}/{budget}"] = it.recall
                figures[f"{side}/over_budget"] = figures.get(f"{side}/over_budget", 0) + over
                rows.append(
                    [arena.name, budget, side, f"{it.recall:.4f}", f"{it.p99_ms:.3f}", f"{it.bytes_per_item:.1f}", "over" if over else ""]
                )
            if not found:
                figures["ours/refused"] = figures.get("ours/refused", 0) + 1
            if len(sides) == 2:
                pair = [figures[f"{side}/recall@10/{arena.name}/{budget}"] for side in ("ours", "peer")]
                figures[f"ratio/recall@10/{arena.name}/{budget}"] = pair[0] / max(pair[1], 1e-9)
                figures["ours/lower"] = figures.get("ours/lower", 0) + (pair[0] < pair[1] - NEAR)
    plain_front(arena, quick, rows, figures)


def plain_front(arena: Arena, quick: bool, rows: list[list[str]], figures: dict[str, float]) -> None:
    """Points of FAISS's plain indexes that no point of ours matches in recall and p99 at once."""
    started = time.perf_counter()
    found = ours(arena, "no_budget", 45 if quick else 90, {"budget.latency_p99_ms": 1e6})
    figures[f"ours/tuning_s/{arena.name}"] = metrics_of(found[2])["index/auto/seconds"] if found else time.perf_counter() - started
    points = read_frontier(found[2]) if found else []
    lists = round(np.sqrt(len(arena.items)))
    below = 0
    for spec, name, values in (("HNSW32", "efSearch", (16, 64, 256)), (f"IVF{lists},Flat", "nprobe", (2, 8, 32))):
        index = faiss.index_factory(arena.items.shape[1], spec, faiss.METRIC_INNER_PRODUCT)
        index.train(arena.items)
        index.add(arena.items)
        for value in values:
            faiss.ParameterSpace().set_index_parameter(index, name, value)
            recall, p99 = arena.recall(_raw(index)), arena.p99({"it": _raw(index)})["it"]
            matched = any(point.recall.high >= recall - NEAR and point.p99_ms <= NOISE * p99 for point in points)
            below += not matched
            rows.append([arena.name, "", f"{spec} {name}={value}", f"{recall:.4f}", f"{p99:.3f}", "", "" if matched else "above ours"])
    figures[f"ours/below_plain_front/{arena.name}"] = below


def main() -> None:
    given = arguments(__doc__)
    sets = {"synthetic": synthetic}
    if given.data is not None:
        cache = outputs() / "benchmarks" / "index_auto"
        sets |= {"tldr": lambda: tldr(given.data, cache), "complete_journey": lambda: complete_journey(given.data, cache)}
    rows: list[list[str]] = []
    figures: dict[str, float] = {}
    for name, make in sets.items():
        compare(Arena(name, *make()), given.quick, rows, figures)
    table("recall@10 on fresh queries", ["set", "budget", "side", "recall@10", "p99 ms", "bytes an item", ""], rows)
    finish("index_auto", figures)


if __name__ == "__main__":
    main()
