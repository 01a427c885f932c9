"""Which candidates a catalogue and a budget call for, cheapest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.auto import Auto
from tt_hydra.index.check import IndexSpec, Quantization, check_pair
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import POINTS_PER_LIST, Ivf
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.effort import effort
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.fp16 import Fp16
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq
from tt_hydra.quantization.scalar import Scalar

NEIGHBOURS = (16, 8, 32, 4)
"""Those that win most often first."""
EF_CONSTRUCTION = 100
WIDE = 256
"""Dimensions from which on one bit each and rescoring pay."""
RESCORED = 10
"""Candidates for each result that rescoring starts from; tuned later."""
UNEQUAL = 0.3
"""Spread of the norms (standard deviation of their logarithm) from which on graphs over inner products are tried last."""
STEP = 8
"""Numbers of dimensions that FAISS compares at once; others are slow."""
SLACK = 1.02
"""How far a predicted size may be over the limit, so that the files themselves decide."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorFacts:
    """What is known of the vectors before anything is built.

    Attributes:
        size: number of items.
        dim: of their vectors.
        norm_spread: standard deviation of the logarithm of their norms; 0 where the metric is cosine.
        threads: threads that insert into graphs.
        prefixes: leading dimensions that may be kept; None stands for all.
    """

    size: int
    dim: int
    norm_spread: float
    threads: int
    prefixes: tuple[int | None, ...] = (None,)


def propose(catalogue: VectorFacts, auto: Auto, quantization: Quantization, room: float | None) -> list[Candidate]:
    """Candidates that fit ``room`` bytes an item by their predicted size, in the order in which they should be built.

    Kinds of index take turns, so that each gets an equal share of whatever time there is; of one kind those that are cheap to build, or
    that win most often, come first. Those that seldom win come last of all.

    Args:
        catalogue: the vectors.
        auto: families to choose from.
        quantization: the only one to use, unless it is none.
        room: bytes an item; None for as many as it takes.
    """
    found: dict[Candidate, None] = {}
    for prefix in catalogue.prefixes:
        for spec in _specs(catalogue, auto):
            for codes in _codes(spec, catalogue, quantization, prefix or catalogue.dim, room):
                candidate = Candidate(spec, codes, prefix)
                if _possible(candidate, catalogue) and _fits(candidate, catalogue, room):
                    found[candidate] = None
    late = [candidate for candidate in found if _late(candidate, catalogue)]
    return [*_in_turns([candidate for candidate in found if candidate not in late], catalogue), *_in_turns(late, catalogue)]


def _in_turns(candidates: Sequence[Candidate], catalogue: VectorFacts) -> list[Candidate]:
    """Next is always the candidate up to which its kind of index has taken the least time."""

    def seconds(candidate: Candidate) -> float:
        return effort(candidate, catalogue.size, catalogue.dim).seconds

    def first(candidate: Candidate) -> tuple[int, float]:
        return (NEIGHBOURS.index(candidate.spec.M) if isinstance(candidate.spec, Hnsw) else 0, seconds(candidate))

    taken: dict[str, float] = {}
    shared: set[object] = set()
    order = []
    for candidate in sorted(candidates, key=first):
        family = candidate.family
        taken[family] = taken.get(family, 0.0) + seconds(candidate.codes_only if candidate.shares in shared else candidate)
        shared.add(candidate.shares)
        order.append((taken[family], candidate))
    return [candidate for _, candidate in sorted(order, key=lambda pair: pair[0])]


def _specs(catalogue: VectorFacts, auto: Auto) -> Iterator[IndexSpec]:
    families = auto.families or ("flat", "ivf", "hnsw")
    if "flat" in families:
        yield Flat()
    if "ivf" in families:
        most = max(1, catalogue.size // POINTS_PER_LIST)
        for lists in dict.fromkeys(min(most, round(factor * math.sqrt(catalogue.size))) for factor in (1, 4)):
            if lists > 1:
                yield Ivf(nlist=lists)
    if "hnsw" in families:
        for neighbours in NEIGHBOURS:
            yield Hnsw(M=neighbours, efConstruction=EF_CONSTRUCTION, threads=catalogue.threads)


def _codes(spec: IndexSpec, catalogue: VectorFacts, only: Quantization, dim: int, room: float | None) -> Iterator[Quantization]:
    if not isinstance(only, NoQuantization):
        yield only
        return
    yield NoQuantization()
    yield Int8()
    if room is None:
        if dim >= WIDE and not isinstance(spec, Hnsw):
            yield Binary(refine=RESCORED)
        return
    yield from (Fp16(), Scalar(bits=6))
    yield from _projections(spec, catalogue, dim, room)
    if isinstance(spec, Hnsw):
        return
    yield from (Scalar(bits=4), Binary(refine=RESCORED), Binary(refine=0))
    yield from _products(spec, catalogue, dim, room)


def _projections(spec: IndexSpec, catalogue: VectorFacts, dim: int, room: float) -> Iterator[Quantization]:
    """The most dimensions that fit as int8, where not all of them do; at least half of them."""
    prefix = None if dim == catalogue.dim else dim
    if _fits(Candidate(spec, Int8(), prefix), catalogue, room / SLACK):
        return
    for kept in range(dim - 1 - (dim - 1) % STEP, dim // 2, -STEP):
        codes = Pca(dim=kept, store="int8")
        if _fits(Candidate(spec, codes, prefix), catalogue, room / SLACK):
            yield codes
            return


def _products(spec: IndexSpec, catalogue: VectorFacts, dim: int, room: float) -> Iterator[Quantization]:
    """Product codes of the largest size that fits, where six bits a dimension, which lose less and train in no time, do not fit."""
    prefix = None if dim == catalogue.dim else dim
    smallest = Candidate(spec, Pq(m=1), prefix)
    if not _possible(smallest, catalogue) or _fits(Candidate(spec, Scalar(bits=6), prefix), catalogue, room / SLACK):
        return
    left = min(math.floor(room - smallest.bytes_per_item(catalogue.size, catalogue.dim)) + 1, round(0.7 * dim))
    if left >= 1:
        m = next(value for value in range(left, 0, -1) if dim % value == 0)
        yield from (Pq(m=m), Opq(m=m))
        if m < left:
            yield Opq(m=left)


def _possible(candidate: Candidate, catalogue: VectorFacts) -> bool:
    try:
        check_pair(candidate.spec, candidate.quantization, candidate.prefix_dim or catalogue.dim, catalogue.size)
    except IndexSpecError:
        return False
    return True


def _fits(candidate: Candidate, catalogue: VectorFacts, room: float | None) -> bool:
    return room is None or candidate.bytes_per_item(catalogue.size, catalogue.dim) <= SLACK * room


def _late(candidate: Candidate, catalogue: VectorFacts) -> bool:
    """Whether others come first: a graph over unequal norms, or codes of a bit, which are slow to search and to rescore."""
    return isinstance(candidate.quantization, Binary) or (isinstance(candidate.spec, Hnsw) and catalogue.norm_spread > UNEQUAL)
