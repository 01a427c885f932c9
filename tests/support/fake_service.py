"""The HTTP interface with prepared answers: what a real one gives only by chance (slow, busy, hostile texts) can be asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

PAGE = files("tt_hydra.serve") / "page"
TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOKEN = "a-secret-of-32-letters-0123456789"

Json = dict[str, Any]
Answer = tuple[int, Json] | tuple[int, Json, dict[str, str]]


@dataclass
class Asked:
    """One request that came in."""

    method: str
    path: str
    body: Any
    token: str | None


@dataclass
class Service:
    """What is answered, by ``"METHOD path"``, and what was asked."""

    url: str = ""
    routes: dict[str, Callable[[Asked], Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    gone: bool = False

    def of(self, route: str) -> list[Asked]:
        return [each for each in self.asked if f"{each.method} {each.path}" == route]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        found = self.routes.get(f"{asked.method} {asked.path}")
        return found(asked) if found else (404, {"error": {"reason": f"there is no {asked.path}"}})


def always(answer: Json) -> Callable[[Asked], Answer]:
    return lambda asked: (200, answer)


def refused(status: int, reason: str, **headers: str) -> Answer:
    return status, {"error": {"reason": reason}}, {name.replace("_", "-"): value for name, value in headers.items()}


def with_token(answer: Callable[[Asked], Answer]) -> Callable[[Asked], Answer]:
    """An answer only for those who know the token."""
    return lambda asked: answer(asked) if asked.token == f"Bearer {TOKEN}" else refused(401, "this needs the server's token")


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            if service.gone:
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            if self.command == "GET" and (path == "/" or path.startswith("/static/")):
                name = path.removeprefix("/static/") if path != "/" else "index.html"
                self.send(
                    200, (PAGE / name).read_bytes(), {"Content-Type": TYPES[name.rpartition(".")[2]], "Content-Security-Policy": POLICY}
                )
                return
            asked = Asked(self.command, path, json.loads(body) if body else None, self.headers.get("Authorization"))
            status, content, *more = service.answer(asked)
            headers = {"Content-Type": "application/json", **(more[0] if more else {})}
            self.send(status, json.dumps(content).encode(), headers)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the page has cancelled it

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return Handler


@contextmanager
def serving(routes: dict[str, Callable[[Asked], Answer]]) -> Iterator[Service]:
    """A service on a free port."""
    service = Service(routes=dict(routes))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.gone = True  # for the connections that are still open
        server.shutdown()
        server.server_close()
        thread.join()
