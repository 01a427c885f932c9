"""The process that serves: its socket, its signals, its orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tt_hydra.errors import ConfigError
from tt_hydra.serve.app.create import create_app
from tt_hydra.serve.app.naming import Named
from tt_hydra.serve.app.protocol import BoundedProtocol
from tt_hydra.serve.app.searching import Quick
from tt_hydra.serve.app.service import Service
from tt_hydra.serve.engine import Upkeep

BACKLOG = 2048
CLOSED = "handler is closed"
"""What uvloop says of a connection whose other side is gone."""
KEEP_ALIVE_S = 75
"""An idle connection is kept so long: longer than clients and load balancers keep theirs, so that none sends into a closing one."""

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from the others: Python's own 5 ms is longer than a whole answer takes."""

logger = logging.getLogger(__name__)


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address.

    Raises:
        ConfigError: the address is in use or not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"serve.host={host} serve.port={port} cannot be taken: {error.strerror or error}. Give another serve.port, or 0 for a free one"
        ) from error
    return found


class Server(uvicorn.Server):
    """Uvicorn with signals of our own: the first asks for an orderly end, the second for one at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes SIGTERM and Ctrl-C while it serves."""
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        for number in before:
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _end(self) -> None:
        if self._service.draining:
            self.should_exit = self.force_exit = True
            return
        self._service.draining = True
        logger.info("ending: requests that are being answered are answered")
        asyncio.get_running_loop().call_later(self._service.options.quiet_s, self._stop)

    def _stop(self) -> None:
        self.should_exit = True


class Patient:
    """An application whose client may have gone before it was answered: that is no failure."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

        async def told(message: Message) -> None:
            try:
                await send(message)
            except RuntimeError as error:
                if CLOSED not in str(error):
                    raise

        await self._app(scope, receive, told)


def configured(service: Service) -> uvicorn.Config:
    """How uvicorn runs a service."""
    return uvicorn.Config(
        Patient(Quick(Named(create_app(service), service), service)),
        http=BoundedProtocol,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(service.options.drain_s)),
        backlog=BACKLOG,
    )


def run(service: Service, at: socket.socket, told: Callable[[str], None], upkeep: Upkeep | None = None) -> None:
    """Serves until it is told to end by SIGTERM or Ctrl-C; what is being answered then is answered.

    Args:
        service: with its engine loaded; warmed here.
        at: where it listens.
        told: is given the address as soon as requests are welcome.
        upkeep: what keeps the catalogue in shape meanwhile.
    """
    host, port = at.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def prepare() -> None:
        try:
            service.warm_up()
        except Exception:
            logger.exception("warming up failed: the service never becomes ready")
            return
        told(address)

    sys.setswitchinterval(SWITCH_S)
    warming = threading.Thread(target=prepare, name="warm-up", daemon=True)
    service.engine.start(upkeep)
    warming.start()
    try:
        Server(configured(service), service).run(sockets=[at])
    finally:
        at.close()
        warming.join()
        service.close()
