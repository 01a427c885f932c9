"""Sizes of a body are looked at one by one only where a short look at its bytes does not settle them."""

from __future__ import annotations

import random
from typing import Any

import orjson

from tt_hydra.serve.app.errors import Refused
from tt_hydra.serve.app.reading import DEEPEST, _check_sizes, _small
from tt_hydra.serve.settings import Limits

LIMITS = Limits(text_length=60, columns=4)


def value(source: random.Random, depth: int) -> Any:
    kind = source.randrange(4) if depth else 0
    if kind == 0:
        return source.choice([source.choice(["é", "a", "\n", ":"]) * source.randrange(70), 7, None, True])
    if kind == 1:
        return {f"k{number}": value(source, depth - 1) for number in range(source.randrange(7))}
    return [value(source, depth - 1) for _ in range(source.randrange(3))]


def refused(body: Any) -> bool:
    try:
        _check_sizes(body, LIMITS)
    except Refused:
        return True
    return False


def test_a_body_that_is_small_is_never_one_to_refuse() -> None:
    source = random.Random(0)
    found = [(refused(body), _small(orjson.dumps(body), LIMITS)) for body in (value(source, source.randrange(5)) for _ in range(3000))]
    assert (True, True) not in found
    assert {(True, False), (False, True)} <= set(found)


def test_the_deepest_body_that_is_small_is_not_refused_and_the_next_one_is_looked_at() -> None:
    for depth, small in ((DEEPEST, True), (DEEPEST + 1, False)):
        body = orjson.loads(b"[" * depth + b"]" * depth)
        assert (_small(orjson.dumps(body), LIMITS), refused(body)) == (small, not small)
