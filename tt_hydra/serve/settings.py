"""How a bundle is served: sizes, threads, times."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from tt_hydra.errors import ConfigError

PORTS = 65_535
Runtime = Literal["auto", "torch", "onnx"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The largest request that is answered; a larger one is refused before work is done for it.

    Attributes:
        body_bytes: of a request.
        queries: in a request.
        k: results of a query.
        text_length: characters of any string.
        history: items of a query's history.
        values: values of a list: of a multi-valued feature, of a filter.
        columns: features, context columns, filter columns, columns to show, search parameters.
        items: that are written or embedded in a request.
        ids: to leave out or to delete.
        param: value of a search parameter.
    """

    body_bytes: int = 8_000_000
    queries: int = 256
    k: int = 1000
    text_length: int = 20_000
    history: int = 1000
    values: int = 1000
    columns: int = 200
    items: int = 1000
    ids: int = 10_000
    param: int = 10_000

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) < 1:
                raise ConfigError(f"serve.limits.{each.name}={getattr(self, each.name)}: at least 1 must be allowed")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """How a service runs.

    Attributes:
        host: address that it listens on.
        port: port that it listens on; 0 takes a free one.
        read_token: ask for the token for reading, too.
        threads: that one search or one run of a tower may use.
        workers: searches that run at once.
        runtime: what runs the query tower; ``auto`` measures and takes the faster.
        batch_size: queries that the query tower takes at once.
        batch_delay_ms: how long a query waits for others to share a run of the tower with; 0 takes those that came while it was busy.
        cached_queries: vectors of queries that are kept.
        max_waiting: requests that may wait; more are told to come again.
        timeout_s: a request that is not answered by then is told so.
        drain_s: after SIGTERM: how long requests that are being answered may take to the end.
        quiet_s: after SIGTERM: how long new requests are still answered while ``/readyz`` says no, for a load balancer to see it.
        poll_s: how often the registry is looked at for another version and for changes by other processes.
        upkeep_s: how often it is asked whether the catalogue should be built anew; 0 leaves that to ``update``.
        limits: the largest request.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    read_token: bool = False
    threads: int = 1
    workers: int = 1
    runtime: Runtime = "auto"
    batch_size: int = 64
    batch_delay_ms: float = 0.0
    cached_queries: int = 10_000
    max_waiting: int = 256
    timeout_s: float = 10.0
    drain_s: float = 10.0
    quiet_s: float = 0.0
    poll_s: float = 0.25
    upkeep_s: float = 10.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= PORTS:
            raise ConfigError(f"serve.port={self.port}: a port is a number up to {PORTS}; 0 takes a free one")
        for name in ("threads", "workers", "batch_size", "max_waiting"):
            if getattr(self, name) < 1:
                raise ConfigError(f"serve.{name}={getattr(self, name)}: at least 1 is needed")
        for name in ("batch_delay_ms", "cached_queries", "drain_s", "quiet_s", "upkeep_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"serve.{name}={getattr(self, name)}: 0 or more")
        for name in ("timeout_s", "poll_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"serve.{name}={getattr(self, name)}: more than 0 seconds")
