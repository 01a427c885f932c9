"""Spaces by hand: what is searched when, how values are written, how many points there are."""

from __future__ import annotations

import math

from tt_hydra.sweep.space import Choice, Float, Int, Parameter, Space, text

KIND = Parameter("loss", Choice(("a", "b")), {}, "loss")
BETA = Parameter("loss.beta", Int(1, 7, step=3), {"loss": ("b",)}, "loss.beta")
DEEP = Parameter("+deep", Choice(("x", "y")), {"loss.beta": ("4",)}, "deep")
SPACE = Space((KIND, BETA, DEEP))


def test_what_is_searched_depends_on_what_was_chosen():
    chosen = {"loss": "b", "loss.beta": 4, "deep": "y"}
    assert SPACE.choose(lambda name, domain: chosen[name]) == chosen
    assert SPACE.overrides(chosen) == ["loss=b", "loss.beta=4", "+deep=y"]
    assert SPACE.choose(lambda name, domain: {"loss": "b", "loss.beta": 1}[name]) == {"loss": "b", "loss.beta": 1}
    assert SPACE.choose(lambda name, domain: {"loss": "a"}[name]) == {"loss": "a"}


def test_size_counts_each_point_once():
    assert SPACE.size() == 1 + (2 + 2), "a; b with 1 or 7; b with 4 and x or y"
    assert Space((KIND, Parameter("x", Float(0, 1), {}, "x"))).size() == math.inf
    assert Space((Parameter("x", Float(0.0, 1.0, step=0.25), {}, "x"),)).size() == 5
    assert Space((Parameter("x", Int(0, 9), {}, "x"), Parameter("y", Int(0, 9), {}, "y"))).size() == 100
    assert Space(()).size() == 1
    assert Space(tuple(Parameter(str(number), Int(1, 100), {}, str(number)) for number in range(3))).size() == math.inf


def test_points_of_a_space():
    assert SPACE.holds({"loss": "a"})
    assert SPACE.holds({"loss": "b", "loss.beta": 7})
    assert not SPACE.holds({"loss": "c"})
    assert not SPACE.holds({"loss": "b", "loss.beta": 8})
    assert not SPACE.holds({"loss": "a", "loss.beta": 7}), "it is not searched there"
    assert not SPACE.holds({"loss": "b"})
    assert not SPACE.holds({"loss": "b", "loss.beta": 2}), "1, 4 and 7 are"
    tenths = Space((Parameter("x", Float(0.1, 0.7, step=0.2), {}, "x"),))
    assert all(tenths.holds({"x": value}) for value in (0.1, 0.1 + 0.2, 0.5, 0.7))
    assert not tenths.holds({"x": 0.2})


def test_values_on_the_command_line():
    assert [text(value) for value in (None, True, 3, 0.1, 1e-5, "a")] == ["null", "true", "3", "0.1", "1e-05", "a"]


def test_fingerprints_tell_spaces_apart():
    others = [
        Space((KIND,)),
        Space((KIND, Parameter("loss.beta", Int(1, 7, step=3), {"loss": ("a",)}, "loss.beta"), DEEP)),
        Space((KIND, Parameter("loss.beta", Float(1, 7, step=3), {"loss": ("b",)}, "loss.beta"), DEEP)),
    ]
    assert len({SPACE.fingerprint(), *(other.fingerprint() for other in others)}) == 4
    assert Space((KIND, BETA, DEEP)).fingerprint() == SPACE.fingerprint()
