"""Encoding SciFact's documents: ours and ``SentenceTransformer.encode``, in its defaults and at its best, on the same texts in turns."""

from __future__ import annotations

import json
import statistics
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from beir_files import Texts
from common import PEERS, arguments, finish, outputs, setup_peers, table
from ours_text import reference_and_ours
from paced import Worker, median_of_thirds, rates

LENGTH = 256
AT_ONCE = {True: 256, False: 1024}
"""Documents of a turn, by ``--quick``."""


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("embed needs --data DIR, the folder that holds scifact/ in the BEIR layout")
    setup_peers()
    folder = outputs() / "benchmarks" / "embed"
    folder.mkdir(parents=True, exist_ok=True)
    documents = list(Texts.read(given.data / "scifact").documents.values())
    (folder / "texts.json").write_text(json.dumps(documents), encoding="utf-8")
    told = {"work": "encode", "texts": str(folder / "texts.json"), "max_length": LENGTH, "at_once": AT_ONCE[given.quick]}
    figures = throughput(told, folder, rounds=6 if given.quick else 12)
    figures |= closeness(documents[:: 8 if given.quick else 1])
    finish("embed", figures)


def throughput(told: dict[str, Any], folder: Path, rounds: int) -> dict[str, float]:
    best = best_of_grid({**told, "at_once": min(256, told["at_once"])}, folder)
    arms = {
        "ours": Worker(sys.executable, "ours_text.py", told, folder / "ours.log"),
        "peer_default": Worker(PEERS, "peers/sbert_encode.py", told, folder / "peer.log"),
        "peer_best": Worker(PEERS, "peers/sbert_encode.py", {**told, **best}, folder / "peer.log"),
    }
    try:
        found = rates(arms, rounds, warm_up=1)
    finally:
        for worker in arms.values():
            worker.close()
    rows = [[name, f"{median_of_thirds(values):.1f}", f"{min(values):.1f} - {max(values):.1f}"] for name, values in found.items()]
    table(f"documents of SciFact a second, up to {LENGTH} tokens, in turns", ["", "median of 3", "range"], rows)
    ours, default, tuned = (median_of_thirds(found[name]) for name in arms)
    return {
        "ours/items_per_s": ours,
        "peer/default/items_per_s": default,
        "peer/best/items_per_s": tuned,
        "ratio/items_per_s_default": ours / default,
        "ratio/items_per_s_best": ours / tuned,
    }


def best_of_grid(told: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The peer's fastest setting, one after the other; prints all."""
    speeds: list[tuple[float, dict[str, Any]]] = []
    for dtype, size, attention in product((None, "bfloat16"), (8, 32, 128), ("sdpa", "eager")):
        setting = {"dtype": dtype, "batch_size": size, "attention": attention}
        worker = Worker(PEERS, "peers/sbert_encode.py", {**told, **setting}, folder / "grid.log")
        try:
            speeds.append((statistics.median(rates({"it": worker}, 2, warm_up=1)["it"]), setting))
        finally:
            worker.close()
    speeds.sort(key=lambda pair: -pair[0])
    rows = [[*(str(value) for value in setting.values()), f"{speed:.1f}"] for speed, setting in speeds]
    table("SentenceTransformer.encode, documents a second", ["dtype", "batch size", "attention", "documents/s"], rows)
    return speeds[0][1]


def closeness(texts: list[str]) -> dict[str, float]:
    """Cosine of our vectors, in the format that this machine is fast in, to those of the plain Hugging Face forward in float32."""
    reference, ours = reference_and_ours(texts, LENGTH)
    cosines = np.einsum("nd,nd->n", reference, ours)
    return {"ours/cosine_to_fp32": float(cosines.mean()), "ours/cosine_to_fp32/lowest": float(cosines.min())}


if __name__ == "__main__":
    main()
