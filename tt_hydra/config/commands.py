"""The commands, and which of their keys hold free text."""

from __future__ import annotations

COMMANDS = {
    "run": "tt_hydra.pipeline.settings.RunSettings",
    "check": "tt_hydra.pipeline.settings.RunSettings",
    "search": "tt_hydra.pipeline.search.SearchSettings",
    "embed": "tt_hydra.pipeline.embed.EmbedSettings",
    "evaluate": "tt_hydra.pipeline.evaluate.EvaluateBundleSettings",
    "store": "tt_hydra.pipeline.store.StoreSettings",
}
"""The settings of each command, whose fields are the root nodes of its primary config; the first is meant where none is named."""

RUN_DIR = {"run": "runtime.run_dir", "check": "runtime.run_dir", "evaluate": "run_dir"}
"""Where a command's settings name the folder that the command line fills in."""

RUNS = ("run", "check")
"""Commands that are told a whole run."""

TEXTS = ("query", "query_id")
"""Keys whose value is the text that the shell gave, whatever it holds."""

PATHS = ("bundle", "input", "output", "search.input", "search.output", "hydra.run.dir", "runtime.outputs", "train.init_from")
"""Keys whose value may hold spaces, commas and parentheses, besides all that end in ``.path``."""
