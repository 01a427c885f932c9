"""A bridge: the query side of one model over the items and the index of another, until the first one's own index is built.

A bundle with a bridge is the bundle of the answering model with one more folder, ``bridge/``: ``bridge.json``, the fingerprints of both
models; ``map.npy``, which turns query vectors of the one into the space of the other; and of the asking model its towers, featurizer,
known queries and the catalogue that its histories read. The manifest names both models too, with what was measured of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tt_hydra.artifact.files import link_or_copy, write_json
from tt_hydra.artifact.model import ITEM_WEIGHTS, QUERY_WEIGHTS
from tt_hydra.contracts import FloatArray, Ragged
from tt_hydra.data.encoded import save_column
from tt_hydra.errors import BundleError

if TYPE_CHECKING:
    from tt_hydra.artifact.bundle import Bundle

BRIDGE = "bridge"
"""Its folder in a bundle, and the condition in the manifest that names both models."""
MAP, ABOUT, MODEL = "map.npy", "bridge.json", "model.json"
_PARTS = (QUERY_WEIGHTS, ITEM_WEIGHTS, "featurizer.json", "queries.parquet", "item_text.npy")
_FOLDERS = ("encoder/", "items/", "item_tokens/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bridge:
    """The two models of a bridge.

    Attributes:
        query: fingerprint of the model whose query tower asks.
        item: fingerprint of the model whose item tower made the index.
    """

    query: str
    item: str


def read_bridge(folder: Path, fingerprint: str, named: object) -> Bridge | None:
    """The bridge of a bundle; None for one without.

    Args:
        folder: of the bundle.
        fingerprint: of the model that made its item vectors, as the manifest says.
        named: what the manifest says of the bridge, None for nothing.

    Raises:
        BundleError: manifest and bridge do not name the same two models, or the bridge does not end at this index.
    """
    path = folder / BRIDGE / ABOUT
    if not path.exists() and named is None:
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        found = Bridge(query=about["query"], item=about["item"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} is missing or damaged ({error}): copy the bundle again, or build the bridge again") from error
    told = named if isinstance(named, dict) else {}
    if (told.get("query"), told.get("item")) != (found.query, found.item) or found.item != fingerprint:
        raise BundleError(
            f"{path} is a bridge from model {found.query} to {found.item}, but the manifest names one from {told.get('query')} to "
            f"{told.get('item')}, and the index is of model {fingerprint}. A query tower never searches an index of another item tower "
            "unless a bridge names both"
        )
    return found


def write_bridge(folder: Path, asking: Bundle, answering: Bundle, turn: FloatArray, taken: Ragged) -> None:
    """Writes the parts of a bridged bundle into a folder that does not exist yet, all but its manifest and its reference.

    Args:
        folder: where to.
        asking: the bundle whose query tower shall ask.
        answering: the bundle that shall answer.
        turn: ``(dim of asking, dim of answering)``.
        taken: by known query of ``asking`` the rows of its items in the index of ``answering``.
    """
    for name in answering.manifest.files:
        if not name.startswith("reference/"):
            link_or_copy(answering.folder / name, folder / name)
    target = folder / BRIDGE
    for name in asking.manifest.files:
        if name in _PARTS or name.startswith(_FOLDERS):
            link_or_copy(asking.folder / name, target / name)
    save_column(target, "taken", taken)
    np.save(target / MAP, turn.astype(np.float32))
    write_json(target / MODEL, asking.manifest.model)
    write_json(target / ABOUT, {"query": asking.manifest.model_fingerprint, "item": answering.manifest.model_fingerprint})
