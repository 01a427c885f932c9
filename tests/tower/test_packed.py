from __future__ import annotations

import contextlib
import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

from tt_hydra.contracts import Padded
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower import pretrained, transformer
from tt_hydra.tower.kept import KeptWeights
from tt_hydra.tower.packed import PackedBert, packs, unpacked
from tt_hydra.tower.packed_attention import layout_of
from tt_hydra.tower.transformer import Transformer
from tt_hydra.train.optimizer import AdamW

SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 32,
}  # fmt: skip
LENGTHS = [17, 9, 9, 9, 4, 1, 1]


def encoder_of(kind: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    config, model = {"bert": (BertConfig, BertModel), "roberta": (RobertaConfig, RobertaModel)}[kind]
    encoder = model(config(**{**SIZES, **changes}), add_pooling_layer=False).eval()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    return encoder


def sequences() -> tuple[Tensor, Tensor]:
    """Token ids and mask, ``(rows, longest)``; ids of padding are the padding's."""
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(3, 50, mask.shape, generator=torch.Generator().manual_seed(1))
    return ids, mask


def padded_forward(encoder: Any, ids: Tensor, mask: Tensor) -> Tensor:
    filled = ids.masked_fill(~mask, encoder.config.pad_token_id)
    return encoder(input_ids=filled, attention_mask=mask.long()).last_hidden_state[mask]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_vectors_and_gradients_are_those_of_the_padded_forward(kind: str, activation: str) -> None:
    encoder = encoder_of(kind, hidden_act=activation)
    ids, mask = sequences()
    weights = torch.randn(int(mask.sum()), 24, generator=torch.Generator().manual_seed(2))
    found = []
    for vectors in (padded_forward(encoder, ids, mask), PackedBert(encoder, KeptWeights())(ids[mask], LENGTHS)):
        encoder.zero_grad()
        (vectors * weights).sum().backward()
        found.append((vectors, {name: parameter.grad.clone() for name, parameter in encoder.named_parameters()}))
    (expected, gradients), (vectors, packed_gradients) = found
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        assert (packed_gradients[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-4, name
    with torch.inference_mode():
        torch.testing.assert_close(PackedBert(encoder, KeptWeights())(ids[mask], LENGTHS), expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_stays_close(tiny_bert: Path) -> None:
    encoder = encoder_of("bert")
    ids, mask = sequences()
    expected = padded_forward(encoder, ids, mask)
    for mode in (torch.inference_mode(), contextlib.nullcontext()):
        with mode, torch.autocast("cpu", torch.bfloat16):
            vectors = PackedBert(encoder, KeptWeights())(ids[mask], LENGTHS)
        assert vectors.dtype is torch.bfloat16
        assert torch.cosine_similarity(vectors.float(), expected).min() > 0.99


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad])
def test_kept_weights_follow_what_becomes_of_the_encoder(context: Any) -> None:
    encoder, other = encoder_of("bert"), encoder_of("bert", hidden_act="relu")
    ids, mask = sequences()
    kept = KeptWeights()

    def vectors(weights: KeptWeights) -> Tensor:
        with context(), torch.autocast("cpu", torch.bfloat16):
            return PackedBert(encoder, weights)(ids[mask], LENGTHS)

    def step() -> None:
        encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state.pow(3).sum().backward()
        AdamW(lr=0.1).build([{"params": list(encoder.parameters())}]).step()

    def replace() -> None:
        encoder.encoder.layer[0].output.dense.weight = nn.Parameter(torch.zeros(24, 40))

    def move() -> None:
        nn.init.zeros_(encoder.encoder.layer[2].intermediate.dense.bias)

    before = vectors(kept)
    for change in (step, lambda: encoder.load_state_dict(other.state_dict()), move, replace):
        assert torch.equal(vectors(kept), before)
        change()
        after = vectors(kept)
        assert not torch.equal(after, before)
        assert torch.equal(after, vectors(KeptWeights()))
        before = after
    assert copy.deepcopy(kept) is not kept


def test_a_change_of_mode_forgets_kept_weights(tiny_bert: Path) -> None:
    """A fused step of torch's own leaves no trace on a weight."""
    encoder = pretrained.load_encoder(str(tiny_bert))
    tokens = Padded(torch.randint(5, 30, (2, 7)), torch.ones(2, 7, dtype=torch.bool))
    text = Transformer(encoder, Mean(), 0, 1.0, 1.0).eval()
    with torch.inference_mode():
        before = text(tokens)
    text.train()(tokens).square().sum().backward()
    torch.optim.AdamW(encoder.parameters(), lr=0.1, fused=True).step()
    with torch.inference_mode():
        after, fresh = text.eval()(tokens), Transformer(encoder, Mean(), 0, 1.0, 1.0).eval()(tokens)
    assert not torch.equal(after, before)
    assert torch.equal(after, fresh)


def test_other_linear_layers_are_called_as_they_are() -> None:
    class Doubled(nn.Linear):
        def forward(self, vectors: Tensor) -> Tensor:
            return super().forward(vectors) * 2

    encoder = encoder_of("bert")
    for layer in encoder.encoder.layer:
        layer.attention.self.query.__class__ = Doubled
    ids, mask = sequences()
    expected = padded_forward(encoder, ids, mask)
    torch.testing.assert_close(PackedBert(encoder, KeptWeights())(ids[mask], LENGTHS), expected, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(PackedBert(encoder, KeptWeights())(ids[mask], LENGTHS), expected, atol=1e-5, rtol=1e-5)


def test_the_same_is_dropped_with_and_without_gradient() -> None:
    """Gradient caching embeds a batch without gradient first."""
    encoder = encoder_of("bert", attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.3).train()
    ids, mask = sequences()
    found = []
    for context in (torch.no_grad, torch.enable_grad):
        torch.manual_seed(3)
        with context():
            found.append(PackedBert(encoder, KeptWeights())(ids[mask], LENGTHS).detach())
    torch.testing.assert_close(*found)


def test_kept_weights_are_left_behind_when_an_encoder_is_sent_to_another_process(tiny_bert: Path) -> None:
    text = Transformer(pretrained.load_encoder(str(tiny_bert)), Mean(), 0, 1.0, 1.0).eval()
    tokens = Padded(torch.randint(5, 30, (2, 7)), torch.ones(2, 7, dtype=torch.bool))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        vectors = text(tokens)
        assert torch.equal(pickle.loads(pickle.dumps(text))(tokens), vectors)


def test_bfloat16_runs_where_onednn_does_not_know_it(tiny_bert: Path) -> None:
    script = """
import sys, torch
from tt_hydra.contracts import Padded
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.pretrained import load_encoder
from tt_hydra.tower.transformer import Transformer
text = Transformer(load_encoder(sys.argv[1]), Mean(), 0, 1.0, 1.0).eval()
tokens = Padded(torch.arange(5, 19).view(2, 7), torch.ones(2, 7, dtype=torch.bool))
with torch.inference_mode():
    expected = text(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        print(torch.cosine_similarity(text(tokens).float(), expected).min().item())
"""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", script, tiny_bert], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.99


def test_attention_drops_the_same_weights_forward_and_backward() -> None:
    encoder = encoder_of("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.3).double().train()
    ids, mask = sequences()
    table = encoder.embeddings.word_embeddings.weight

    def loss(change: float) -> Tensor:
        torch.manual_seed(5)
        with torch.no_grad():
            table[7] += change
        try:
            return PackedBert(encoder, KeptWeights())(ids[mask], LENGTHS).pow(2).sum()
        finally:
            with torch.no_grad():
                table[7] -= change

    encoder.zero_grad()
    loss(0.0).backward()
    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    torch.testing.assert_close(table.grad[7].sum(), slope.detach(), rtol=1e-4, atol=1e-6)


def test_unpacked_puts_zeros_where_there_is_no_token() -> None:
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    vectors = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    result = unpacked(vectors, mask)
    assert result.squeeze(2).tolist() == [[1, 2], [3, 0], [0, 0]]
    (result * torch.arange(6.0).view(3, 2, 1)).sum().backward()
    assert vectors.grad.flatten().tolist() == [0, 1, 2]


def test_sequences_of_like_lengths_share_a_block_and_come_back_from_it() -> None:
    layout = layout_of([17, 16, 3, 0, 0], 40)
    assert [(block.start, block.number, block.length) for block in layout.blocks] == [(0, 1, 32), (32, 2, 16)]
    packed = torch.arange(40.0)[:, None]
    padded = layout.empty(1, dtype=torch.float32)
    padded[:-1] = packed[layout.places]
    first, second = (block.of(padded)[..., 0] for block in layout.blocks)
    assert first.tolist() == [[*range(17), *[36] * 15]]
    assert second.tolist() == [[*range(17, 33)], [33, 34, 35, *[36] * 13]]
    assert layout.blocks[1].hidden.flatten(1).sum(dim=1).tolist() == [0, 13]
    assert padded[layout.back].flatten().tolist() == [*range(36), 0, 0, 0, 0]
    assert layout_of([16, 16], 33).blocks[0].hidden is None
    assert layout_of([], 8).blocks == []


def test_groups_and_empty_texts_change_nothing(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Transformer(pretrained.load_encoder(str(tiny_bert)), Mean(), 0, 1.0, 1.0).eval()
    lengths = torch.tensor([3, 0, 7, 1, 0, 7])
    tokens = Padded(torch.randint(5, 30, (6, 7)), torch.arange(7) < lengths[:, None])
    together = text(tokens)
    assert together[1].abs().sum() == together[4].abs().sum() == 0
    for size in (1, 8):
        monkeypatch.setattr(transformer, "TOKENS_AT_A_TIME", size)
        torch.testing.assert_close(text(tokens), together, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(transformer, "packs", lambda _: False)
    torch.testing.assert_close(text(tokens), together, atol=1e-5, rtol=1e-5)


def test_other_architectures_are_padded_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    encoder = DistilBertModel(DistilBertConfig(vocab_size=50, dim=24, n_layers=1, n_heads=4, hidden_dim=40, max_position_embeddings=32))
    assert not packs(encoder)
    assert not packs(encoder_of("bert", is_decoder=True))
    with caplog.at_level("INFO"):
        text = Transformer(encoder, Mean(), 0, 1.0, 1.0).eval()
    assert "does not know DistilBertModel" in caplog.text
    ids, mask = sequences()
    expected = Mean().build(24)(encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state, mask)
    torch.testing.assert_close(text(Padded(ids, mask)), expected, atol=1e-5, rtol=1e-5)
