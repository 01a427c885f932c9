"""A space for people in a hurry: what is worth searching on this data, and where the search starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SMALL_CATALOGUE = 20_000
"""Items up to which a softmax over all of them is cheap enough to be tried."""
FEW_PAIRS = 20_000
"""Training pairs up to which wide vectors overfit sooner than they help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataProfile:
    """What of a data set decides on a space.

    Attributes:
        items: of the catalogue.
        pairs: of the training part.
        only_text: whether the queries and the items are texts and nothing else.
        history: whether queries have one.
        vectors: whether the vectors were given, so that nothing is trained.
    """

    items: int
    pairs: int
    only_text: bool
    history: bool
    vectors: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A search.

    Attributes:
        space: searched keys as in ``sweep.space``.
        fixed: overrides that all trials share.
        starts: values by key of the first trials; a key that is left out is drawn.
        reasons: why, by key; for the log.
        objectives: what to aim at instead of the usual, which the data has no labels for; empty where it has.
    """

    space: Mapping[str, Any]
    fixed: tuple[str, ...]
    starts: tuple[Mapping[str, Any], ...]
    reasons: Mapping[str, str]
    objectives: tuple[str, ...] = ()


def propose(profile: DataProfile) -> Proposal:
    """The search for a data set.

    Each training is followed by a search over indexes (``index=auto``, which the sweep fixes) that costs seconds: how vectors are stored
    and searched is chosen there. The first trial has the values that a plain run has, so a study never ends with less than those.
    """
    if profile.vectors:
        reasons = {
            "index": "the vectors are given: only the index is searched",
            "sweep.objectives": "there are no labels: what the index finds of the exact answer",
        }
        return Proposal(space={}, fixed=(), starts=({},), reasons=reasons, objectives=("valid/ann/recall@10",))
    return _of_text(profile) if profile.only_text else _of_features(profile)


def _of_text(profile: DataProfile) -> Proposal:
    if not profile.pairs:
        reasons = {"train": "there are no training pairs: the pretrained encoder is measured as it is"}
        return Proposal(space={}, fixed=("tower=bert", "train.max_epochs=0"), starts=({},), reasons=reasons)
    trained = {"train.max_epochs": ["1", "2", "4"]}
    space = {
        "train.max_epochs": "choice(0,1,2,4)",
        "temperature.start": {"values": "tag(log, interval(0.02,0.1))", "when": trained},
        "optimizer.lr": {"values": "tag(log, interval(0.0005,0.01))", "when": trained},
    }
    reasons = {
        "tower": "queries and items are texts and nothing else: a pretrained encoder",
        "train.max_epochs": f"0 is the encoder as it is, which {profile.pairs:,} pairs may or may not better",
        "temperature.start": "how much the hardest negatives count",
        "optimizer.lr": "the encoder takes a part of it",
    }
    starts = ({"train.max_epochs": "0"}, {"train.max_epochs": "2", "temperature.start": 0.05, "optimizer.lr": 0.003})
    return Proposal(space=space, fixed=("tower=bert",), starts=starts, reasons=reasons)


def _of_features(profile: DataProfile) -> Proposal:
    exact = profile.items <= SMALL_CATALOGUE
    negatives = ("in_batch", "catalogue") if exact else ("in_batch", "mixed")
    widths = (32, 64) if profile.pairs <= FEW_PAIRS else (64, 128)
    space: dict[str, Any] = {
        "temperature.start": "tag(log, interval(0.03,0.3))",
        "optimizer.lr": "tag(log, interval(0.001,0.02))",
        "negatives": f"choice({','.join(negatives)})",
        "tower.dropout": "interval(0.0,0.5)",
        "embedding_dim": f"choice({','.join(map(str, widths))})",
    }
    why = "a softmax over all of them is cheap" if exact else "some drawn from all of them beside the batch"
    reasons = {
        "temperature.start": "how much the hardest negatives count",
        "optimizer.lr": "the peak rate",
        "negatives": f"{profile.items:,} items: {why}",
        "tower.dropout": f"{profile.pairs:,} training pairs",
        "embedding_dim": "wide vectors fit more and overfit sooner",
    }
    start = {"temperature.start": 0.07, "optimizer.lr": 0.003, "negatives": "in_batch", "tower.dropout": 0.1, "embedding_dim": "64"}
    if profile.history:
        space["pooling@history_pooling"] = "choice(mean,weighted_mean)"
        start["pooling@history_pooling"] = "mean"
        reasons["pooling@history_pooling"] = "weighted_mean lets recent events count for more"
    return Proposal(space=space, fixed=(), starts=(start,), reasons=reasons)
