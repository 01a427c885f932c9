"""What lies beside an exported tower, so that it can be used without this package: signature, vocabularies, tokenizers, a README."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

import tt_hydra
from tt_hydra.artifact.bundle import FEATURIZER, Bundle
from tt_hydra.artifact.files import write_json
from tt_hydra.contracts import Kind, Side, Tokenizer
from tt_hydra.errors import ConfigError
from tt_hydra.export.inputs import Input
from tt_hydra.tower.spec import Saved
from tt_hydra.tower.two_tower import TwoTower

SIGNATURE, ITEM_TEXT = "signature.json", "item_text.npy"


def refuse_used(output: Path, overwrite: bool) -> None:
    """Refuses a folder that must not be replaced.

    Raises:
        ConfigError: it is a file; it is not empty and ``overwrite`` is false; or it holds something else than an export.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output={output} is a file: an export is a folder, give another name")
    if not output.exists() or not any(output.iterdir()):
        return
    if not overwrite:
        raise ConfigError(f"output={output} is not empty: give another folder, or replace what is in it with overwrite=true")
    if not (output / SIGNATURE).is_file():
        raise ConfigError(
            f"output={output} holds no {SIGNATURE}, so it is no export, and overwrite=true leaves it alone: give another folder"
        )


def origin(bundle: Bundle) -> dict[str, Any]:
    """What exported towers come from, in plain values."""
    manifest = bundle.manifest
    return {
        "version": tt_hydra.__version__,
        "metric": manifest.metric,
        "dim": manifest.dim,
        "model_fingerprint": manifest.model_fingerprint,
        "featurizer_fingerprint": bundle.featurizer.fingerprint,
        "vectors_fingerprint": manifest.vectors_fingerprint,
    }


def write_signature(folder: Path, kind: str, bundle: Bundle, towers: Mapping[Side, Mapping[str, Any]]) -> None:
    """Writes ``signature.json``: what the towers are, where they come from, what they take and what was measured."""
    created = datetime.now().astimezone().isoformat(timespec="seconds")
    write_json(folder / SIGNATURE, {"format": kind, "created": created, **origin(bundle), "towers": towers})


def write_assets(folder: Path, bundle: Bundle, towers: TwoTower, inputs: tuple[Input, ...], side: Side) -> dict[str, Any]:
    """Writes what turns raw values into a graph's inputs; returns by side how its texts become token ids."""
    shutil.copyfile(bundle.folder / FEATURIZER, folder / FEATURIZER)
    if towers.item_text is not None and any(each.part == "vectors" for each in inputs):
        np.save(folder / ITEM_TEXT, towers.item_text.float().cpu().numpy())
    texts = [each for each in inputs if each.kind is Kind.TEXT and each.part == "ids"]
    sides: list[Side] = [side] if any(each.history is None for each in texts) else []
    sides += ["item"] if any(each.history is not None for each in texts) else []
    return {name: _tokenizer(folder, name, towers.tokenizers[name]) for name in sides}


def _tokenizer(folder: Path, side: Side, tokenizer: Tokenizer) -> dict[str, Any]:
    about: dict[str, Any] = {"class": f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}"}
    if isinstance(tokenizer, Saved):
        about["folder"] = f"{side}_tokenizer"
        tokenizer.save(folder / about["folder"])
    known = ("prompt", "max_length", "buckets", "max_words")
    return about | {name: getattr(tokenizer, name) for name in known if hasattr(tokenizer, name)}
