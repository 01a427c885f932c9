"""Four versions of two models over one catalogue, and what each of them has to answer: computed here, without a service."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import outputs, run_ours

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.registry import Registry
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever

TOPICS = 200
WRITTEN = 1_000_000
"""Codes from here on are of items that were written; below, a code is the number of an item of the bundles."""
TOLERANCE = 1e-3


def sources(items: int, users: int = 1_000, events: int = 60_000) -> list[str]:
    """Overrides of a data set of people with a taste for topics."""
    random = np.random.default_rng(0)
    folder = outputs() / "benchmarks" / "churn" / str(items)
    folder.mkdir(parents=True, exist_ok=True)
    user, item = random.integers(0, users, events), random.integers(0, items, events)
    topic, taste = random.integers(0, TOPICS, items), random.integers(0, TOPICS, users)
    liked = random.random(events) < 0.7
    by_topic = [np.flatnonzero(topic == each) for each in range(TOPICS)]
    item[liked] = [random.choice(by_topic[taste[each]]) for each in user[liked]]
    pl.DataFrame({"user": user, "item": item, "time": 60 * np.arange(events)}).write_parquet(folder / "events.parquet")
    columns = {"item": np.arange(items), "topic": topic, "price": random.lognormal(size=items), "code": np.arange(items)}
    pl.DataFrame(columns).write_parquet(folder / "items.parquet")
    pl.DataFrame({"user": np.arange(users), "age": random.integers(16, 90, users)}).write_parquet(folder / "users.parquet")
    return [
        "data=table",
        f"data.interactions={{path: {folder}/events.parquet, query: user, item: item, time: time}}",
        f"data.queries={{path: {folder}/users.parquet, id: user, features: {{age: numeric}}}}",
        f"data.items={{path: {folder}/items.parquet, id: item, features: {{topic: categorical, price: numeric}}}}",
    ]


def bundles(items: int) -> list[Bundle]:
    """Two models, an index of each of two kinds."""
    fixed = ["embedding_dim=32", "train.max_epochs=1", "logger=none", "evaluate.latency_queries=50", "evaluate.resamples=20"]
    made = []
    for seed in (0, 1):
        for index in ("hnsw", "ivf"):
            name = f"churn_{items}_{index}_{seed}"
            made.append(Bundle.load(run_ours(name, [*sources(items), *fixed, f"seed={seed}", f"index={index}"]) / "bundle"))
    return made


def payload(code: int, identifier: str) -> dict[str, Any]:
    """The item that is written under a code."""
    random = np.random.default_rng(code)
    return {"id": identifier, "topic": int(random.integers(0, TOPICS)), "price": float(random.lognormal()), "code": code}


class World:
    """What is true of every version.

    Attributes:
        registry: with all bundles, the first one current.
        queries: ids of queries that are asked.
    """

    def __init__(self, root: Path, made: Sequence[Bundle], written: int) -> None:
        self.registry = Registry(root / "registry")
        for bundle in made:
            self.registry.publish(bundle, activate=False)
        self.registry.activate(1)
        self.metric = made[0].manifest.metric
        self.queries = [str(each) for each in made[0].queries["id"][:200]]
        self.items = made[0].manifest.num_items
        self._base: dict[str, np.ndarray] = {}
        self._written: dict[str, np.ndarray] = {}
        self._asked: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, int]] = {}
        self._models: dict[int, str] = {}
        payloads = [payload(WRITTEN + number, "x") for number in range(written)]
        for bundle in made:
            model = bundle.manifest.model_fingerprint
            if model not in self._base:
                retriever = Retriever.load(bundle.folder, verify=False)
                self._base[model] = np.array(bundle.item_vectors)
                self._rows[model] = retriever.row_of
                self._written[model] = retriever.embed_items([{key: each[key] for key in ("topic", "price")} for each in payloads])
        if len(self._base) < 2:
            raise SystemExit("both seeds gave the same model, so that a mixture of versions could not be told")

    def model_of(self, version: int) -> str:
        if version not in self._models:
            self._models |= {each.number: each.manifest.model_fingerprint for each in self.registry.versions()}
        return self._models[version]

    def mixed(self, answer: Mapping[str, Any], query: int, k: int) -> str | None:
        """What in an answer is not of the version that it names; None where all is. Hits carry ``code`` and ``vector``."""
        model = self.model_of(answer["version"])
        hits = answer["results"][0]
        if answer["model"] != model or not answer["index"].startswith(f"{answer['version']}."):
            return f"version {answer['version']} is of model {model}, the answer says {answer['model']} and index {answer['index']}"
        if len({hit["id"] for hit in hits}) != k:
            return f"{len(hits)} hits, {len({hit['id'] for hit in hits})} different ones, instead of {k}"
        codes = [hit["fields"]["code"] for hit in hits]
        expected = np.array([self._vector(model, code, hit["id"]) for code, hit in zip(codes, hits, strict=True)])
        given = np.array([hit["vector"] for hit in hits], np.float32)
        if not np.allclose(given, expected, atol=TOLERANCE):
            return f"vectors of {answer['index']} are not those of its model"
        scores = np.array([hit["score"] for hit in hits])
        wanted = self._scores(self._query(answer["version"], query), expected)
        if not np.allclose(scores, wanted, atol=TOLERANCE * max(1.0, float(np.abs(wanted).max()))):
            return f"scores of {answer['index']} are {scores - wanted} off those of its model"
        return None if (np.diff(scores) <= 0).all() else "hits are not in order"

    def _query(self, version: int, query: int) -> np.ndarray:
        """The query's vector by a version's own towers and histories, whose items a version that was built anew has as they are by then."""
        with self._lock:
            if version not in self._asked:
                retriever = Retriever.load(self.registry.version(version).folder, verify=False)
                self._asked[version] = retriever.embed_queries([Query(query_id=each) for each in self.queries])
            return self._asked[version][query]

    def _vector(self, model: str, code: int, identifier: str) -> np.ndarray:
        if code >= WRITTEN:
            return self._written[model][code - WRITTEN]
        return self._base[model][self._rows[model][identifier]]

    def _scores(self, query: np.ndarray, items: np.ndarray) -> np.ndarray:
        scores = items.astype(np.float64) @ query
        if self.metric == "dot":
            return scores
        return scores / np.maximum(np.linalg.norm(items.astype(np.float64), axis=1) * np.linalg.norm(query), 1e-30)
