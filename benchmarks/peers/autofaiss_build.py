"""autofaiss builds the index that it thinks best for a memory budget, and tunes it for each of some latency budgets.

Usage: autofaiss_build.py SETTING.json, which holds ``items`` (a .npy file), ``bytes``, ``milliseconds`` (a list), ``cores`` and ``out``.
Writes ``OUT/<number>.faiss`` for each latency budget and ``OUT/built.json``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np
from autofaiss import build_index, tune_index


def main(told: dict) -> None:
    out = Path(told["out"])
    out.mkdir(parents=True, exist_ok=True)
    items = np.load(told["items"])
    started = time.perf_counter()
    index, _ = build_index(
        items,
        save_on_disk=False,
        metric_type="ip",
        max_index_memory_usage=f"{told['bytes'] / 1024:.3f}KB",
        current_memory_available="8GB",
        max_index_query_time_ms=told["milliseconds"][0],
        nb_cores=told["cores"],
        verbose=30,
    )
    build_s = time.perf_counter() - started
    if index is None:
        raise SystemExit("autofaiss found no index for this budget")
    key = _key(index)
    for number, milliseconds in enumerate(told["milliseconds"]):
        faiss.omp_set_num_threads(1)
        tuned = tune_index(index, key, max_index_query_time_ms=milliseconds, save_on_disk=False, verbose=30)
        faiss.write_index(tuned, str(out / f"{number}.faiss"))
    (out / "built.json").write_text(json.dumps({"key": key, "build_s": build_s}), encoding="utf-8")


def _key(index: faiss.Index) -> str:
    """The factory string that autofaiss chose, which it does not return."""
    inner = faiss.downcast_index(index)
    rotation = ""
    if isinstance(inner, faiss.IndexPreTransform):
        matrix = faiss.downcast_VectorTransform(inner.chain.at(0))
        inner = faiss.downcast_index(inner.index)
        rotation = f"OPQ{inner.pq.M}_{matrix.d_out},"
    if isinstance(inner, faiss.IndexHNSW):
        return f"HNSW{inner.hnsw.nb_neighbors(1)}"
    if not isinstance(inner, faiss.IndexIVF):
        return "Flat"
    graph = "_HNSW32" if isinstance(faiss.downcast_index(inner.quantizer), faiss.IndexHNSW) else ""
    codes = f"PQ{inner.pq.M}x{inner.pq.nbits}" if hasattr(inner, "pq") else "Flat"
    return f"{rotation}IVF{inner.nlist}{graph},{codes}"


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
