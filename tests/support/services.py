"""Services on real sockets: of this process, and as processes of their own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from commands import CommandLine, Process

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.registry import Registry
from tt_hydra.contracts.serving import Observer
from tt_hydra.serve.app.server import bound, configured
from tt_hydra.serve.app.service import Service
from tt_hydra.serve.engine import Engine
from tt_hydra.serve.settings import ServeOptions

TOKEN = "a secret"
WRITER = {"Authorization": f"Bearer {TOKEN}"}
QUIET = ("serve.port=0", "serve.runtime=torch", "serve.upkeep_s=0")


def registry_of(folder: Path, bundles: Sequence[Bundle]) -> Registry:
    """A registry with these versions; the first is current."""
    registry = Registry(folder)
    for bundle in bundles:
        registry.publish(bundle, activate=False)
    registry.activate(1)
    return registry


@contextmanager
def running(
    registry: Registry,
    options: ServeOptions | None = None,
    *,
    token: str | None = TOKEN,
    observer: Observer | None = None,
    metrics: Callable[[], bytes] | None = None,
    is_warm: bool = True,
) -> Iterator[tuple[httpx.Client, Service]]:
    """A client of a service, and the service."""
    service = Service(Engine(registry, options, observer), token, metrics)
    service.engine.start()
    if is_warm:
        service.warm_up()
    at = bound("127.0.0.1", 0)
    server = uvicorn.Server(configured(service))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{at.getsockname()[1]}", timeout=30) as client:
            yield client, service
    finally:
        server.should_exit = True
        thread.join()
        service.close()
        at.close()


def line(folder: Path, *overrides: str, token: str = TOKEN) -> CommandLine:
    """The command line of a service on a free port."""
    return CommandLine(folder, ["serve", *QUIET, *overrides], environment={"TT_HYDRA_TOKEN": token})


@contextmanager
def serving(command: CommandLine) -> Iterator[tuple[Process, httpx.Client]]:
    """The process and a client of it, as soon as it says where it listens."""
    process = command.start()
    try:
        assert process.popen.stdout is not None
        told = process.popen.stdout.readline()
        found = re.fullmatch(r"serving at (http://\S+)\n", told)
        assert found, told + process.end().err
        with httpx.Client(base_url=found.group(1), timeout=30) as client:
            yield process, client
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
