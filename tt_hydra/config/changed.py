"""Which settings of a run differ from the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

UNSAID = ("runtime", "hydra")


def changed(
    loader: ConfigLoaderImpl, command: str, config: DictConfig, choices: Mapping[str, Any], places: Sequence[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Default and value by dotted path: groups whose option is not the default one, then values that are not their option's own.

    Args:
        loader: where options are looked up.
        command: name of the primary config.
        config: what was composed.
        choices: the option of each group (Hydra's ``runtime.choices``).
        places: overrides that say where else options are looked up (``hydra.searchpath=...``).
    """
    plain = loader.load_configuration(command, [], run_mode=RunMode.RUN)
    usual = plain.hydra.runtime.choices
    chosen = {key: (usual.get(key), value) for key, value in choices.items() if not key.startswith("hydra/") and value != usual.get(key)}
    kept = [f"{key}={value}" for key, (_, value) in chosen.items() if key != "experiment" and key in usual and value is not None]
    expected = _leaves(loader.load_configuration(command, [*places, *kept], run_mode=RunMode.RUN))
    found = _leaves(config)
    values = {path: (expected.get(path), value) for path, value in found.items() if path not in expected or expected[path] != value}
    return {**chosen, **values}


def _leaves(config: DictConfig) -> dict[str, Any]:
    tree = {key: value for key, value in OmegaConf.to_container(config, resolve=False).items() if key not in UNSAID}  # type: ignore[union-attr]
    return dict(_walk(tree, ""))


def _walk(tree: Mapping[Any, Any], prefix: str) -> list[tuple[str, Any]]:
    result: list[tuple[str, Any]] = []
    for key, value in tree.items():
        result += _walk(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return result
