"""The search space of a command line: what is swept there, in Hydra's grammar, and what the ``sweep.space`` node names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tt_hydra.config.overrides import unreadable
from tt_hydra.config.problems import Problem, did_you_mean
from tt_hydra.sweep.space import Choice, Domain, Float, Int, Parameter, Space

CHOICES = (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP)
TAGS = ("log",)
EXAMPLE = "choice(a,b), range(1,9), interval(0.1,1) or tag(log, interval(0.01,1))"
USUAL = "default"
"""The option of the group ``sweep`` that names no space."""


@dataclass(slots=True)
class Swept:
    """A command line, sorted.

    Attributes:
        fixed: overrides with one value each, those of the sweep itself and of Hydra left out.
        own: overrides of the sweep itself, and of Hydra.
        swept: parsed overrides with several values.
        problems: what cannot be read.
    """

    fixed: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    swept: list[Override] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def sort(loader: ConfigLoaderImpl, overrides: Sequence[str]) -> Swept:
    """Sorts a command line's overrides."""
    found = Swept()
    for text in overrides:
        try:
            override = _parse(loader, text)
        except HydraException:
            found.problems.append(unreadable(text))
            continue
        key = override.key_or_group
        if override.is_sweep_override() and not key.startswith(("hydra.", "hydra/", "sweep.")):
            found.swept.append(override)
        else:
            (found.own if key.partition(".")[0].partition("/")[0] in ("sweep", "hydra") else found.fixed).append(text)
    return found


def named(line: Swept) -> list[str]:
    """The overrides that ask for a study, whatever they set in it."""
    return [text for text in line.own if text.lstrip("+").startswith(("sweep=", "sweep.", "hydra.sweeper.n_trials="))]


def names_a_study(loader: ConfigLoaderImpl, overrides: Sequence[str]) -> bool:
    """Whether overrides of a ``--multirun`` are those of a study: they name a sweep, one of its keys, or a range that no grid lists."""
    found = sort(loader, overrides)
    return bool(named(found)) or any(each.value_type is ValueType.INTERVAL_SWEEP or each.value().tags for each in found.swept)  # type: ignore[union-attr]


def space_of(loader: ConfigLoaderImpl, node: Mapping[str, Any], line: Swept, config: DictConfig) -> tuple[Space, list[Problem]]:
    """The space of a study.

    Args:
        loader: where options are looked up.
        node: ``sweep.space``.
        line: the command line; what it searches replaces the node's, and a value that it gives ends the search of its key.
        config: composed without what is searched: conditions on keys that are not searched are answered by it.

    Returns:
        The space, and what is wrong with it.
    """
    problems = list(line.problems)
    given = {text.lstrip("+~").partition("=")[0] for text in line.fixed}
    replaced = given | {each.get_key_element().lstrip("+") for each in line.swept}
    found: list[Parameter] = []
    for key, entry in node.items():
        if str(key).lstrip("+") not in replaced:
            found += _entries(loader, str(key), entry, problems)
    for override in line.swept:
        found += _parameter(override, problems)
    if not found and not problems:
        problems.append(Problem("sweep.space", "is empty: nothing is searched; name a key, as in 'temperature.start=interval(0.05,1)'"))
    return Space(tuple(_ordered(_named(_resolved(found, config, problems)), problems))), problems


def _parse(loader: ConfigLoaderImpl, text: str) -> Override:
    parsed: Override = OverridesParser.create(config_loader=loader).parse_overrides([text])[0]
    return parsed


def _entries(loader: ConfigLoaderImpl, key: str, entry: Any, problems: list[Problem]) -> Iterator[Parameter]:
    """The parameters that a key of the node stands for: one, or several under different conditions."""
    for each in entry if isinstance(entry, (list, tuple)) else [entry]:
        values, when = (each.get("values"), each.get("when", {})) if isinstance(each, Mapping) else (each, {})
        strange = set(each) - {"values", "when"} if isinstance(each, Mapping) else set()
        if strange or not isinstance(values, (str, int, float)) or not isinstance(when, Mapping):
            shape = f"values in Hydra's grammar ({EXAMPLE}), or {{values: ..., when: {{KEY: [VALUES]}}}}"
            problems.append(Problem(f"sweep.space.{key}", f"must be {shape}, got {each!r}"))
            continue
        try:
            override = _parse(loader, f"{key}={values}")
        except HydraException:
            problems.append(Problem(f"sweep.space.{key}", f"cannot be read: {values!r}; write {EXAMPLE}"))
            continue
        conditions = {
            str(name): tuple(_word(value) for value in (allowed if isinstance(allowed, (list, tuple)) else [allowed]))
            for name, allowed in when.items()
        }
        yield from (replace(parameter, when=conditions) for parameter in _parameter(override, problems))


def _word(value: Any) -> str:
    """A value as the command line writes it."""
    return str(value).lower() if isinstance(value, bool) else str(Transformer.str(value))


def _parameter(override: Override, problems: list[Problem]) -> list[Parameter]:
    key = override.get_key_element()
    domain = _domain(override)
    if isinstance(domain, str):
        problems.append(Problem(key, domain))
        return []
    return [Parameter(key, domain, {}, key.lstrip("+"))]


def _domain(override: Override) -> Domain | str:
    """The values of an override, or what is wrong with them."""
    if not override.is_sweep_override():
        return f"has one value ({override.get_value_element_as_str()}); write {EXAMPLE}"
    value = override.value()
    tags: set[str] = getattr(value, "tags", set())
    strange = sorted(tags - set(TAGS))
    if strange:
        return f"has the tag {strange[0]!r}, which means nothing here{did_you_mean(strange[0], TAGS)}"
    log = "log" in tags
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        return _interval(value.start, value.end, log)
    return _range(value, log) if isinstance(value, RangeSweep) else _choice(override, log)


def _choice(override: Override, log: bool) -> Domain | str:
    if override.value_type not in CHOICES:
        return f"is a glob; name the options, as in {override.key_or_group}=choice(a,b)"
    if log:
        return "has the tag log, and values that are listed have no order; write tag(log, interval(0.01,1))"
    options = list(dict.fromkeys(str(each) for each in override.sweep_iterator(_word)))
    return Choice(tuple(options)) if options else "has no values"


def _interval(low: float, high: float, log: bool) -> Domain | str:
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        return f"is an empty interval, from {low:g} to {high:g}; the smaller bound comes first"
    if log and low <= 0:
        return f"has the tag log and begins at {low:g}; a logarithm needs bounds above 0"
    return Int(low, high, log) if isinstance(low, int) and isinstance(high, int) else Float(float(low), float(high), log)


def _range(value: RangeSweep, log: bool) -> Domain | str:
    if not value.step:
        return "is a range with step 0"
    members = list(value.range())
    if not members:
        return f"is an empty range, from {value.start} up to but without {value.stop}"
    low, high, step = min(members), max(members), abs(value.step)
    if log and (low <= 0 or step != 1):
        return "has the tag log: its range must begin above 0 and have step 1; or write tag(log, interval(0.01,1))"
    if all(isinstance(member, int) for member in members):
        return Int(int(low), int(high), log, int(step))
    return Float(float(low), float(high), step=float(step)) if not log else "has the tag log: write tag(log, interval(0.01,1))"


def _resolved(parameters: Sequence[Parameter], config: DictConfig, problems: list[Problem]) -> Iterator[Parameter]:
    """Without the conditions that the configuration answers, and without the parameters whose conditions it denies."""
    searched = {each.key.lstrip("+"): each for each in parameters}
    for each in parameters:
        left: dict[str, tuple[str, ...]] = {}
        holds = True
        for key, allowed in each.when.items():
            if key in searched:
                left[key] = allowed
                problems += _never(each, key, allowed, searched[key].domain)
            else:
                said = _said(config, key, each, problems)
                holds = holds and said in (*allowed, None)
        if holds:
            yield replace(each, when=left)


def _never(parameter: Parameter, key: str, allowed: Sequence[str], domain: Domain) -> Iterator[Problem]:
    where = f"sweep.space.{parameter.key}.when.{key}"
    if not isinstance(domain, Choice):
        if isinstance(domain, Float):
            yield Problem(where, f"{key} is searched in an interval; a condition names values of a choice")
        return
    for value in allowed:
        if value not in domain.options:
            yield Problem(where, f"{value!r} is not searched{did_you_mean(value, domain.options)}")


def _said(config: DictConfig, key: str, parameter: Parameter, problems: list[Problem]) -> str | None:
    """What a configuration says of a key: the option of a group, or a value."""
    choices = config.hydra.runtime.choices
    if key in choices:
        return str(choices[key])
    value = OmegaConf.select(config, key, default=config)
    if value is config:
        problems.append(
            Problem(f"sweep.space.{parameter.key}.when", f"{key} is no key{did_you_mean(key, [str(name) for name in choices])}")
        )
        return None
    return _word(value)


def _named(parameters: Iterator[Parameter]) -> list[Parameter]:
    """Each with a name of its own."""
    found = list(parameters)
    keys = [each.key for each in found]
    return [
        each
        if keys.count(each.key) == 1
        else replace(each, name=f"{each.name} when " + ", ".join(f"{key}={'|'.join(values)}" for key, values in each.when.items()))
        for each in found
    ]


def _ordered(parameters: Sequence[Parameter], problems: list[Problem]) -> list[Parameter]:
    """Each after those that its conditions name."""
    left, done, placed = list(parameters), [], set()
    while left:
        ready = [each for each in left if all(all(other.key.lstrip("+") != key for other in left) for key in each.when)]
        if not ready:
            problems.append(Problem("sweep.space", f"conditions go round in a circle: {', '.join(each.key for each in left)}"))
            return []
        done += ready
        placed |= {id(each) for each in ready}
        left = [each for each in left if id(each) not in placed]
    return done
