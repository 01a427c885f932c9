from __future__ import annotations

import pytest

from tt_hydra.data.guess.names import ITEM, QUERY, USER, is_about, is_id, says, words


@pytest.mark.parametrize("name", ["movie_id", "movieId", "movieid", "MOVIE-ID", "Movie ID"])
def test_one_name_in_many_spellings(name):
    assert words(name) == ("movie", "id")


@pytest.mark.parametrize(("name", "found"), [("uid", ("user", "id")), ("parent_asin", ("parent", "asin")), ("aX2", ("a", "x", "2"))])
def test_words(name, found):
    assert words(name) == found


def test_a_word_inside_another_says_nothing():
    assert not says("rated_x", frozenset({"rate"}))
    assert not is_id("paid")
    assert is_id("user_id")
    assert not is_id("")
    assert not is_id("年齢")


def test_what_a_name_is_about():
    assert is_about("corpus-id", ITEM)
    assert is_about("movies", ITEM)
    assert is_about("customerId", USER)
    assert is_about("qid", QUERY)
    assert not is_about("id", ITEM)
