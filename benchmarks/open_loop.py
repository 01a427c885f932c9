"""A client of HTTP that keeps its own time: requests leave when they are due, whatever has become of those before.

It spins on one core with non-blocking sockets, so that what it measures is the service and not its own waiting. A latency counts from
the moment when the request was due.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

CORES = sorted(os.sched_getaffinity(0))
END = b"\r\n\r\n"
PATIENCE_SECONDS = 20.0
SPARE = 16
"""Connections that are open before the first request of a paced load."""


def pin(core: int, process: int = 0) -> None:
    """A process, this one if none is named, runs on one of the cores, where there are several."""
    os.sched_setaffinity(process, {CORES[core % len(CORES)]})


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass(eq=False)
class _Connection:
    socket: socket.socket
    due: float = 0.0
    buffer: bytes = b""
    need: int = -1


@dataclass
class Load:
    """What came of a number of requests.

    Attributes:
        latencies: seconds, of those that were answered with 200.
        failed: requests that were answered otherwise.
        seconds: from the first due to the last answer.
        phases: server's own times by phase in ms, where it says them.
    """

    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0
    phases: dict[str, list[float]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds


class Client:
    """Connections to one service."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._free: deque[_Connection] = deque()
        self._by_number: dict[int, _Connection] = {}

    def paced(self, requests: Sequence[bytes], rate: float, seconds: float, seed: int) -> Load:
        """Requests at random moments (Poisson), ``rate`` a second."""
        random = np.random.default_rng(seed)
        due = np.cumsum(random.exponential(1 / rate, int(rate * seconds)))
        return self._run(requests, due.tolist(), concurrency=None)

    def saturated(self, requests: Sequence[bytes], concurrency: int, seconds: float) -> Load:
        """So many requests under way all the time."""
        return self._run(requests, None, concurrency, seconds)

    def _run(self, requests: Sequence[bytes], due: list[float] | None, concurrency: int | None, seconds: float = 0.0) -> Load:
        self._renew(concurrency or SPARE)
        load, sent, start = Load(), 0, time.perf_counter()
        under_way, ends = 0, start + seconds
        while True:
            now = time.perf_counter()
            if due is not None:
                while sent < len(due) and start + due[sent] <= now:
                    self._send(requests[sent % len(requests)], start + due[sent])
                    sent, under_way = sent + 1, under_way + 1
                done = sent == len(due)
            else:
                assert concurrency is not None
                while under_way < concurrency and now < ends:
                    self._send(requests[sent % len(requests)], now)
                    sent, under_way = sent + 1, under_way + 1
                done = now >= ends
            if done and under_way == 0:
                load.seconds = now - start
                return load
            if now > start + (due[-1] if due else seconds) + PATIENCE_SECONDS:
                raise SystemExit(f"{under_way} requests were never answered")
            for number, _ in self._poll.poll(0):
                under_way -= self._receive(self._by_number[number], load)

    def _renew(self, count: int) -> None:
        """Fresh connections: a service closes those that are idle for long."""
        for connection in self._by_number.values():
            self._poll.unregister(connection.socket)
            connection.socket.close()
        self._by_number.clear()
        self._free = deque(self._connect() for _ in range(count))

    def _connect(self) -> _Connection:
        made = socket.create_connection(("127.0.0.1", self._port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        self._poll.register(made.fileno(), select.EPOLLIN)
        connection = self._by_number[made.fileno()] = _Connection(made)
        return connection

    def _send(self, content: bytes, due: float) -> None:
        connection = self._free.pop() if self._free else self._connect()
        connection.due = due
        connection.socket.sendall(content)

    def _drop(self, connection: _Connection) -> None:
        """Lets go of a connection that the service closed because nothing was sent through it."""
        self._free.remove(connection)
        del self._by_number[connection.socket.fileno()]
        self._poll.unregister(connection.socket)
        connection.socket.close()

    def _receive(self, connection: _Connection, load: Load) -> int:
        if connection in self._free:
            self._drop(connection)
            return 0
        connection.buffer += connection.socket.recv(1 << 20)
        if connection.need < 0:
            place = connection.buffer.find(END)
            if place < 0:
                return 0
            head = connection.buffer[:place].lower()
            connection.need = place + len(END) + int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(connection.buffer) < connection.need:
            return 0
        if connection.buffer.startswith(b"HTTP/1.1 200"):
            load.latencies.append(time.perf_counter() - connection.due)
            self._phases(connection.buffer, load)
        else:
            load.failed += 1
        connection.buffer, connection.need = b"", -1
        self._free.append(connection)
        return 1

    def _phases(self, answer: bytes, load: Load) -> None:
        head, _, _ = answer.partition(END)
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"server-timing:"):
                for part in line.split(b":", 1)[1].decode().split(","):
                    name, _, value = part.strip().partition(";dur=")
                    load.phases.setdefault(name, []).append(float(value))
