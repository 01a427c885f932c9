"""What the first rank tells those that torchrun started at once with it: how far it is, for it alone prepares data and writes.

Ranks that Lightning starts need no telling: they are started once there is something to train.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from torch.distributed.rendezvous import rendezvous

from tt_hydra.artifact.store import RECORD
from tt_hydra.errors import StoreError

PATIENCE = timedelta(days=7)
"""How long a rank waits for the first one; where that fails, torchrun ends the others."""
SEEN_WITHIN_SECONDS = 60.0
"""A folder of a network may show a file that late."""
_POLL_SECONDS = 0.1


def announce(stage: str, folder: Path) -> None:
    """Lets the other ranks go on with what is in ``folder``."""
    _store().set(_key(stage), json.dumps(sorted(path.name for path in folder.iterdir())))


def hear(stage: str, folder: Callable[[], Path]) -> None:
    """Waits for the first rank, and until this node sees what that one saw in the folder, or that the stage is finished.

    Raises:
        StoreError: this node does not see it.
    """
    store = _store()
    store.wait([_key(stage)], PATIENCE)
    names = set(json.loads(store.get(_key(stage))))
    ends = time.monotonic() + SEEN_WITHIN_SECONDS
    while not _sees(folder(), names):
        if time.monotonic() > ends:
            fix = "let TT_HYDRA_OUTPUTS name a folder that all nodes share"
            raise StoreError(f"{socket.gethostname()} does not see what the first rank wrote to {folder()}: {fix}")
        time.sleep(_POLL_SECONDS)


def _sees(folder: Path, names: set[str]) -> bool:
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else None
    return found is not None and (names <= found or RECORD in found)


def _key(stage: str) -> str:
    return f"tt_hydra/{stage}"


@cache
def _store() -> Any:
    """The key-value store through which the ranks find each other; a restart by torchrun has a new one."""
    store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    return store
