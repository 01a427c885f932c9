"""A cross-encoder of three layers and width 8 with random weights, and a tokenizer of single letters."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_bert import WORDS


def write_tiny_cross_encoder(folder: Path, labels: int = 1) -> str:
    """Writes it as ``save_pretrained`` does; returns the folder."""
    import transformers  # noqa: PLC0415  # seconds

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32}
    config = transformers.BertConfig(vocab_size=len(WORDS), num_labels=labels, initializer_range=0.5, **shape)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)
