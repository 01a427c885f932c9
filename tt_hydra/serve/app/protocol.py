"""HTTP whose heads are bounded: uvicorn's fast parser takes request lines and headers of any length, for any time."""

from __future__ import annotations

import asyncio
from typing import cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 1 << 16
"""Bytes of a request line and its headers; counted as they come, so up to one read of the socket more may pass."""
HEAD_SECONDS = 10.0
"""Seconds from the connection, or from the first byte of another request on it, to the end of the headers."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection; it ends with 431 where a head is too large, and with 408 where it does not come in time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to wait for the first head."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._in_head = True
        self._received = 0
        self._late: asyncio.TimerHandle | None = None
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits for nothing any more."""
        self._heard()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to a head that is not complete yet."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._received += len(data)
        if self._received > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large", f"a request line and headers of more than {HEAD_BYTES} bytes")
        elif self._late is None:
            self._wait()

    def on_message_begin(self) -> None:
        """Another head begins."""
        super().on_message_begin()
        self._in_head, self._received = True, 0

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._heard()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self._end)

    def _heard(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout", f"no whole request head came within {HEAD_SECONDS:g} seconds")

    def _refuse(self, status: bytes, reason: str) -> None:
        self._heard()
        if self.cycle is None or self.cycle.response_complete:  # else it would stand within the answer to the request before
            content = orjson.dumps({"error": {"reason": reason}})
            self.transport.write(b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (status, len(content)))
            self.transport.write(b"connection: close\r\n\r\n" + content)
        self.transport.close()
