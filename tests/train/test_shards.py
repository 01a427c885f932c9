"""Rows that several real processes embed together come out as one process embeds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from training_steps import free_port, join

from tt_hydra.train.encode import in_order
from tt_hydra.train.shards import in_order_of_all

CHUNKS = {
    "uneven": [np.array([6, 0, 3]), np.array([1, 5, 4]), np.array([7, 2])],
    "as many as ranks": [np.array([2, 0]), np.array([1])],
    "fewer than ranks": [np.array([1, 0, 2])],
}


def encode(positions: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([positions, positions**2], axis=1))


def rank_main(rank: int, ranks: int, port: int, folder: str) -> None:
    join(rank, ranks, port)
    asked: list[int] = []

    def counted(positions: np.ndarray) -> Tensor:
        asked.extend(positions.tolist())
        return encode(positions)

    for name, chunks in CHUNKS.items():
        np.save(Path(folder) / f"{name}-{rank}.npy", in_order_of_all(chunks, counted))
        np.save(Path(folder) / f"{name}-{rank}-asked.npy", asked)
        asked.clear()
    dist.destroy_process_group()


def test_ranks_share_the_rows_and_all_have_all_vectors_in_order(tmp_path: Path) -> None:
    mp.spawn(rank_main, args=(2, free_port(), str(tmp_path)), nprocs=2)
    for name, chunks in CHUNKS.items():
        for rank in (0, 1):
            np.testing.assert_array_equal(np.load(tmp_path / f"{name}-{rank}.npy"), in_order(chunks, encode))
    assert [np.load(tmp_path / f"uneven-{rank}-asked.npy").tolist() for rank in (0, 1)] == [[6, 0, 3, 7, 2], [1, 5, 4]]


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS.keys())
def test_one_process_does_all_of_it(chunks: list[np.ndarray]) -> None:
    np.testing.assert_array_equal(in_order_of_all(chunks, encode), in_order(chunks, encode))
