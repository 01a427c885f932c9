"""The trial that this process is in the midst of: whoever runs a training asks here who watches it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tt_hydra.sweep.watching import Watching

TRIAL = "TT_HYDRA_TRIAL"
"""Environment variable that tells the process of one trial which study it belongs to."""
_watch: ContextVar[Watching | None] = ContextVar("watch", default=None)


@contextmanager
def in_trial(watch: Watching) -> Iterator[None]:
    """What runs inside the block is a trial, watched by ``watch``."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def is_trial() -> bool:
    """Whether a trial runs in this very process."""
    return _watch.get() is not None


def watcher() -> Watching | None:
    """Who watches the training of this process's trial; None where there is no trial."""
    watch = _watch.get()
    if watch is None and TRIAL in os.environ:
        from tt_hydra.sweep.watching import from_environment  # noqa: PLC0415  # loads Optuna

        watch = from_environment(os.environ[TRIAL])
    return watch
