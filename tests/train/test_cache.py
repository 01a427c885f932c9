"""The gradient in chunks is the gradient of the whole batch: every loss, own negatives, dropout, several ranks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tiny_bert import write_tiny_bert
from torch import Tensor
from training_steps import LOSSES, QUERIES, Step, embed_in_chunks, free_port, gradients, join, relative_error, toy_towers

from tt_hydra.contracts import Features, Padded
from tt_hydra.data.dataset import Dataset
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.pretrained import load_encoder
from tt_hydra.tower.transformer import Transformer
from tt_hydra.train.cache import ChunkedSide, average_gradients

EXACT = 1e-5
MICRO = 5
EXAMPLES = np.arange(QUERIES) * 11
RATED_ONLY = ("kl_distill", "margin_mse")
"""Losses of negatives that a teacher scored, which only own negatives are here."""
STEPS = {
    f"{name}{'_own' if own else ''}": Step(loss=loss, own=own)
    for name, loss in LOSSES.items()
    for own in (False, True)
    if own or name not in RATED_ONLY
}
SAMPLE = ("infonce", "sampled_softmax_own", "multi_task_learned_own", "kl_distill_own")


@pytest.fixture
def dataset(datasets: Callable[[str], Dataset]) -> Dataset:
    toy = datasets("leave_last_out")
    return toy.tokenized(toy_towers(toy, 0.0).tokenizers)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_chunks_give_the_gradient_of_the_whole_batch(dataset: Dataset, step: Step) -> None:
    expected = gradients(dataset, step, EXAMPLES)
    assert all(gradient.abs().sum() > 0 for gradient in expected.values()), "the premise is a gradient everywhere"
    assert relative_error(gradients(dataset, replace(step, micro_batch_size=MICRO), EXAMPLES), expected) <= EXACT


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_chunk_is_embedded_again_under_the_dropout_that_it_had(dataset: Dataset, step: Step) -> None:
    step = replace(step, dropout=0.5)
    expected = gradients(dataset, step, EXAMPLES, embed_in_chunks(MICRO))
    assert relative_error(gradients(dataset, step, EXAMPLES), expected) > 0.1, "the premise: another mask, another gradient"
    assert relative_error(gradients(dataset, replace(step, micro_batch_size=MICRO), EXAMPLES), expected) <= EXACT


def test_a_pretrained_encoder_is_embedded_again_under_the_dropout_that_it_had(tmp_path: Path) -> None:
    """It has a forward of its own for the pass without gradient."""
    encoder = load_encoder(str(write_tiny_bert(tmp_path)))
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.4
    text = Transformer(encoder, Mean(), 0, 1.0, 1.0).train()
    mask = torch.arange(9) < torch.tensor([9, 9, 7, 4, 4, 1])[:, None]
    features = Features(6, {"text": Padded(torch.randint(5, 30, mask.shape), mask)})
    weights = torch.randn(6, text.width)

    def embed(rows: Features) -> Tensor:
        return text(rows.values["text"])

    found = []
    for cached in (False, True):
        torch.manual_seed(1)
        text.zero_grad()
        side = ChunkedSide(embed, features, 6) if cached else None
        vectors = embed(features) if side is None else side.vectors
        (vectors * weights).square().sum().backward()
        if side is not None:
            side.backward(nullcontext)
        found.append({name: parameter.grad.clone() for name, parameter in text.named_parameters() if parameter.grad is not None})
    assert relative_error(found[1], found[0]) <= EXACT


def average_main(rank: int, ranks: int, port: int, folder: str) -> None:
    join(rank, ranks, port)
    weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    weights[0].grad = torch.full((2,), rank + 1.0)
    if rank == 0:
        weights[1].grad = torch.tensor([4.0, -2.0])
    average_gradients(weights)
    torch.save([weight.grad for weight in weights], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_a_weight_that_only_one_rank_used_has_a_gradient_on_all(tmp_path: Path) -> None:
    """Of two ranks: (1 + 2) / 2; half of what one has; and nothing for what is frozen, or was read by none."""
    mp.spawn(average_main, args=(2, free_port(), str(tmp_path)), nprocs=2)
    for rank in range(2):
        both, one, none = torch.load(tmp_path / f"{rank}.pt")
        assert (both.tolist(), one.tolist(), none) == ([1.5, 1.5], [2.0, -1.0], None)


def rank_main(rank: int, ranks: int, port: int, dataset: Dataset, names: tuple[str, ...], folder: str) -> None:
    join(rank, ranks, port)
    own_examples = np.array_split(EXAMPLES, ranks)[rank]
    found = {name: gradients(dataset, replace(STEPS[name], micro_batch_size=MICRO), own_examples) for name in names}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def check_ranks(dataset: Dataset, names: tuple[str, ...], ranks: int, folder: Path) -> None:
    mp.spawn(rank_main, args=(ranks, free_port(), dataset, names, str(folder)), nprocs=ranks)
    for name in names:
        expected = gradients(dataset, STEPS[name], EXAMPLES)
        for rank in range(ranks):
            assert relative_error(torch.load(folder / f"{rank}.pt")[name], expected) <= EXACT, (name, rank)


def test_chunks_on_several_ranks_give_the_gradient_of_the_whole_batch(dataset: Dataset, tmp_path: Path) -> None:
    check_ranks(dataset, SAMPLE, 3, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_chunks_on_several_ranks_with_every_loss(dataset: Dataset, tmp_path: Path, ranks: int) -> None:
    check_ranks(dataset, tuple(STEPS), ranks, tmp_path)
