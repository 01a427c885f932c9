"""The commands, and which of their keys hold free text."""

from __future__ import annotations

from collections.abc import Sequence

from tt_hydra.config import signature
from tt_hydra.config.problems import Problem

COMMANDS = {
    "run": "tt_hydra.pipeline.settings.RunSettings",
    "check": "tt_hydra.pipeline.settings.RunSettings",
    "search": "tt_hydra.pipeline.search.SearchSettings",
    "embed": "tt_hydra.pipeline.embed.EmbedSettings",
    "evaluate": "tt_hydra.pipeline.evaluate.EvaluateBundleSettings",
    "store": "tt_hydra.pipeline.store.StoreSettings",
    "export": "tt_hydra.pipeline.export.ExportSettings",
    "compare": "tt_hydra.pipeline.compare.CompareSettings",
    "init": "tt_hydra.pipeline.init.InitSettings",
    "monitor": "tt_hydra.pipeline.monitor.MonitorCommandSettings",
    "serve": "tt_hydra.pipeline.serve.ServeSettings",
    "update": "tt_hydra.pipeline.update.UpdateSettings",
    "versions": "tt_hydra.pipeline.versions.VersionsSettings",
}
"""The settings of each command, whose fields are the root nodes of its primary config; the first is meant where none is named."""

RUN_DIR = {"run": "runtime.run_dir", "check": "runtime.run_dir", "evaluate": "run_dir", "compare": "run_dir", "monitor": "run_dir"}
"""Where a command's settings name the folder that the command line fills in."""

RUNS = ("run", "check")
"""Commands that are told a whole run."""

WITH_DATA = ("evaluate",)
"""Commands that take the options of ``data``, which may set defaults of a run that mean nothing to them."""

TEXTS = ("query", "query_id", "tower.query_prompt", "tower.item_prompt")
"""Keys whose value is the text that the shell gave, whatever it holds."""

PATHS = (
    "bundle",
    "publish",
    "rules",
    "traffic",
    "model",
    "delete",
    "input",
    "output",
    "search.input",
    "search.output",
    "hydra.run.dir",
    "runtime.outputs",
    "train.init_from",
    "index.spec",
    "interactions",
    "items",
    "queries",
)
"""Keys whose value may hold spaces, commas and parentheses, besides all that end in ``.path``."""


def strangers(command: str) -> frozenset[str]:
    """Root nodes of a run that a data option may set, but that a command has no use for."""
    if command not in WITH_DATA:
        return frozenset()
    run, own = (signature.find_class(COMMANDS[name]) for name in ("run", command))
    assert run is not None
    assert own is not None
    return frozenset(signature.fields(run).keys() - signature.fields(own).keys())


def misplaced(command: str, overrides: Sequence[str]) -> list[Problem]:
    """Overrides of a command that belong to a run."""
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    return [Problem(key, f"belongs to run, not to {command}") for key in keys if key.partition(".")[0] in strangers(command)]
