from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_bert import write_tiny_bert

from tt_hydra.contracts import Padded, Ragged


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BERT of three layers and width 8, with a tokenizer of single letters."""
    return write_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def pad():
    def pad_rows(rows: Ragged) -> Padded:
        lengths = [len(rows.row(index)) for index in range(len(rows))]
        ids = torch.zeros(len(rows), max(lengths, default=0), dtype=torch.int64)
        for index, length in enumerate(lengths):
            ids[index, :length] = torch.from_numpy(rows.row(index).astype("int64"))
        return Padded(ids, torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None])

    return pad_rows
