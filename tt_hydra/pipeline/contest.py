"""Two versions before the same questions: what each of them finds, how much of its own exact answer, and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.reference import Questions
from tt_hydra.artifact.registry import Version
from tt_hydra.contracts import FloatArray, IntArray, Ragged, SearchResult
from tt_hydra.data.schema import HISTORY
from tt_hydra.errors import BundleError
from tt_hydra.index.threads import single_thread
from tt_hydra.metrics.ann import recall_per_query
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.latency import measure_in_turns
from tt_hydra.metrics.ranking import TEN, evaluate_ranking
from tt_hydra.pipeline.stage.exclude import search_excluding
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.served import Served
from tt_hydra.serve.tower import torch_tower

K = 10
QUALITY, ANN_RECALL, LATENCY = "quality recall@10", "ANN recall@10", "query p99 ms"
CHUNK = 256
TIMED = 200
"""Questions that are timed, at most."""
CALLS = 600
"""How often each version is timed; a question may come several times."""


class Contestant:
    """A version as it would be served now: its bundle and the changes of the catalogue since.

    Raises:
        BundleError: it cannot embed an item that was written since.
    """

    def __init__(self, retriever: Retriever, changes: Sequence[Change] = ()) -> None:
        self.retriever = retriever
        bundle = retriever.bundle
        self.served = Served(Version(0, bundle.folder, bundle.manifest), retriever, torch_tower(retriever))
        refused = self.served.apply(changes).refused if changes else ()
        if refused:
            raise BundleError(f"{bundle.folder} cannot embed {len(refused)} of the items written since, the first is {refused[0]!r}")
        self._params = bundle.manifest.search_params

    @classmethod
    def load(cls, folder: Path, changes: Sequence[Change] = (), allow: Sequence[str] = ()) -> Contestant:
        """Opens the bundle of a version.

        Raises:
            BundleError: it is damaged, or cannot take the changes.
        """
        return cls(Retriever.load(folder, allow=allow), changes)

    @property
    def bundle(self) -> Bundle:
        """Its bundle."""
        return self.retriever.bundle

    def answers(self, questions: Questions) -> IntArray:
        """The questions that it can answer: rows, ascending. One without a query tower knows some queries by id."""
        if self.bundle.manifest.model is None:
            known = set(self.bundle.queries["id"].to_list())
            return np.flatnonzero([identifier in known for identifier in questions.records["id"].to_list()])
        inputs = {*self._named(questions.records, "queries"), *self._named(questions.records, "context")}
        takes_history = self.bundle.featurizer.history > 0 and HISTORY in questions.records.columns
        return np.arange(len(questions) if inputs or takes_history else 0)

    def queries(self, questions: Questions) -> list[Query]:
        """The questions as it takes them: whatever it has no use for is left out."""
        if self.bundle.manifest.model is None:
            return [Query(query_id=identifier) for identifier in questions.records["id"].to_list()]
        features, context = (self._named(questions.records, side) for side in ("queries", "context"))
        history = self.bundle.featurizer.history > 0
        return [_query(row, features, context, history) for row in questions.records.iter_rows(named=True)]

    def _named(self, records: pl.DataFrame, side: str) -> list[str]:
        encoders = getattr(self.bundle.featurizer, side)
        return [encoder.name for encoder in encoders if encoder.name in records.columns]

    def search(self, queries: FloatArray, k: int) -> SearchResult:
        """The best living items by row."""
        return self.served.state.snapshot.search(queries, k, self._params)

    def rows(self, lists: pl.Series) -> Ragged:
        """Rows of the living items among some lists of ids."""
        rows = [[row for row in map(self.served.items.current, ids) if row is not None] for ids in lists.to_list()]
        offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64)
        return Ragged(np.array([row for each in rows for row in each], np.int64), offsets)

    def holds(self, identifier: str) -> bool:
        """Whether an item is in its catalogue."""
        return self.served.items.current(identifier) is not None

    def ann_recall(self, vectors: FloatArray) -> float:
        """Mean recall@10 of its index against exact search over what the index holds.

        Changes play no part: items beside an index are searched exactly, so that with them any compaction would seem to lose recall.
        """
        index, items = self.retriever.index, self.bundle.item_vectors
        found, exact = index.search(vectors, K, self._params), exact_search(vectors, items, K, index.metric)
        return float(recall_per_query(found, exact, vectors, items, index.metric).mean(dtype=np.float64))

    def quality(self, vectors: FloatArray, relevant: pl.Series, exclude: pl.Series) -> float:
        """Mean recall@10 of its index against the answers."""
        found = search_excluding(self, vectors, K, self.rows(exclude))
        return float(evaluate_ranking(found, self.rows(relevant), cutoffs=TEN).per_query.values[f"recall@{K}"].mean(dtype=np.float64))


@dataclass(frozen=True)
class Contest:
    """Questions that all contestants can answer.

    Attributes:
        contestants: who is compared.
        questions: those that all of them can answer.
    """

    contestants: Sequence[Contestant]
    questions: Questions

    @classmethod
    def among(cls, contestants: Sequence[Contestant], questions: Questions) -> Contest:
        """Keeps the questions that all contestants can answer."""
        common = np.arange(len(questions))
        for each in contestants:
            common = np.intersect1d(common, each.answers(questions))
        return cls(contestants, questions.take(common))

    @cached_property
    def vectors(self) -> list[FloatArray]:
        """The questions by each contestant's own query tower."""
        return [_in_chunks(each.retriever, each.queries(self.questions)) for each in self.contestants]

    @cached_property
    def judged(self) -> tuple[IntArray, pl.Series]:
        """Questions that have an answer which all of them hold, and those answers."""
        shared = [[each for each in ids if all(one.holds(each) for one in self.contestants)] for ids in self.questions.relevant.to_list()]
        rows = np.flatnonzero([len(each) > 0 for each in shared])
        return rows, pl.Series([shared[row] for row in rows.tolist()], dtype=pl.List(pl.String))

    def quality(self) -> list[float]:
        """Of each, recall@10 through its index against the answers that all hold; nothing where no question has one."""
        rows, relevant = self.judged
        if not len(rows):
            return []
        exclude = self.questions.exclude.gather(rows)
        return [one.quality(vectors[rows], relevant, exclude) for one, vectors in zip(self.contestants, self.vectors, strict=True)]

    def ann_recall(self) -> list[float]:
        """Of each, recall@10 of its index against its own exact search."""
        return [one.ann_recall(vectors) for one, vectors in zip(self.contestants, self.vectors, strict=True)]

    def p99_ms(self) -> list[float]:
        """Of each, the 99th percentile of a single query on one thread, tower and search, all of them in turns."""
        timed = self.questions.take(np.arange(min(TIMED, len(self.questions))))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with single_thread():
                calls = [_Call(one, one.queries(timed)) for one in self.contestants]
                return [each.p99_ms for each in measure_in_turns(calls, CALLS)]
        finally:
            torch.set_num_threads(threads)


class _Call:
    """Answers one question, its features encoded beforehand."""

    def __init__(self, contestant: Contestant, queries: Sequence[Query]) -> None:
        self._contestant, retriever = contestant, contestant.retriever
        self._vectors = retriever.embed_queries(queries)
        given = retriever.bundle.manifest.model is None
        self._features = [] if given else [retriever.query_features([query]) for query in queries]

    def __call__(self, number: int) -> object:
        number %= len(self._vectors)
        vector = self._contestant.retriever.run_queries(self._features[number]) if self._features else self._vectors[number : number + 1]
        return self._contestant.search(vector, K)


def _in_chunks(retriever: Retriever, queries: Sequence[Query]) -> FloatArray:
    chunks = [retriever.embed_queries(queries[start : start + CHUNK]) for start in range(0, len(queries), CHUNK)]
    return np.concatenate([np.empty((0, retriever.bundle.manifest.dim), np.float32), *chunks])


def _query(row: Mapping[str, Any], features: Sequence[str], context: Sequence[str], history: bool) -> Query:
    return Query(
        features={name: row[name] for name in features},
        context={name: row[name] for name in context},
        history=(row.get(HISTORY) or []) if history else None,
    )
