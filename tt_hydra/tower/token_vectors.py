"""Tables of token vectors and their tokenizers: found by name, by path, in the offline package or among a bundle's files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from tt_hydra.contracts import Ragged
from tt_hydra.errors import ConfigError
from tt_hydra.tower.pretrained import count_cut, location

T = TypeVar("T")
TOKENIZER = "tokenizer.json"
SHAPE = "token_vectors.json"
USUAL_NAMES = ("embedding.weight", "embeddings", "embeddings.word_embeddings.weight")
"""What the table is called by StaticEmbedding, by Model2Vec and in a BERT."""
HUB_FILES = ("*.json", "*.safetensors")
CHUNK = 4096
"""Texts that are tokenized at a time."""
RANK_POWER = 2.0
"""How steeply the length of fresh vectors grows with a token's rank."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """What is needed to make a table of the same make without its vectors.

    Attributes:
        rows: tokens.
        width: dimensions.
        loaded: whether the vectors came from a file, and so meant something before training.
    """

    rows: int
    width: int
    loaded: bool

    def save(self, folder: Path) -> None:
        """Writes it under a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SHAPE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TableShape:
        """Reads what ``save`` wrote."""
        return cls(**json.loads((folder / SHAPE).read_text(encoding="utf-8")))


class TokenPieces:
    """The tokens of a text, with no special ones around them: what a bag of tokens is averaged over.

    Args:
        folder: holds ``tokenizer.json``.
        max_length: tokens of a text that are kept.
    """

    def __init__(self, folder: Path, max_length: int) -> None:
        self.tokenizer = read_tokenizer(folder)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length)
        self.max_length = max_length

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """Token ids of each text; a text of blanks gives an empty row."""
        return self.counted(texts)[0]

    @property
    def limit(self) -> str:
        """Tokens that are kept, and the key that says so."""
        return f"{self.max_length} tokens (tower.max_length)"

    def counted(self, texts: Sequence[str]) -> tuple[Ragged, int]:
        """Token ids, and how many texts have more tokens than are kept."""
        parts = [self._ids(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
        rows = list(chain.from_iterable(rows for rows, _ in parts))
        values = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sum(map(len, rows)))
        return Ragged(values, np.cumsum([0, *map(len, rows)], dtype=np.int64)), sum(cut for _, cut in parts)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's file."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(str(folder / TOKENIZER))

    def _ids(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        encoded = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        rows = [pieces.ids if text.strip() else [] for text, pieces in zip(texts, encoded, strict=True)]
        return rows, count_cut(rows, self.max_length, encoded)


def find(model: str | None) -> Path:
    """The folder with ``tokenizer.json`` and perhaps a table: a local one, one of the hub, or the offline package's for None.

    Of a sentence-transformers folder it is that of the module StaticEmbedding.

    Raises:
        ConfigError: there is none.
    """
    place = Path(location(model))
    folder = place if place.is_dir() else _download(str(model))
    folders = [folder, *sorted(path for path in folder.glob("*_StaticEmbedding") if path.is_dir())]
    found = next((path for path in folders if (path / TOKENIZER).is_file()), None)
    if found is None:
        raise ConfigError(f"tower.model: {place} holds no {TOKENIZER}; a table of token vectors stands beside the tokenizer of its tokens")
    return found


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder that ``find`` gave."""
    tokenizers = import_module("tokenizers")
    return _reading(folder / TOKENIZER, lambda: tokenizers.Tokenizer.from_file(str(folder / TOKENIZER)))


def table_file(folder: Path) -> Path | None:
    """The one ``*.safetensors``, ``*.npz`` or ``*.npy`` of a folder; None where it has none.

    Raises:
        ConfigError: there are several.
    """
    files = sorted(path for ending in ("safetensors", "npz", "npy") for path in folder.glob(f"*.{ending}"))
    if len(files) > 1:
        raise ConfigError(f"tower.model: {folder} holds several tables: {', '.join(path.name for path in files)}; leave one")
    return next(iter(files), None)


def read_table(file: Path) -> Tensor:
    """Vectors ``(tokens, width)`` in float32 of a file that ``table_file`` gave.

    Raises:
        ConfigError: there is no table of vectors in the file, or it has fewer rows than there are tokens.
    """
    tokens = read_tokenizer(file.parent).get_vocab_size()
    arrays = _reading(file, lambda: _arrays(file))
    table = _fold(arrays, _table_name(arrays, tokens, file))
    if len(table) < tokens:
        raise ConfigError(f"tower.model: {file} has {len(table)} vectors, but the tokenizer beside it knows {tokens} tokens")
    return table


def fresh_table(rows: int, width: int) -> Tensor:
    """Random vectors ``(rows, width)``, of about length 1 for the last token and shorter for earlier ones.

    Vocabularies stand in the order of frequency, so that the growth with the rank weighs rare words more than common ones from the
    start, as an inverse document frequency does: vectors that no training pair has touched still tell which words two texts share.
    """
    weight = torch.log1p(torch.arange(rows, dtype=torch.float32)) / np.log1p(rows)
    lengths: Tensor = weight**RANK_POWER / width**0.5
    return torch.randn(rows, width) * lengths[:, None]


def _arrays(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        loaded: dict[str, Tensor] = import_module("safetensors.torch").load_file(file)
        return loaded
    read = np.load(file, allow_pickle=False)
    return {"embeddings": torch.from_numpy(read)} if file.suffix == ".npy" else {name: torch.from_numpy(read[name]) for name in read.files}


def _table_name(arrays: dict[str, Tensor], tokens: int, file: Path) -> str:
    """The usual name, or that of the only matrix with a row for each token."""
    matrices = [name for name, array in arrays.items() if array.ndim == 2 and len(array) >= tokens]
    usual = [name for name in USUAL_NAMES if name in arrays]
    if usual or len(matrices) == 1:
        return (usual or matrices)[0]
    kind = "several matrices" if matrices else "no matrix"
    raise ConfigError(f"tower.model: {file} holds {kind} with a row for each of the {tokens} tokens; call the table {USUAL_NAMES[0]!r}")


def _fold(arrays: dict[str, Tensor], name: str) -> Tensor:
    """One row a token; Model2Vec may store several tokens as one row, and a weight beside each token."""
    table = arrays[name].float()
    if name == "embeddings" and "mapping" in arrays:
        table = table[arrays["mapping"].long()]
    if name == "embeddings" and "weights" in arrays:
        table = table * arrays["weights"].float()[:, None]
    return table.contiguous()


def _download(name: str) -> Path:
    hub = import_module("huggingface_hub")
    return _reading(Path(name), lambda: Path(hub.snapshot_download(name, allow_patterns=list(HUB_FILES))))


def _reading(place: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except Exception as error:  # tokenizers raises nothing more special, and each file format errors of its own
        raise ConfigError(
            f"tower.model: no token vectors could be read from {str(place)!r}: {(str(error) or type(error).__name__).splitlines()[0]} "
            "Give a folder with tokenizer.json and a table, a name on the Hugging Face hub (needs the internet), "
            "or null for random vectors under the offline MiniLM's tokenizer"
        ) from error
