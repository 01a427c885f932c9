"""The engine of a service: answers searches, takes writes, follows the registry. No HTTP; usable from a notebook."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.registry import Registry
from tt_hydra.contracts import FloatArray
from tt_hydra.contracts.serving import Health, Observer
from tt_hydra.errors import BuildingError, BundleError, DataError, OvertakenError
from tt_hydra.serve.answering import Answerer
from tt_hydra.serve.asking import Answer, Ask, Mark
from tt_hydra.serve.catalogue import ID, VECTOR
from tt_hydra.serve.load import load, warm
from tt_hydra.serve.query import Query
from tt_hydra.serve.served import Served
from tt_hydra.serve.settings import ServeOptions
from tt_hydra.serve.tower import GRAPHS
from tt_hydra.serve.writes import Commits

AGAIN_S = 300.0
"""After so many seconds a version that could not be served is tried again: what was in its way may be gone."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What keeps a catalogue in shape, given by whoever starts a service.

    Attributes:
        due: the reason why a catalogue in this state should be built anew, or None.
        compact: builds it anew as another version and makes that current.
        every_s: seconds between two looks.
        patience_s: after it failed.
    """

    due: Callable[[Health], str | None]
    compact: Callable[[], object]
    every_s: float = 5.0
    patience_s: float = 600.0


class Engine:
    """Serves the current version of a registry.

    Example:
        >>> engine = Engine(Registry(Path("outputs/registry")))  # doctest: +SKIP
        >>> engine.search([Query(text="a film about the sea")], k=10).results[0]  # doctest: +SKIP

    Attributes:
        served: the version that is served; a request reads it once.
    """

    def __init__(
        self, registry: Registry, options: ServeOptions | None = None, observer: Observer | None = None, allow: Sequence[str] = ()
    ) -> None:
        self.registry, self.options, self.observer = registry, options or ServeOptions(), observer
        self._allow = allow
        self._answerer = Answerer(self.options.cached_queries, self.options.batch_size)
        self._writing = threading.RLock()
        self._loading = threading.Lock()
        self._ending = threading.Event()
        self._refused: int | None = None
        self._tried = 0.0
        self._threads: list[threading.Thread] = []
        version = registry.running("publish a bundle, `python -m tt_hydra versions publish=latest`")
        self._log = registry.log
        self.served = self._loaded(version.number)
        self._announce()
        self._commits = Commits(self._commit)

    def search(self, queries: Sequence[Query], **asked: Any) -> Answer:
        """The best items of each query; ``asked`` are fields of `Ask`.

        Raises:
            TTHydraError: the request makes no sense for the version.
        """
        outcome = self.answer([Ask(queries=queries, **asked)])[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def answer(self, asks: Sequence[Ask]) -> Sequence[Answer | Exception]:
        """Answers several requests together, from one version and one state of its catalogue."""
        outcomes, seen = self._answerer.answer(self.served, asks)
        if self.observer is not None:
            for each in seen:
                self.observer.searched(each)
        return outcomes

    def embed(self, queries: Sequence[Query]) -> tuple[Mark, FloatArray]:
        """Vectors of queries, and who made them."""
        served = self.served
        return served.state.mark, self._answerer.vectors(served, queries)

    def embed_items(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Mark, FloatArray]:
        """Vectors of items that are not written, and who made them."""
        served = self.served
        return served.state.mark, served.embed_items([served.items.row(row, needs_id=False) for row in rows])

    def item(self, identifier: str) -> tuple[Mark, dict[str, Any] | None]:
        """All columns of an item; None where there is no such item."""
        served = self.served
        with served.moving:
            mark, row = served.state.mark, served.items.current(identifier)
        return mark, None if row is None else served.items.fields(row, served.items.types)

    def upsert(self, rows: Sequence[Mapping[str, Any]]) -> Mark:
        """Writes items: on the disk and visible to the next search when it returns.

        Raises:
            DataError: an item has no id, stands here twice, or does not fit the catalogue's columns.
            OSError: the disk refuses.
        """
        served = self.served
        kept = [served.items.row(row) for row in rows]
        identifiers = [row[ID] for row in kept]
        if len(set(identifiers)) < len(identifiers):
            twice = next(each for each in identifiers if identifiers.count(each) > 1)
            raise DataError(f"item {twice!r} stands here twice: send each item once")
        given = [{**row, **({VECTOR: each[VECTOR]} if VECTOR in each else {})} for row, each in zip(kept, rows, strict=True)]
        vectors = served.embed_items(given)
        return self._commits.add(Change(items=kept, vectors=vectors, model=served.model))

    def delete(self, identifiers: Sequence[str]) -> tuple[Mark, list[str]]:
        """Removes items; those that there are not are returned.

        Raises:
            OSError: the disk refuses.
        """
        wanted = list(dict.fromkeys(identifiers))
        if self._unknown(wanted):
            self.tail()  # another process may have written them just now
        served, unknown = self.served, self._unknown(wanted)
        known = sorted(set(wanted) - set(unknown), key=wanted.index) if unknown else wanted
        if not known:
            return served.state.mark, unknown
        return self._commits.add(Change(deleted=known)), unknown

    def _unknown(self, identifiers: Sequence[str]) -> list[str]:
        items = self.served.items
        return [each for each in identifiers if items.current(each) is None]

    def activate(self, number: int) -> Mark:
        """Makes a version current and serves it from now on.

        Raises:
            NoVersionError: there is no such version.
            BundleError: it is damaged, or another process writes to the registry.
        """
        with self._loading:
            served = self._loaded(number)
            warm(served, self.options)
            self.registry.activate(number)
            self._swap(served)
        return served.state.mark

    def start(self, upkeep: Upkeep | None = None) -> None:
        """Follows the registry in the background until `close`; with ``upkeep`` builds the catalogue anew when it is due."""
        jobs: list[tuple[Callable[[], None], float]] = [(self.tail, self.options.poll_s), (self.follow, self.options.poll_s)]
        if upkeep is not None:
            jobs.append((lambda: self._keep_up(upkeep), upkeep.every_s))
        for job, seconds in jobs:
            self._threads.append(threading.Thread(target=self._repeat, args=(job, seconds), name="registry", daemon=True))
            self._threads[-1].start()

    def close(self) -> None:
        """Ends what runs in the background."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        if self.observer is not None:
            self.observer.close()

    def tail(self) -> None:
        """Applies what other processes wrote."""
        with self._writing:
            self._catch_up(self.served)

    def follow(self) -> None:
        """Serves the version that is current now, if it is another one and whole."""
        with self._loading:
            current = self.registry.current
            if current is None or current == self.served.version.number:
                self._refused = None
                return
            if current == self._refused and time.monotonic() - self._tried < AGAIN_S:
                return
            try:
                served = self._loaded(current)
                warm(served, self.options)
                self._swap(served)
            except Exception as error:
                self._refused, self._tried = current, time.monotonic()
                logger.error("version %d is current but is not served, version %d stays: %s", current, self.served.version.number, error)

    def _repeat(self, job: Callable[[], None], seconds: float) -> None:
        while not self._ending.wait(seconds):
            try:
                job()
            except Exception:
                logger.exception("looking at the registry failed; trying again")

    def _keep_up(self, upkeep: Upkeep) -> None:
        if self.registry.current != self.served.version.number:
            return  # that one would be built anew, and is in a state of its own
        reason = upkeep.due(self.served.state.snapshot.health)
        if reason is not None:
            logger.info("building the catalogue anew: %s", reason)
            try:
                upkeep.compact()
            except (BuildingError, OvertakenError) as error:
                logger.info("the catalogue was not built anew here: %s", error)
            except Exception as error:
                logger.error("the catalogue was not built anew, version %d stays: %s", self.served.version.number, error)
                self._ending.wait(upkeep.patience_s)

    def _loaded(self, number: int) -> Served:
        served = load(self.registry.version(number), self.options, self.registry.folder / GRAPHS, self._allow)
        refused = self._catch_up(served)
        if refused:
            raise BundleError(f"version {number} cannot embed {len(refused)} of the items written since, the first is {refused[0]!r}")
        return served

    def _catch_up(self, served: Served) -> tuple[str, ...]:
        """Applies what the log holds beyond a version's state; ids of items that it could not embed."""
        after = served.state.mark.sequence
        changes = self._log.read(after)
        if not changes:
            return ()
        applied = served.apply(changes)
        if self.observer is not None and served is getattr(self, "served", None):
            items = sum(len(change.items) for change in changes)
            self.observer.written(applied.vectors, served.state.snapshot.health, writes=len(changes), items=items)
        return applied.refused

    def _commit(self, changes: Sequence[Change]) -> Mark:
        with self._writing:
            self._log.append(changes)
            self._catch_up(self.served)
            return self.served.state.mark

    def _swap(self, served: Served) -> None:
        with self._writing:
            self._catch_up(served)
            self.served = served
        self._announce()
        logger.info("serving version %d, model %s", served.version.number, served.model)

    def _announce(self) -> None:
        if self.observer is not None:
            served, made = self.served, self.served.version.manifest
            number, reference = served.version.number, served.retriever.bundle.reference
            self.observer.serving(number, made.created, reference, trained=made.trained_at, changed=served.changed)
