"""Text towers as a folder that ``SentenceTransformer(folder)`` loads, with the same vectors."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from tt_hydra.component import option_of
from tt_hydra.contracts import FloatArray, Kind, Schema, Side, SideSchema, Tokenizer
from tt_hydra.errors import ConfigError
from tt_hydra.export.flat import side_tower
from tt_hydra.export.quiet import quiet
from tt_hydra.pooling.cls import ClsPooling
from tt_hydra.pooling.last import LastPooling
from tt_hydra.pooling.max import MaxPooling
from tt_hydra.pooling.mean import MeanPooling
from tt_hydra.pooling.weighted_mean import WeightedMeanPooling
from tt_hydra.tower.pretrained import PretrainedTokenizer
from tt_hydra.tower.projection import Projection
from tt_hydra.tower.side import SideTower
from tt_hydra.tower.token_bag import TokenBag
from tt_hydra.tower.token_vectors import TokenPieces
from tt_hydra.tower.transformer import Transformer
from tt_hydra.tower.two_tower import TwoTower

POOLINGS: Mapping[type[nn.Module], str] = {
    MeanPooling: "mean",
    MaxPooling: "max",
    ClsPooling: "cls",
    LastPooling: "lasttoken",
    WeightedMeanPooling: "weightedmean",
}
TASKS: Mapping[Side, str] = {"query": "query", "item": "document"}
"""What sentence-transformers calls the sides."""
WORK = ".work"
"""Folder for what is written on the way; it is gone in the end."""


@dataclass(frozen=True, slots=True)
class TextTower:
    """One side's tower, of which is known that sentence-transformers has its like."""

    tower: SideTower
    encoder: Transformer | TokenBag
    tokenizer: PretrainedTokenizer | TokenPieces

    @property
    def prompt(self) -> str:
        """What is put before each text."""
        return self.tokenizer.prompt if isinstance(self.tokenizer, PretrainedTokenizer) else ""

    @property
    def max_length(self) -> int:
        """Tokens that are kept of a text."""
        length: int = (
            self.tokenizer.max_length
            if isinstance(self.tokenizer, PretrainedTokenizer)
            else self.tokenizer.tokenizer.truncation["max_length"]
        )
        return length


def text_towers(towers: TwoTower, schema: Schema, sides: Sequence[Side]) -> dict[Side, TextTower]:
    """The named sides' towers.

    Raises:
        ConfigError: one of them has no such form; all reasons at once.
    """
    found: dict[Side, TextTower] = {}
    problems: list[str] = []
    biased = ["has no such form: its vectors hold a bias of each item"] if towers.finish.item_bias else []
    for side in sides:
        tower, tokenizer = side_tower(towers, side), towers.tokenizers[side]
        reasons = [*biased, *_reasons(tower, schema.side(side), tokenizer)]
        problems += [f"the {side} tower {reason}" for reason in reasons]
        if not reasons:
            found[side] = TextTower(tower, cast(Transformer | TokenBag, tower.features.text), cast(PretrainedTokenizer, tokenizer))
    if problems:
        alone = f"; side={next(iter(found))} exports the other alone" if found else ""
        raise ConfigError(f"format=sentence_transformers: {'; '.join(problems)}. format=onnx takes every tower{alone}")
    return found


def _reasons(tower: SideTower, schema: SideSchema, tokenizer: Tokenizer) -> list[str]:
    """Why sentence-transformers has no such tower."""
    others = [f"{feature.name} ({feature.kind})" for feature in schema.features if feature.kind is not Kind.TEXT]
    texts = schema.of(Kind.TEXT)
    if others:
        return [f"reads {', '.join(others)}, and a sentence-transformers model takes one text and nothing else"]
    if len(texts) != 1:
        return [f"reads {len(texts)} texts ({', '.join(each.name for each in texts)}), and a sentence-transformers model takes one"]
    encoder = tower.features.text
    if isinstance(encoder, Transformer) and isinstance(tokenizer, PretrainedTokenizer):
        poolings = tuple(POOLINGS)
    elif isinstance(encoder, TokenBag) and isinstance(tokenizer, TokenPieces):
        poolings = (MeanPooling,)
    else:
        return [f"encodes texts by {type(encoder).__name__}, which sentence-transformers has no module for (it has tower=bert and static)"]
    found = []
    if type(encoder.pool) not in poolings:
        known = ", ".join(option_of(kind) for kind in poolings)
        found.append(f"pools by {option_of(type(encoder.pool))}, which sentence-transformers has no module for here (it has {known})")
    if isinstance(tower.projection, Projection) and (tower.projection.mlp is not None or tower.projection.cross is not None):
        found.append("has hidden layers or crosses beside a linear map, which sentence-transformers has no module for")
    return found


def write_model(folder: Path, sides: Mapping[Side, TextTower], metric: str) -> None:
    """Writes the towers into an existing folder.

    Tied sides, and a side alone, are one chain of modules; untied ones are two behind a ``Router``. ``encode_query`` and
    ``encode_document`` give the sides' vectors, prompts and lengths included.

    Args:
        folder: where to.
        sides: the towers; both are tied where they hold the same one.
        metric: ``cosine`` adds a module that normalises.
    """
    work = folder / WORK
    modules = import_module("sentence_transformers.sentence_transformer.modules")
    normalize = [modules.Normalize()] if metric == "cosine" else []
    prompts = {TASKS[side]: each.prompt for side, each in sides.items()}
    with quiet():
        if len({id(each.tower) for each in sides.values()}) == 1:
            chain = [*_chain(next(iter(sides.values())), _lengths(sides), work), *normalize]
        else:
            chains = {side: _chain(each, _lengths({side: each}), work) for side, each in sides.items()}
            chain = [modules.Router.for_query_document(chains["query"], chains["item"]), *normalize]
        model = import_module("sentence_transformers").SentenceTransformer(
            modules=chain,
            device="cpu",
            prompts=prompts,
            default_prompt_name=next(iter(prompts)) if len(prompts) == 1 else None,
            similarity_fn_name=metric,
        )
        model.save(str(folder), create_model_card=False)
    shutil.rmtree(work, ignore_errors=True)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors leaves it to its owner alone; a service runs as somebody else


def _lengths(sides: Mapping[Side, TextTower]) -> dict[str, int]:
    """Tokens that a transformer keeps; by task where the sides of one encoder differ.

    Raises:
        ConfigError: they differ, and the installed sentence-transformers knows one length for all.
    """
    lengths = {side: each.max_length for side, each in sides.items()}
    if len(set(lengths.values())) == 1:
        return {"max_seq_length": max(lengths.values())}
    kind = import_module("sentence_transformers.sentence_transformer.modules").Transformer
    if "query_length" not in inspect.signature(kind).parameters:
        raise ConfigError(
            f"the tied sides read {lengths['query']} and {lengths['item']} tokens, and the installed sentence-transformers knows one "
            "length for both: pip install 'sentence-transformers>=6', or export side=query and side=item into folders of their own"
        )
    return {"query_length": lengths["query"], "document_length": lengths["item"], "max_seq_length": max(lengths.values())}


def _chain(side: TextTower, lengths: Mapping[str, int], work: Path) -> list[Any]:
    """Encoder, pooling and projection as modules of sentence-transformers."""
    modules = import_module("sentence_transformers.sentence_transformer.modules")
    if isinstance(side.encoder, TokenBag):
        chain = [modules.StaticEmbedding(side.tokenizer.tokenizer, embedding_weights=side.encoder.weight.detach())]
    else:
        _save_encoder(side, side.encoder.encoder, work)
        chain = [modules.Transformer(str(work), **lengths), modules.Pooling(side.encoder.width, POOLINGS[type(side.encoder.pool)])]
        chain[0].model.config.name_or_path = ""
    if isinstance(side.tower.projection, Projection):
        linear = side.tower.projection.linear
        dense = modules.Dense(linear.in_features, linear.out_features, activation_function=nn.Identity())
        dense.linear.load_state_dict(linear.state_dict())
        chain.append(dense)
    return chain


def _save_encoder(side: TextTower, encoder: Any, folder: Path) -> None:
    """Writes encoder and tokenizer as transformers does; what the encoder was stripped of, and nothing reads, as zeros."""
    transformers = import_module("transformers")
    whole = transformers.AutoModel.from_config(encoder.config, dtype="float32")
    missing, unexpected = whole.load_state_dict(encoder.state_dict(), strict=False)
    strange = [*unexpected, *(name for name in missing if not name.startswith("pooler."))]
    if strange:
        raise ConfigError(f"the encoder {type(encoder).__name__} is not a plain one of transformers: {strange[0]} has no place there")
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            if name in missing:
                parameter.zero_()
    shutil.rmtree(folder, ignore_errors=True)
    whole.save_pretrained(folder)
    side.tokenizer.save(folder)


def encode(folder: Path, side: Side, texts: Sequence[str]) -> FloatArray:
    """Vectors of texts through the folder, as its users get them, ``(texts, dim)``."""
    with quiet():
        model = import_module("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
        encode_side = model.encode_query if side == "query" else model.encode_document
        vectors: FloatArray = encode_side(list(texts), convert_to_numpy=True, show_progress_bar=False)
    return vectors
