"""What the routes share: the engine, the queue before it, the token, and whether the service is ready."""

from __future__ import annotations

import asyncio
import gc
import hmac
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import orjson
from fastapi import Request

from tt_hydra.serve.app.errors import Refused
from tt_hydra.serve.asking import Answer, Ask
from tt_hydra.serve.batcher import Batcher
from tt_hydra.serve.engine import Engine
from tt_hydra.serve.load import warm

TOKEN = "TT_HYDRA_TOKEN"
"""Environment variable of the token."""
WRITERS = 8
"""Threads that embed items and wait for the disk."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


def token_of_environment() -> str | None:
    """The token that ``TT_HYDRA_TOKEN`` holds, without blanks around it, as a file's last newline is; None where nothing is left."""
    return os.environ.get(TOKEN, "").strip() or None


class Service:
    """An engine with a queue before it.

    Args:
        engine: answers.
        token: that writing and administration ask for; None refuses them.
        metrics: the text of ``/metrics``; None for none.

    Attributes:
        ready: whether it is warm and not about to end.
    """

    def __init__(self, engine: Engine, token: str | None, metrics: Callable[[], bytes] | None = None) -> None:
        self.engine, self.options, self.metrics = engine, engine.options, metrics
        self._token = None if token is None else token.encode()
        options = engine.options
        self._batcher = Batcher(
            engine.answer,
            size=options.batch_size,
            delay=options.batch_delay_ms / 1000,
            waiting=options.max_waiting,
            workers=options.workers,
            omp=options.threads,
        )
        self._pool = ThreadPoolExecutor(WRITERS, "write")
        self._admission = threading.Semaphore(options.max_waiting)
        self.warm = False
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return self.warm and not self.draining

    def warm_up(self) -> None:
        """Answers known queries, so that the first request is as quick as the others."""
        warm(self.engine.served, self.options)
        gc.collect()
        gc.freeze()  # what lives as long as the service is not looked through again while somebody waits
        self.warm = True

    async def search(self, ask: Ask) -> Answer:
        """Answers a search when its turn comes."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def done(outcome: Answer | Exception) -> None:
            loop.call_soon_threadsafe(_settle, future, outcome)

        self._batcher.submit(ask, done, self.options.timeout_s)
        return await future

    async def aside(self, work: Callable[..., T], *arguments: object) -> T:
        """Runs what must not hold up searches in a thread of its own.

        Raises:
            Refused: too much waits already.
        """
        if not self._admission.acquire(blocking=False):
            raise Refused(429, "too many writes wait already: send them again in a second", headers={"Retry-After": "1"})
        future = asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        future.add_done_callback(lambda _: self._admission.release())
        return await asyncio.shield(future)

    async def looked_up(self, work: Callable[..., T], *arguments: object) -> T:
        """The same for what is quick as a rule: whoever asks waits no longer than a request may take.

        Raises:
            Refused: too much waits already.
            TimeoutError: it takes longer.
        """
        async with asyncio.timeout(self.options.timeout_s):
            return await self.aside(work, *arguments)

    def require_reader(self, request: Request) -> None:
        """Refuses a request without the token where reading asks for it."""
        if self.options.read_token:
            self.require_token(request)

    def require_token(self, request: Request) -> None:
        """Refuses a request without the token.

        Raises:
            Refused: no token is set, none is given, or another one.
        """
        if self._token is None:
            raise Refused(403, f"this service takes no writes: it was started without a token. Set {TOKEN} in its environment")
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise Refused(401, "send the token: Authorization: Bearer TOKEN", headers={"WWW-Authenticate": "Bearer"})
        if not hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._token):
            raise Refused(403, "this is not the token of this service")

    def close(self) -> None:
        """Answers what waits and ends all threads."""
        self._batcher.close()
        self._pool.shutdown()
        self.engine.close()


def encoded(answer: Answer) -> bytes:
    """The answer to a search as JSON."""
    results: list[Sequence[dict[str, object]]] = []
    for hits in answer.results:
        found = []
        for hit in hits:
            shown: dict[str, object] = {"id": hit.id, "score": hit.score}
            if hit.fields is not None:
                shown["fields"] = hit.fields
            if hit.vector is not None:
                shown["vector"] = hit.vector
            found.append(shown)
        results.append(found)
    return orjson.dumps({**answer.mark.to_json(), "results": results}, default=str, option=orjson.OPT_NON_STR_KEYS)


def _settle(future: asyncio.Future[Answer], outcome: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
