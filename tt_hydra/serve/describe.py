"""What a served version takes, and what a registry holds, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import polars as pl

from tt_hydra.artifact.registry import Registry
from tt_hydra.data.encoders import Bucketed, Categorical, Encoder, Multi, Numeric, Text, Time
from tt_hydra.data.schema import TEXT
from tt_hydra.serve.served import Served
from tt_hydra.serve.settings import Limits

SHOWN_VALUES, EXAMPLES = 200, 5
KINDS = {Categorical: "categorical", Multi: "multi", Numeric: "numeric", Bucketed: "numeric", Time: "time", Text: "text"}


def versions(registry: Registry) -> dict[str, Any]:
    """The versions of a registry, oldest first."""
    return {
        "current": registry.current,
        "previous": registry.previous,
        "versions": [
            {
                "version": each.number,
                "created": each.manifest.created,
                "items": each.manifest.num_items,
                "model": each.manifest.model_fingerprint,
                "metric": each.manifest.metric,
                "dim": each.manifest.dim,
                "index": dict(each.manifest.index),
                "measured": dict(each.manifest.measured),
            }
            for each in registry.versions()
        ],
    }


def schema(served: Served, limits: Limits) -> dict[str, Any]:
    """What queries and items of a version consist of, its search parameters and the limits of a request."""
    bundle = served.retriever.bundle
    featurizer, known = bundle.featurizer, bundle.queries["id"]
    texts = [each.name for each in (*featurizer.queries, *featurizer.context) if isinstance(each, Text)]
    encoders = {each.name: each for each in featurizer.items}
    return {
        "query": {
            "text": served.has_towers and (TEXT in texts or len(texts) == 1),
            "known_ids": len(known) > 0,
            "example_ids": known.head(EXAMPLES).cast(pl.String).to_list(),
            "history": served.has_towers and featurizer.history > 0,
            "features": _features(featurizer.queries) if served.has_towers else [],
            "context": _features(featurizer.context) if served.has_towers else [],
        },
        "items": {
            "columns": [
                {"name": name, "type": str(kind), "kind": _kind(kind, encoders.get(name))} for name, kind in served.items.types.items()
            ],
            "title": bundle.manifest.title,
        },
        "search_params": {**served.retriever.index.search_params, **bundle.manifest.search_params},
        "limits": asdict(limits),
    }


def _features(encoders: Iterable[Encoder]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "kind": KINDS[type(each)], "values": list(getattr(each, "vocabulary", ()))[:SHOWN_VALUES]} for each in encoders
    ]


def _kind(kind: pl.DataType, encoder: Encoder | None) -> str:
    if encoder is not None:
        return KINDS[type(encoder)]
    if isinstance(kind, (pl.List, pl.Array)):
        return "multi"
    if kind.is_numeric():
        return "numeric"
    return "time" if kind.is_temporal() else "text"
