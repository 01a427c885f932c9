"""Texts without a vocabulary: words and their character trigrams, hashed into buckets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import Ragged

WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class HashTokenizer:
    """Each word gives its own bucket and those of its trigrams, so that inflections and misspellings stay near.

    Text is normalised (NFKC, case folded). The hash is CRC-32 of the UTF-8 bytes: the same on every machine and in every process.

    Attributes:
        buckets: number of token ids.
        max_words: words that are read; the rest of a long text is cut.
    """

    buckets: int
    max_words: int

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """Token ids of each text; a text without a word gives an empty row."""
        return self.counted(texts)[0]

    @property
    def limit(self) -> str:
        """Words that are read, and the key that says so."""
        return f"{self.max_words} words (tower.text_max_words)"

    def counted(self, texts: Sequence[str]) -> tuple[Ragged, int]:
        """Token ids, and how many texts have more words than are read."""
        known: dict[str, npt.NDArray[np.int32]] = {}
        every = [self._words(text) for text in texts]
        rows = [words[: self.max_words] for words in every]
        for word in {word for words in rows for word in words}:
            known[word] = self._pieces(word)
        pieces = [known[word] for words in rows for word in words]
        lengths = [sum(len(known[word]) for word in words) for words in rows]
        values = np.concatenate(pieces) if pieces else np.empty(0, np.int32)
        cut = sum(len(words) > self.max_words for words in every)
        return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)), cut

    def _words(self, text: str) -> list[str]:
        return WORD.findall(unicodedata.normalize("NFKC", text).casefold())

    def _pieces(self, word: str) -> npt.NDArray[np.int32]:
        marked = f"<{word}>"
        grams = (marked[start : start + 3] for start in range(len(marked) - 2))
        return np.array([crc32(piece.encode()) % self.buckets for piece in dict.fromkeys((marked, *grams))], dtype=np.int32)


class NoTokens:
    """The tokenizer of a side without text: every text is empty."""

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """Empty rows."""
        return Ragged(np.empty(0, np.int32), np.zeros(len(texts) + 1, np.int64))
