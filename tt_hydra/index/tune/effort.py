"""How long a build will take: a rough count of operations, corrected by what earlier builds and a sample took."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.lists import ITERATIONS, SAMPLE, SAMPLE_PER_LIST
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pq import Pq

OPERATIONS_PER_S = 3e10
"""Multiplications and additions in matrix products."""
WALKED_PER_S = 2e8
"""Numbers compared while a graph is walked, which waits for memory."""
PRODUCT_ROUNDS, ROTATION_ROUNDS = 25, 50
"""Rounds of k-means of a product quantization, and those that learning a rotation adds (ten, with four each, and ten at first)."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Estimated seconds, and the kind of work that dominates: its error is common to builds of one kind."""

    kind: str
    seconds: float


def effort(candidate: Candidate, size: int, dim: int) -> Effort:
    """What building the candidate over ``size`` vectors of ``dim`` dimensions takes on a usual core."""
    width = candidate.prefix_dim or dim
    parts = {"copy": size * width / 1e9}
    spec, quantization = candidate.spec, candidate.quantization
    if isinstance(spec, Ivf):
        lists = spec.resolve_nlist(size)
        sample = min(size, max(SAMPLE, SAMPLE_PER_LIST * lists))
        parts["lists"] = 2 * lists * width * (sample * ITERATIONS + size) / OPERATIONS_PER_S
    if isinstance(spec, Hnsw):
        parts["graph"] = size * math.log2(size + 1) * math.sqrt(spec.M * spec.efConstruction) * width / WALKED_PER_S
    if isinstance(quantization, Pq | Opq):
        rounds = PRODUCT_ROUNDS + (ROTATION_ROUNDS if isinstance(quantization, Opq) else 0)
        kind = "rotation" if isinstance(quantization, Opq) else "product"
        parts[kind] = 2 * 256 * width * (min(size, SAMPLE) * rounds + size) / OPERATIONS_PER_S
    return Effort(max(parts, key=lambda name: parts[name]), sum(parts.values()))
