from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tt_hydra.errors import ConfigError
from tt_hydra.screen.guide import Guide


def test_the_other_models_vectors_decide() -> None:
    """The towers see candidate 1 far away, the guide as near as the positive."""
    towers = torch.eye(2), torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    guide = torch.eye(2), torch.tensor([[0.6, 0.8], [0.7, 0.7], [0.5, 0.9]])
    screen = Guide().build(*towers, guide, torch.tensor([0, 0]))
    assert screen(slice(0, 2)).tolist() == [[True, True, False], [True, False, True]]


def test_a_batch_without_its_vectors_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="screen=guide"):
        Guide().build(torch.eye(2), torch.eye(2), None, torch.tensor([0, 1]))


def test_texts_are_encoded_once_each_and_have_length_one() -> None:
    texts = ["how to bake bread", "quantum field theory", "how to bake bread"]
    vectors = Guide(batch_size=1).encoder()(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors[0] == vectors[2]).all()
    assert vectors[0] @ vectors[1] < 0.5


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"screen\.model"):
        Guide(model=str(tmp_path)).encoder()


def test_values_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match=r"screen\.batch_size"):
        Guide(batch_size=0)
    with pytest.raises(ConfigError, match=r"screen\.margin"):
        Guide(margin=10)
