"""Resident memory of an index in a process of its own: ``python -m tt_hydra.index.tune.resident FOLDER [VECTORS]``."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

QUERIES = 200
"""Searches after which memory is read: the pages that they touch count."""
PATIENCE_S = 60.0


def resident_bytes(folder: Path, vectors: Path) -> float | None:
    """Bytes that loading and searching the index saved in ``folder`` adds to a fresh process; None where that cannot be told."""
    command = [sys.executable, "-m", __name__, str(folder), str(vectors)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        return float(done.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        logger.debug("resident memory was not measured: %s", error)
        return None


def _main(folder: Path, vectors: Path) -> None:
    import numpy as np  # noqa: PLC0415

    from tt_hydra.index.build import build_index  # noqa: PLC0415
    from tt_hydra.index.flat import Flat  # noqa: PLC0415
    from tt_hydra.index.storage import load_index  # noqa: PLC0415
    from tt_hydra.quantization.none import NoQuantization  # noqa: PLC0415

    items = np.load(vectors, mmap_mode="r")
    queries = np.random.default_rng(0).normal(size=(QUERIES, items.shape[1])).astype(np.float32)
    warm = build_index(Flat(), NoQuantization(), queries, "dot")
    warm.search(queries, 10)
    before = _resident()
    index = load_index(folder, items)
    for query in queries:
        index.search(query[None], 10)
    sys.stdout.write(f"{_resident() - before}\n")


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
