from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_cross_encoder import write_tiny_cross_encoder

from tt_hydra.errors import ConfigError
from tt_hydra.teacher.cross_encoder import CrossEncoder


def test_scores_are_the_models_logits_pair_by_pair(tmp_path: Path) -> None:
    import transformers  # noqa: PLC0415  # seconds

    folder = write_tiny_cross_encoder(tmp_path / "model")
    questions, items = ["a b", "c", "a b"], ["x y z", "q", "c"]
    scores = CrossEncoder(model=folder, batch_size=2).build()(questions, items)
    model = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        expected = [float(model(**tokenizer(*pair, return_tensors="pt")).logits) for pair in zip(questions, items, strict=True)]
    assert scores.dtype == np.float32
    assert scores == pytest.approx(expected, abs=1e-5)
    assert np.ptp(expected) > 1e-3
    assert len(CrossEncoder(model=folder).build()([], [])) == 0


def test_the_fingerprint_is_of_weights_and_length(tmp_path: Path) -> None:
    folder = write_tiny_cross_encoder(tmp_path / "model")
    moved = write_tiny_cross_encoder(tmp_path / "again")
    first = CrossEncoder(model=folder).build().fingerprint
    assert CrossEncoder(model=moved, batch_size=5).build().fingerprint == first
    assert CrossEncoder(model=folder, max_length=8).build().fingerprint != first


def test_what_is_no_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.model must be given"):
        CrossEncoder().build()
    with pytest.raises(ConfigError, match=r"teacher\.model=.* gives 3 scores"):
        CrossEncoder(model=write_tiny_cross_encoder(tmp_path / "three", labels=3)).build()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"cannot be read as a CrossEncoder"):
        CrossEncoder(model=str(tmp_path / "empty")).build()
    with pytest.raises(ConfigError, match=r"teacher\.batch_size"):
        CrossEncoder(batch_size=0)
