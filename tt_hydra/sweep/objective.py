"""Which figures a study may aim at, and which way."""

from __future__ import annotations

import difflib
import re
from typing import Literal

Direction = Literal["maximize", "minimize"]

QUALITY = [
    f"{kind}/{name}"
    for kind in ("valid/model", "valid/index")
    for name in ("recall@10", "recall@20", "recall@50", "recall@100", "ndcg@10", "mrr@10")
]
TIMES = [f"{kind}/{name}" for kind in ("search", "query") for name in ("p50_ms", "p95_ms", "p99_ms")]
STAGES = [f"stage/{name}/seconds" for name in ("prepare", "train", "embed", "index", "evaluate")]
RISING = [*QUALITY, "valid/ann/recall@10", "train/examples_per_s", "embed/items_per_s", "budget/met"]
FALLING = [*TIMES, "index/bytes_per_item", "index/bytes_total", "index/build_s", *STAGES]
KNOWN = [*RISING, *FALLING]
"""Keys of ``metrics.json`` that can be aimed at, by the direction that is meant."""


def direction_of(key: str) -> Direction | None:
    """The direction that a known figure is aimed at."""
    return "maximize" if key in RISING else "minimize" if key in FALLING else None


def problem_of(key: str) -> str | None:
    """Why a figure cannot be aimed at, or None."""
    if key.startswith("test/"):
        return f"{key!r} is of the test part, which nothing may be chosen by; use {re.sub('^test/', 'valid/', key)!r}"
    if key in KNOWN:
        return None
    near = difflib.get_close_matches(key, KNOWN, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KNOWN)}"
    return f"{key!r} is no figure of a run; {hint}"
