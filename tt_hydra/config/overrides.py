"""Says what is wrong with overrides that Hydra refuses: every one of them, in a line each, with the nearest right name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from tt_hydra.config import signature
from tt_hydra.config.problems import Problem, did_you_mean, nearest
from tt_hydra.config.tree import paths
from tt_hydra.errors import ConfigError

REFUSALS = (HydraException, OmegaConfBaseException, YAMLError, ValueError)
"""What composing raises for mistakes of the user."""


@dataclass(slots=True)
class _Sorted:
    """Overrides, sorted: those that choose options, those that set values, and what is wrong with the rest."""

    choices: list[str] = field(default_factory=list)
    values: list[Override] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def diagnose(loader: ConfigLoaderImpl, command: str, overrides: Sequence[str], error: Exception) -> tuple[DictConfig, list[Problem]]:
    """The configuration with the overrides that make sense, and what is wrong with the others.

    A misspelt option is replaced by the one that was probably meant, so that what depends on it can be checked too.

    Args:
        loader: where options are looked up.
        command: name of the primary config.
        overrides: as on the command line.
        error: what Hydra said to all of them together.

    Raises:
        ConfigError: the configuration cannot be composed even without them.
    """
    plain = _load(loader, command, [])
    if isinstance(plain, Problem):
        raise ConfigError(str(plain))
    found = _Sorted()
    known = _groups(plain)
    for text in sorted(overrides, key=_depth):
        chosen = _load(loader, command, found.choices) if _depth(text) else plain
        known |= {} if isinstance(chosen, Problem) else _groups(chosen)
        _sort(loader, text, known, found)
    config = _load(loader, command, found.choices) if found.choices else plain
    if isinstance(config, Problem):
        return plain, [*found.problems, config]
    for override in found.values:
        problem = _apply(override, config, sorted(known))
        found.problems += [] if problem is None else [problem]
    return config, found.problems or [Problem("", message(error))]


def message(error: BaseException) -> str:
    """What Hydra or OmegaConf said, with its cause, in one line."""
    parts = [str(each) for each in (error, error.__cause__) if each is not None and str(each)]
    lines = [line.strip() for part in parts for line in part.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key:", "object_type=", "reference_type="))]
    return "; ".join(dict.fromkeys(kept))


def _groups(config: DictConfig) -> dict[str, str | None]:
    """What is chosen in each group, Hydra's own left out."""
    return {str(key): value for key, value in config.hydra.runtime.choices.items() if not str(key).startswith("hydra/")}


def _depth(text: str) -> int:
    """How far inside of another option the group is that an override chooses from: 1 for ``loss@loss.inner=...``."""
    return text.partition("=")[0].partition("@")[2].count(".")


def _load(loader: ConfigLoaderImpl, command: str, overrides: list[str]) -> DictConfig | Problem:
    try:
        return loader.load_configuration(command, overrides, run_mode=RunMode.RUN, from_shell=False)
    except REFUSALS as error:
        return Problem("", message(error))


def unreadable(text: str) -> Problem:
    """What is said of an override that Hydra cannot read."""
    key, _, value = text.partition("=")
    hint = f"quote the value for Hydra: \"{key}='{value}'\"" if value else "an override is KEY=VALUE"
    return Problem(text, f"cannot be read; {hint}")


def _sort(loader: ConfigLoaderImpl, text: str, known: dict[str, str | None], found: _Sorted) -> None:
    try:
        override = OverridesParser.create(config_loader=loader).parse_overrides([text])[0]
    except HydraException:
        found.problems.append(unreadable(text))
        return
    if override.is_sweep_override():
        hint = "add --multirun to run every one of them, or write [a,b] for a list"
        found.problems.append(Problem(override.get_key_element(), f"has several values ({text.partition('=')[2]}); {hint}"))
        return
    options = loader.get_group_options(override.key_or_group, ObjectType.CONFIG)
    if not options and override.package is None:
        found.values.append(override)
    else:
        _choose(override, options, known, found)


def _choose(override: Override, options: list[str], known: dict[str, str | None], found: _Sorted) -> None:
    key = override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"
    hydra_group = key.startswith("hydra/")
    if key not in known and not hydra_group and not override.is_add():
        found.problems.append(Problem(key, f"is no group{did_you_mean(key, known)}"))
        return
    line = str(override.input_line)
    if override.is_add() and key in known:
        line = line.lstrip("+")
        found.problems.append(Problem(key, f"is among the groups already: write {line}, without the +"))
    value = override.value()
    names = value if isinstance(value, list) else [value]
    wrong = ["null" if name is None else str(name) for name in names if str(name) not in options]
    for name in wrong:
        found.problems.append(Problem(key, f"has no option {name!r}{did_you_mean(name, options)}"))
    if not wrong:
        found.choices.append(line)
    else:
        meant = nearest(wrong[0], options)
        found.choices += [f"{key}={meant}"] if meant is not None and not isinstance(value, list) else []


def _apply(override: Override, config: DictConfig, groups: list[str]) -> Problem | None:
    try:
        ConfigLoaderImpl._apply_overrides_to_config([override], config)
    except REFUSALS as error:
        if isinstance(error.__cause__, (ConfigAttributeError, ConfigKeyError)):
            return _unknown(override, config, groups)
        return Problem(override.key_or_group, message(error))
    return None


def _unknown(override: Override, config: DictConfig, groups: list[str]) -> Problem:
    key = override.key_or_group
    parts = key.split(".")
    parent, depth = config, 0
    while depth < len(parts) - 1 and isinstance(parent, DictConfig) and isinstance(parent.get(parts[depth]), DictConfig):
        parent, depth = parent[parts[depth]], depth + 1
    if depth == len(parts) - 1 and isinstance(override.value(), Mapping) and isinstance(parent.get(parts[depth]), DictConfig):
        return Problem(key, f"names keys that are not there; to add them: +{override.input_line}")
    if _is_field(parent, parts[depth]):
        return Problem(key, f"is not in the chosen option file; add it with +{override.input_line}")
    names = [str(name) for name in parent if str(name) not in ("_target_", "hydra")]
    match = nearest(parts[depth], names)
    if match is not None:
        return Problem(key, f"is no key; did you mean {'.'.join([*parts[:depth], match, *parts[depth + 1 :]])!r}?")
    tree = {name: value for name, value in OmegaConf.to_container(config, resolve=False).items() if name != "hydra"}  # type: ignore[union-attr]
    elsewhere = [path for path in paths(tree) if path.rpartition(".")[2] == parts[-1]]
    if elsewhere:
        return Problem(key, f"is no key; did you mean {elsewhere[0]!r}?")
    where = f"is no key of {'.'.join(parts[:depth])}" if depth else "is no key"
    return Problem(key, f"{where}{did_you_mean(parts[depth], names if depth else [*names, *groups])}")


def _is_field(node: DictConfig, name: str) -> bool:
    target = OmegaConf.select(node, "_target_") if OmegaConf.is_dict(node) else None
    cls = signature.find_class(str(target)) if target is not None else None
    return cls is not None and name in signature.fields(cls)
