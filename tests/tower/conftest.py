from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tt_hydra.contracts import Padded, Ragged

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "query", ":"]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BERT of three layers and width 8, with a tokenizer of single letters."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(WORDS), **shape)).save_pretrained(folder)
    return folder


@pytest.fixture
def pad():
    def pad_rows(rows: Ragged) -> Padded:
        lengths = [len(rows.row(index)) for index in range(len(rows))]
        ids = torch.zeros(len(rows), max(lengths, default=0), dtype=torch.int64)
        for index, length in enumerate(lengths):
            ids[index, :length] = torch.from_numpy(rows.row(index).astype("int64"))
        return Padded(ids, torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None])

    return pad_rows
