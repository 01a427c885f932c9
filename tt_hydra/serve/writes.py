"""Group commit: writes that arrive while one is being made durable go to the disk together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tt_hydra.artifact.change import Change
from tt_hydra.serve.asking import Mark


@dataclass(slots=True)
class _Ticket:
    change: Change
    mark: Mark | None = None
    error: BaseException | None = None


class Commits:
    """Writers queue here; the first of them writes for all that wait.

    Args:
        commit: makes writes durable and visible; returns the state that has them all.
    """

    def __init__(self, commit: Callable[[Sequence[Change]], Mark]) -> None:
        self._commit = commit
        self._queue = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Ticket] = []

    def add(self, change: Change) -> Mark:
        """Returns when the write is durable and visible.

        Raises:
            Exception: what ``commit`` raised.
        """
        ticket = _Ticket(change)
        with self._queue:
            self._waiting.append(ticket)
        with self._turn:
            if ticket.mark is None and ticket.error is None:
                self._write()
        if ticket.error is not None:
            raise ticket.error
        assert ticket.mark is not None
        return ticket.mark

    def _write(self) -> None:
        with self._queue:
            taken, self._waiting = self._waiting, []
        try:
            mark = self._commit([each.change for each in taken])
        except BaseException as error:
            for each in taken:
                each.error = error
            return
        for each in taken:
            each.mark = mark
