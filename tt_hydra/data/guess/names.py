"""What the names of columns say."""

from __future__ import annotations

import re


def _set(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


ITEM = _set(
    """item product movie film book article song track doc document corpus passage video post page recipe business place venue poi
    location listing sku asin isbn news game app job ad offer show anime hotel restaurant gmap"""
)
USER = _set("user customer client member household visitor reader viewer account person patient reviewer buyer shopper")
QUERY = _set("query question search topic")
SESSION = _set("session visit basket cart order playlist invoice transaction")
ID = _set("id ids key uuid guid code")
PLAIN = ID | _set("no number nr ix idx index name")
"""All that a table calls its own id."""
SHORT = {"uid": "user", "iid": "item", "pid": "product", "qid": "query", "sid": "session", "docno": "doc"}
"""Names in one word that stand for an id of something."""

TEXT = _set("title name text description desc body content summary abstract overview plot headline subtitle caption details")
ASKED = _set("query search question keyword keywords term terms utterance prompt request claim intent")
"""What somebody typed to find something."""
ANSWERED = _set("review comment comments feedback reply answer opinion")
"""What somebody wrote after having found it."""
TOTALS = _set(
    """popularity popular views view clicks click sold sales votes vote likes like downloads purchases purchased bought rank
    bestseller ratings rating stars reviews trending impressions score"""
)
"""Of an item: what came of the events of all times."""
QUANTITY = _set("price cost age size weight height width length count num number amount year rating score duration distance")
CATEGORY = _set("author artist brand city country director actor maker manufacturer publisher language category genre department")
POSTAL = _set("zip postcode postal")
CONTEXT = _set(
    "device platform os browser app country region city locale language lang channel referrer referer weekday hour season network"
)
"""Known when the query is asked."""
GRADED = _set("weight relevance rel grade gain")
JUDGED = _set("score label")
RATED = _set("rating stars")
OUTCOME = _set(
    """clicked click purchased bought liked like converted conversion watched played quantity qty amount sales value revenue spend
    spent dwell duration playtime hours minutes seconds score label feedback completion listened"""
)
"""What came of an event."""
KIND_OF_EVENT = _set("event action type behavior behaviour interaction")
SHOWN = _set("impression impressions shown candidates slate negatives displayed")

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words(name: str) -> tuple[str, ...]:
    """The words of a column's name in small letters: ``movieId``, ``movie_id`` and ``movieid`` are all movie, id."""
    found: list[str] = []
    for part in _PARTS.findall(name):
        word = part.lower()
        stem = word[:-2] if word.endswith("id") else ""
        if word in SHORT:
            found += [SHORT[word], "id"]
        elif stem in ITEM | USER | QUERY | SESSION:
            found += [stem, "id"]
        else:
            found.append(word)
    return tuple(found)


def says(name: str, known: frozenset[str]) -> bool:
    """Whether one of the name's words is known."""
    return not known.isdisjoint(words(name))


def is_id(name: str) -> bool:
    """Whether the name ends like that of an id."""
    last = words(name)[-1:]
    return bool(last) and last[0] in ID


def is_about(name: str, stems: frozenset[str]) -> bool:
    """Whether the name is one of the stems, or an id of it."""
    found = [word for word in words(name) if word not in ID]
    return any(word in stems or word.removesuffix("s") in stems for word in found)
