"""Spaces as they are written: Hydra's grammar on the command line and in the ``sweep.space`` node; every mistake with its fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hydra.types import RunMode

from tt_hydra.config import space as spaces
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.examples import examples
from tt_hydra.config.overlay import overlay
from tt_hydra.config.problems import Problem
from tt_hydra.sweep.space import Choice, Domain, Float, Int, Parameter, Space

LOADER = make_loader([])


def read(*overrides: str, node: Mapping[str, Any] | None = None) -> tuple[Space, list[Problem]]:
    line = spaces.sort(LOADER, overrides)
    config = LOADER.load_configuration("run", line.fixed, run_mode=RunMode.RUN, from_shell=False)
    return spaces.space_of(LOADER, node or {}, line, config)


def sound(*overrides: str, node: Mapping[str, Any] | None = None) -> tuple[Parameter, ...]:
    space, problems = read(*overrides, node=node)
    assert problems == []
    return space.parameters


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("interval(0.02,1)", Float(0.02, 1.0)),
        ("interval(1,4)", Float(1.0, 4.0)),
        ("int(interval(1,4))", Int(1, 4)),
        ("tag(log, interval(0.02,1))", Float(0.02, 1.0, log=True)),
        ("tag(log, int(interval(1, 64)))", Int(1, 64, log=True)),
        ("range(1,10)", Int(1, 9)),
        ("range(1,10,4)", Int(1, 9, step=4)),
        ("range(10,1,-4)", Int(2, 10, step=4)),
        ("range(0.0,1.0,0.25)", Float(0.0, 0.75, step=0.25)),
        ("tag(log, range(1,9))", Int(1, 8, log=True)),
        ("choice(a,b)", Choice(("a", "b"))),
        ("a,b,a", Choice(("a", "b"))),
        ("choice(true, 1e-3, [1,2], 'x y')", Choice(("true", "0.001", "[1,2]", "x\\ y"))),
        ("null,16", Choice(("null", "16"))),
        ("shuffle(range(1,4))", Int(1, 3)),
    ],
)
def test_hydras_grammar(value: str, domain: Domain) -> None:
    (parameter,) = sound(f"temperature.start={value}")
    assert (parameter.key, parameter.name, parameter.domain) == ("temperature.start", "temperature.start", domain)
    (parameter,) = sound(node={"temperature.start": value})
    assert parameter.domain == domain


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("interval(1,0)", "temperature.start: is an empty interval, from 1 to 0; the smaller bound comes first"),
        ("tag(log, interval(0,1))", "temperature.start: has the tag log and begins at 0; a logarithm needs bounds above 0"),
        ("tag(lgo, interval(0,1))", "temperature.start: has the tag 'lgo', which means nothing here; did you mean 'log'?"),
        ("range(3,3)", "temperature.start: is an empty range, from 3 up to but without 3"),
        ("tag(log, range(1,9,2))", "temperature.start: has the tag log: its range must begin above 0 and have step 1"),
        ("tag(log, choice(1,2))", "temperature.start: has the tag log, and values that are listed have no order"),
        ("glob(*)", "temperature.start: is a glob; name the options"),
    ],
)
def test_values_that_make_no_space(value: str, message: str) -> None:
    _, problems = read(f"temperature.start={value}")
    assert [str(problem)[: len(message)] for problem in problems] == [message]


def test_mistakes_are_told_all_at_once() -> None:
    node = {
        "a": "interval(2,1)",
        "b": "choice(",
        "c": 3,
        "d": {"value": "1,2"},
        "e": {"values": "1,2", "when": {"loss": "bpr", "los": ["x"]}},
    }
    _, problems = read("f=tag(log,interval(0,1))", node=node)
    assert [problem.path for problem in problems] == ["a", "sweep.space.b", "c", "sweep.space.d", "f", "sweep.space.e.when"]
    assert "did you mean 'loss'" in problems[-1].message
    assert [str(problem) for problem in read()[1]] == [
        "sweep.space: is empty: nothing is searched; name a key, as in 'temperature.start=interval(0.05,1)'"
    ]


def test_conditions_on_what_is_searched() -> None:
    node = {
        "loss.beta": {"values": "interval(0,1)", "when": {"loss": ["bpr"]}},
        "loss": "choice(bpr, infonce, triplet)",
        "loss.margin": [
            {"values": "interval(0,1)", "when": {"loss": "triplet"}},
            {"values": "choice(5, 6)", "when": {"loss": ["bpr", "infonce"]}},
        ],
    }
    parameters = sound(node=node)
    assert [each.key for each in parameters] == ["loss", "loss.beta", "loss.margin", "loss.margin"], "after what they depend on"
    assert [each.name for each in parameters[2:]] == ["loss.margin when loss=triplet", "loss.margin when loss=bpr|infonce"]
    assert parameters[1].when == {"loss": ("bpr",)}


def test_conditions_on_what_is_given() -> None:
    node = {
        "loss.beta": {"values": "interval(0,1)", "when": {"loss": ["infonce"]}},
        "seed": {"values": "range(1,4)", "when": {"metric": ["dot"]}},
    }
    assert [each.key for each in sound("loss=infonce", "metric=dot", node=node)] == ["loss.beta", "seed"]
    assert all(not each.when for each in sound("loss=infonce", "metric=dot", node=node))
    assert [each.key for each in sound("loss=infonce", node=node)] == ["loss.beta"]


def test_conditions_that_never_hold() -> None:
    _, problems = read(node={"loss": "choice(bpr,infonce)", "loss.beta": {"values": "interval(0,1)", "when": {"loss": ["brp"]}}})
    assert [str(problem) for problem in problems] == ["sweep.space.loss.beta.when.loss: 'brp' is not searched; did you mean 'bpr'?"]
    around = {"a": {"values": "1,2", "when": {"b": ["1"]}}, "b": {"values": "1,2", "when": {"a": ["1"]}}}
    assert "round in a circle" in str(read(node=around)[1][0])


def test_the_command_line_wins_over_the_file() -> None:
    node = {"temperature.start": "interval(0.1,1)", "embedding_dim": "choice(8,16)", "index": "choice(flat,ivf)"}
    parameters = sound("embedding_dim=32", "temperature.start=interval(0.2,0.3)", node=node)
    assert {each.key: each.domain for each in parameters} == {"index": Choice(("flat", "ivf")), "temperature.start": Float(0.2, 0.3)}


@pytest.mark.parametrize(
    ("overrides", "study"),
    [
        (["index=flat,hnsw", "seed=choice(1,2)", "embedding_dim=range(8,32,8)"], False),
        (["seed=1"], False),
        (["temperature.start=interval(0.1,1)"], True),
        (["embedding_dim=tag(log,range(8,32))"], True),
        (["index=flat,hnsw", "hydra.sweeper.n_trials=3"], True),
        (["index=flat,hnsw", "sweep.sampler=random"], True),
        (["sweep=joint"], True),
        (["hydra.sweep.dir=x", "index=flat,hnsw"], False),
    ],
)
def test_what_is_a_study_and_what_a_grid(overrides: list[str], study: bool) -> None:
    assert spaces.names_a_study(LOADER, overrides) == study


def test_examples_show_every_option_and_both_ends() -> None:
    node = {
        "index": "choice(flat,ivf)",
        "index.nprobe": {"values": "range(1,9)", "when": {"index": ["ivf"]}},
        "quantization": "choice(none,int8,pq)",
        "quantization.M": {"values": "choice(4,8)", "when": {"quantization": ["pq"]}},
        "seed": "range(1,4)",
    }
    found = [dict(word.split("=") for word in overrides) for overrides in examples(Space(sound(node=node)))]
    shown = {(key, value) for point in found for key, value in point.items()}
    assert shown >= {(key, value) for key in ("seed",) for value in "13"}
    assert shown >= {("index", "flat"), ("index", "ivf"), ("index.nprobe", "1"), ("index.nprobe", "8")}
    assert shown >= {
        ("quantization", "none"),
        ("quantization", "int8"),
        ("quantization", "pq"),
        ("quantization.M", "4"),
        ("quantization.M", "8"),
    }
    assert all(("quantization.M" in point) == (point["quantization"] == "pq") for point in found)
    assert len(found) <= 5


OVERRIDES = [
    *("data=table", "data.interactions.path='a, (b).csv'", "tower@query_tower=sequence", "loss=matryoshka", "loss@loss.inner=infonce"),
    *("index=hnsw", "index.efSearch=99", "temperature=exponential", "temperature.start=0.07041210443158501", "temperature.end=1e-05"),
    *(
        "embedding_dim=null",
        "data.items.features={id: categorical, title: text}",
        "experiment=debug",
        "train.max_epochs=7",
        "seed=3",
        "seed=4",
    ),
]


def test_an_overlay_says_what_the_overrides_say(tmp_path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "best.yaml").write_text(overlay(LOADER, OVERRIDES, ["Trial 3"]), encoding="utf-8")
    expected, problems = compose(LOADER, "run", OVERRIDES)
    assert problems == []
    found, problems = compose(make_loader([str(tmp_path)]), "run", ["experiment=best"])
    assert problems == []
    expected.sweep.name = found.sweep.name = "same"
    assert found == expected
    assert (tmp_path / "experiment" / "best.yaml").read_text().startswith("# @package _global_\n# Trial 3\n")
