"""Which figures a study may aim at, and which way."""

from __future__ import annotations

import difflib
import re
from typing import Literal

Direction = Literal["maximize", "minimize"]

ENDS = ("/ci_low", "/ci_high")
"""Ends of the interval around a figure of quality, which can be aimed at as the figure itself."""
RANKING = ("recall@10", "recall@20", "recall@50", "recall@100", "ndcg@10", "mrr@10")
QUALITY = [*(f"{kind}/{name}" for kind in ("valid/model", "valid/index") for name in RANKING), "valid/ann/recall@10"]
LOST = [
    *(f"valid/lost/{step}" for step in ("model", "dim", "quantizer", "search")),
    *(f"valid/ann/lost/{step}" for step in ("dim", "quantizer", "search")),
]
TIMES = [f"{kind}/{name}" for kind in ("search", "query") for name in ("p50_ms", "p95_ms", "p99_ms")]
STAGES = [f"stage/{name}/seconds" for name in ("prepare", "train", "embed", "index", "evaluate", "report")]
RISING = [*QUALITY, "train/examples_per_s", "embed/items_per_s", "budget/met"]
FALLING = [*LOST, *TIMES, "index/bytes_per_item", "index/bytes_total", "index/build_s", "index/auto/seconds", *STAGES]
KNOWN = [*RISING, *FALLING]
"""Keys of ``metrics.json`` that can be aimed at, by the direction that is meant; besides the ends of intervals and prefixes."""
PREFIX = re.compile(r"valid/prefix/[1-9]\d*/recall@10")
"""What a prefix of a Matryoshka embedding finds, by its dimension."""


def direction_of(key: str) -> Direction | None:
    """The direction that a known figure is aimed at."""
    plain = next((key.removesuffix(end) for end in ENDS if key.endswith(end)), key)
    if plain in QUALITY or PREFIX.fullmatch(plain):
        return "maximize"
    return "maximize" if key in RISING else "minimize" if key in FALLING else None


def problem_of(key: str) -> str | None:
    """Why a figure cannot be aimed at, or None."""
    if key.startswith("test/"):
        return f"{key!r} is of the test part, which nothing may be chosen by; use {re.sub('^test/', 'valid/', key)!r}"
    if direction_of(key) is not None:
        return None
    near = difflib.get_close_matches(key, [*KNOWN, *_variants(key)], n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KNOWN)}, valid/prefix/DIM/recall@10"
    return f"{key!r} is no figure of a run to aim at; {hint}"


def _variants(key: str) -> list[str]:
    """Figures that may be meant besides those that every run can have: of the dimension that is named, ends of intervals."""
    dim = re.match(r"valid/prefix/([1-9]\d*)/", key)
    prefixes = [f"valid/prefix/{dim.group(1)}/recall@10"] if dim is not None else []
    return [*prefixes, *(f"{figure}{end}" for figure in (*QUALITY, *prefixes) for end in ENDS if "/ci" in key)]
