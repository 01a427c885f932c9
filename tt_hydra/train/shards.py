"""Many rows embedded by all ranks together, each its share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from tt_hydra.contracts import FloatArray, IntArray
from tt_hydra.train.encode import in_order
from tt_hydra.train.gather import gather_rows, world_size


def in_order_of_all(chunks: Sequence[IntArray], encode: Callable[[IntArray], Tensor]) -> FloatArray:
    """What ``encode`` gives for the positions of each chunk, in the order of the positions, on every rank: a rank encodes every n-th chunk.

    All ranks must call it with the same chunks. A rank that is left without a chunk encodes the first one too, which changes nothing.
    """
    ranks = world_size()
    if ranks == 1:
        return in_order(chunks, encode)
    shares = [list(range(rank, len(chunks), ranks)) or [0] for rank in range(ranks)]
    own = torch.cat([encode(chunks[number]).float() for number in shares[dist.get_rank()]])
    vectors = gather_rows(own).cpu().numpy()
    positions = np.concatenate([chunks[number] for share in shares for number in share])
    ordered = np.empty((sum(map(len, chunks)), vectors.shape[1]), np.float32)
    ordered[positions] = vectors
    return ordered
