"""Libraries that print what no user can act on, silent inside a block."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module


@contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor progress bars inside the block; errors are raised and logged as ever."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), _no_progress_bars():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    shown = False
    with suppress(ImportError):
        settings = import_module("transformers.utils.logging")
        shown = settings.is_progress_bar_enabled()
        settings.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            settings.enable_progress_bar()
