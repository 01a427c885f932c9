from __future__ import annotations

import numpy as np

from tt_hydra.tower.tokenizer import HashTokenizer

TOKENIZE = HashTokenizer(buckets=1000, max_words=3)


def test_a_word_gives_itself_and_its_trigrams() -> None:
    # CRC-32 of "<toy>", "<to", "toy", "oy>", modulo 1000: fixed for ever, since stored weights depend on it.
    assert TOKENIZE(["toy"]).values.tolist() == [985253464 % 1000, 1148061149 % 1000, 1728423790 % 1000, 2203486747 % 1000]


def test_case_width_and_composition_do_not_matter() -> None:
    tokens = TOKENIZE(["Café", "cafe\u0301", "ＣＡＦÉ"])
    assert tokens.row(0).tolist() == tokens.row(1).tolist() == tokens.row(2).tolist()


def test_punctuation_separates_and_is_dropped() -> None:
    tokens = TOKENIZE(["a-b", "a b!", "?!"])
    assert tokens.row(0).tolist() == tokens.row(1).tolist()
    assert len(tokens.row(2)) == 0


def test_only_the_first_words_are_read() -> None:
    tokens = TOKENIZE(["one two three four", "one two three"])
    assert tokens.row(0).tolist() == tokens.row(1).tolist()


def test_texts_beyond_the_limit_are_counted() -> None:
    texts = ["one two three four", "one two three", "", "a b c d e", "four"]
    tokens, cut = TOKENIZE.counted(texts)
    assert cut == 2
    assert tokens.values.tolist() == TOKENIZE(texts).values.tolist()
    assert TOKENIZE.limit == "3 words (tower.text_max_words)"


def test_a_batch_is_its_texts_one_by_one() -> None:
    texts = ["toy story", "", "story", "a toy"]
    together = TOKENIZE(texts)
    for index, text in enumerate(texts):
        assert together.row(index).tolist() == TOKENIZE([text]).values.tolist()
    assert together.offsets.dtype == np.int64


def test_every_id_is_a_bucket() -> None:
    values = HashTokenizer(buckets=7, max_words=100)(["the quick brown fox jumps over the lazy dog"]).values
    assert set(values.tolist()) <= set(range(7))
