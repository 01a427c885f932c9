"""What the installed FAISS can build and search: tried once on a few small vectors, not assumed from its version."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import faiss
import numpy as np

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.check import IndexSpec, Quantization
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.workshop import quietly
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq

logger = logging.getLogger(__name__)

ROWS, DIM = 300, 16
"""Rows enough for codebooks of 256 entries."""
SMALL: dict[str, IndexSpec] = {"flat": Flat(), "ivf": Ivf(nlist=2, nprobe=2), "hnsw": Hnsw(M=4, efConstruction=8, threads=1)}


def buildable(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that the installed FAISS can build; what it cannot is told once."""
    return [candidate for candidate in candidates if _able(candidate.family, _small(candidate.quantization))]


def _small(codes: Quantization) -> Quantization:
    """The same codes over few dimensions; rescoring is none of FAISS's."""
    match codes:
        case Pq() | Opq():
            return replace(codes, m=2, refine=0)
        case Pca():
            return replace(codes, dim=DIM // 2, refine=0)
        case Binary():
            return replace(codes, refine=0)
        case _:
            return codes


@cache
def _able(family: str, codes: Quantization) -> bool:
    vectors = np.random.default_rng(0).standard_normal((ROWS, DIM), dtype=np.float32)
    try:
        with quietly():
            build_index(SMALL[family], codes, vectors, "dot").search(vectors[:1], 1)
    except IndexSpecError:  # about these sizes: those of a candidate are checked by themselves
        return True
    except (AttributeError, RuntimeError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        name = Candidate(SMALL[family], codes).name()
        logger.warning("index=auto does without what is not to be had here: FAISS %s cannot build %s: %s", faiss.__version__, name, reason)
        return False
    return True
