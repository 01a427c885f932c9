from __future__ import annotations

import numpy as np

from tt_hydra.artifact.write import Parts
from tt_hydra.contracts import Ragged
from tt_hydra.train.encode import batches_by_length, embed_items, embed_queries


def test_batches_hold_texts_of_like_length_and_every_row_once() -> None:
    tokens = {"text": Ragged(np.zeros(21), np.cumsum([0, 1, 9, 2, 8, 1]))}
    chunks = batches_by_length(tokens, np.array([4, 3, 2, 1, 0]), batch_size=2)
    assert [chunk.tolist() for chunk in chunks] == [[3, 1], [2, 0], [4]]


def test_rows_without_text_stay_in_order() -> None:
    assert [chunk.tolist() for chunk in batches_by_length({}, np.arange(5), 3)] == [[0, 1, 2], [3, 4]]


def test_vectors_stand_in_row_order_whatever_the_batch(parts: Parts) -> None:
    assert parts.model is not None
    towers, dataset = parts.model.towers, parts.dataset
    whole = embed_items(towers, dataset, dataset.num_items)
    np.testing.assert_allclose(embed_items(towers, dataset, 7), whole, atol=1e-6)
    one_by_one = np.concatenate([towers.embed_items(dataset.items(np.array([row]))).detach().numpy() for row in range(dataset.num_items)])
    np.testing.assert_allclose(whole, one_by_one, atol=1e-6)


def test_embedding_leaves_mode_and_randomness_as_they_were(parts: Parts) -> None:
    import torch  # noqa: PLC0415

    assert parts.model is not None
    towers = parts.model.towers.train()
    state = torch.get_rng_state()
    embed_queries(towers, parts.dataset, "test", 4)
    assert towers.training
    assert torch.equal(torch.get_rng_state(), state)
    towers.eval()
