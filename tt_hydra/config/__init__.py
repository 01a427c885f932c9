"""From YAML files and command-line overrides to checked, plain settings: the only package that knows OmegaConf."""

from __future__ import annotations
