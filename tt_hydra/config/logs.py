"""How log lines look in the terminal; named by ``conf/hydra/job_logging``."""

from __future__ import annotations

import logging


class ConsoleFormatter(logging.Formatter):
    """``12:34:56 message``; what is more than information says its level: ``12:34:56 warning: message``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        if record.levelno <= logging.INFO:
            return super().format(record)
        levelled = logging.makeLogRecord({**record.__dict__, "msg": f"{record.levelname.lower()}: {record.getMessage()}", "args": None})
        return super().format(levelled)
