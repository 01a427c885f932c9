"""Answers several requests together: one run of the query tower, one search for those that search alike."""

from __future__ import annotations

import json
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tt_hydra.contracts import BoolArray, FloatArray, SearchResult
from tt_hydra.contracts.serving import Observed
from tt_hydra.errors import DataError, TTHydraError
from tt_hydra.serve.asking import ALL, Answer, Ask, Found
from tt_hydra.serve.cache import Lru
from tt_hydra.serve.catalogue import VECTOR
from tt_hydra.serve.query import Query
from tt_hydra.serve.served import Encoded, Served, State

OVERFETCHED = 64
"""Up to so many items to leave out are fetched and dropped; for more, the search is told which rows it may return."""

Outcome = Answer | TTHydraError


@dataclass(slots=True)
class _Job:
    """A request on its way."""

    ask: Ask
    started: float
    encoded: list[Encoded | None] = field(default_factory=list)
    left_out: list[set[str]] = field(default_factory=list)
    fetched: int = 0
    allowed: BoolArray | None = None
    error: TTHydraError | None = None
    result: SearchResult | None = None
    vectors: FloatArray | None = None


class Answerer:
    """Answers requests from whatever version it is given.

    Args:
        cached: vectors of queries that are kept.
        batch: rows that the tower takes at once.
    """

    def __init__(self, cached: int, batch: int) -> None:
        self._cache: Lru[Encoded] | None = Lru(cached) if cached else None
        self._batch = batch

    def answer(self, served: Served, asks: Sequence[Ask]) -> tuple[list[Outcome], list[Observed]]:
        """Answers, or the errors of those who asked, in the order of ``asks``; and what is to be told to an observer."""
        start = time.perf_counter()
        state = served.state
        jobs = [_Job(ask, start if ask.asked is None else ask.asked) for ask in asks]
        self._embed(served, jobs)
        tower = time.perf_counter() - start
        outcomes: list[Outcome] = []
        seen: list[Observed] = []
        searched = self._search(served, state, jobs)
        for job in jobs:
            if job.error is not None:
                outcomes.append(job.error)
                continue
            answer, observed = self._merge(served, state, job, {"tower": tower, "search": searched})
            outcomes.append(answer)
            seen.append(observed)
        return outcomes, seen

    def vectors(self, served: Served, queries: Sequence[Query]) -> FloatArray:
        """Vectors of queries, ``(n, dim)``.

        Raises:
            DataError: an unknown id, or an input that the model does not take.
        """
        job = _Job(Ask(queries=queries), 0.0)
        self._embed(served, [job])
        if job.error is not None:
            raise job.error
        return _stacked(job)

    def _embed(self, served: Served, jobs: Sequence[_Job]) -> None:
        waiting: list[tuple[_Job, int, Hashable]] = []
        rows: list[Mapping[str, object]] = []
        for job in jobs:
            try:
                before = len(rows)
                for number, query in enumerate(job.ask.queries):
                    key = None if self._cache is None else _key(served.origin, query)
                    job.encoded.append(_known(served, query) if query.vector is not None else self._cached(key))
                    if job.encoded[-1] is None:
                        rows.append(served.retriever.records.row(query))
                        waiting.append((job, number, key))
            except TTHydraError as error:
                job.error = located(error, f"queries.{number}")
                del rows[before:], waiting[before:]
        for start in range(0, len(rows), self._batch):
            part = slice(start, start + self._batch)
            self._encode(served, waiting[part], rows[part])

    def _cached(self, key: Hashable) -> Encoded | None:
        return None if self._cache is None else self._cache.get(key)

    def _encode(self, served: Served, waiting: Sequence[tuple[_Job, int, Hashable]], rows: Sequence[Mapping[str, object]]) -> None:
        try:
            found = served.encode([job.ask.queries[number] for job, number, _ in waiting], rows)
        except TTHydraError as error:
            if len({id(job) for job, _, _ in waiting}) > 1:  # one request's mistake is not the others'
                for each, row in zip(waiting, rows, strict=True):
                    self._encode(served, [each], [row])
                return
            for job, number, _ in waiting:
                job.error = located(error, f"queries.{number}")
            return
        for (job, number, key), encoded in zip(waiting, found, strict=True):
            job.encoded[number] = encoded
            if self._cache is not None:
                self._cache.put(key, encoded)

    def _search(self, served: Served, state: State, jobs: Sequence[_Job]) -> float:
        start = time.perf_counter()
        groups: dict[Hashable, list[_Job]] = {}
        for job in jobs:
            if job.error is not None:
                continue
            try:
                groups.setdefault(self._prepare(served, state, job), []).append(job)
            except TTHydraError as error:
                job.error = error
        for group in groups.values():
            self._search_group(served, state, group)
        return time.perf_counter() - start

    def _prepare(self, served: Served, state: State, job: _Job) -> Hashable:
        """Gathers what a job's search takes; jobs of one key are searched together."""
        ask = job.ask
        if ask.k < 1:
            raise DataError(f"k={ask.k}: at least 1 result")
        known = served.retriever.index.search_params
        for name in ask.params or ():
            if name not in known:
                raise DataError(f"params.{name}: this index takes {', '.join(known) or 'no search parameters'}")
        if ask.include and ask.include != (ALL,):
            served.items.known_columns(ask.include)
        masked = len(ask.exclude) > OVERFETCHED
        left_out = set() if masked else set(ask.exclude)
        seen = served.retriever.seen
        job.left_out = [left_out | seen(query) if ask.exclude_seen else left_out for query in ask.queries]
        job.fetched = ask.k + max((len(each) for each in job.left_out), default=0)
        size = state.snapshot.size
        if ask.filter:
            job.allowed = served.masks.rows(ask.filter, size)
        if masked:
            job.allowed = np.ones(size, np.bool_) if job.allowed is None else job.allowed.copy()
            job.allowed[served.items.rows_of(ask.exclude, size)] = False
        params = tuple(sorted(ask.params.items())) if ask.params else None
        return job.fetched, params, ask.exact, json.dumps(ask.filter, sort_keys=True) if ask.filter else None, id(job) if masked else None

    def _search_group(self, served: Served, state: State, group: Sequence[_Job]) -> None:
        first = group[0]
        for job in group:
            job.vectors = _stacked(job)
        vectors = first.vectors if len(group) == 1 else np.concatenate([job.vectors for job in group if job.vectors is not None])
        assert vectors is not None
        try:
            if first.ask.exact:
                found = state.snapshot.exact(vectors, first.fetched, first.allowed)
            else:
                params = {**served.version.manifest.search_params, **(first.ask.params or {})}
                found = state.snapshot.search(vectors, first.fetched, params, first.allowed)
        except TTHydraError as error:
            for job in group:
                job.error = error
            return
        start = 0
        for job in group:
            part = slice(start, start + len(job.encoded))
            job.result = SearchResult(found.scores[part], found.rows[part])
            start = part.stop

    def _merge(self, served: Served, state: State, job: _Job, seconds: dict[str, float]) -> tuple[Answer, Observed]:
        start = time.perf_counter()
        ask, result = job.ask, job.result
        assert result is not None
        assert job.vectors is not None
        items = served.items
        columns = list(items.types) if ask.include == (ALL,) else items.known_columns(ask.include)
        wants_vector = VECTOR in ask.include
        results = []
        for scores, rows, left_out in zip(result.scores.tolist(), result.rows.tolist(), job.left_out, strict=True):
            kept: list[tuple[int, Found]] = []
            for row, score in zip(rows, scores, strict=True):
                if row < 0 or len(kept) == ask.k:
                    break
                identifier = items.id_of(row)
                if identifier not in left_out:
                    kept.append((row, Found(identifier, score, items.fields(row, columns) if columns else None)))
            if wants_vector:
                taken = state.snapshot.take(np.array([row for row, _ in kept], np.int64)).tolist()
                results.append([Found(hit.id, hit.score, hit.fields, vector) for (_, hit), vector in zip(kept, taken, strict=True)])
            else:
                results.append([hit for _, hit in kept])
        answer = Answer(mark=state.mark, results=results)
        if ask.encode is not None:
            answer.body = ask.encode(answer)
        now = time.perf_counter()
        answer.seconds = {**seconds, "merge": now - start, "total": now - job.started}
        observed = Observed(
            version=state.mark.version,
            vectors=job.vectors,
            result=result,
            ids=[[hit.id for hit in hits] for hits in results],
            snapshot=state.snapshot,
            params=ask.params,
            allowed=job.allowed,
            exact=ask.exact,
            seconds=answer.seconds,
            unknown=[each.unknown for each in job.encoded if each is not None],
            values=[each.values for each in job.encoded if each is not None],
        )
        return answer, observed


def located(error: TTHydraError, place: str) -> TTHydraError:
    """The error, with the place in the request that it is about."""
    error.place = place  # type: ignore[attr-defined]  # read by whoever answers
    return error


def _known(served: Served, query: Query) -> Encoded:
    return Encoded(served.retriever.embed_queries([query])[0], 0, 0)


def _stacked(job: _Job) -> FloatArray:
    vectors: FloatArray = np.stack([each.vector for each in job.encoded if each is not None])
    return vectors


def _key(origin: str, query: Query) -> Hashable:
    if query.features is None and query.context is None and query.history is None:
        return origin, query.text, query.query_id
    return origin, json.dumps([query.text, query.query_id, query.features, query.history, query.context], sort_keys=True, default=str)
