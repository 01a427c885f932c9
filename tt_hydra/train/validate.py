"""Retrieval quality of the towers on validation queries: exact search over the whole catalogue, at any moment of the training."""

from __future__ import annotations

import logging

import numpy as np

from tt_hydra.data.dataset import Dataset
from tt_hydra.data.parts import EvalPart
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.ranking import TEN, evaluate_ranking
from tt_hydra.negatives.pool import pair_keys
from tt_hydra.tower.autocast import Precision
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.encode import embed_items, embed_queries
from tt_hydra.train.rank import is_follower
from tt_hydra.train.shards import in_order_of_all

logger = logging.getLogger(__name__)


def tell_hidden(part: EvalPart) -> None:
    """Warns where validation asks for items that the query had before and that are left out for it: no model can find them."""
    size = int(max(part.relevant.values.max(initial=0), part.seen.values.max(initial=0))) + 1
    wanted, had = (pair_keys(each, size) for each in (part.relevant, part.seen))
    if hidden := int(np.isin(wanted, had).sum()):
        logger.warning(
            "%d of the %d items that validation asks for are items that the query already had; evaluate.exclude_seen=true leaves them "
            "out, so that they cannot be found: set evaluate.exclude_seen=false, or data.interactions.repeats=learn "
            "to ask only for what is new",
            hidden, len(wanted),
        )  # fmt: skip


def validation_figures(
    towers: TwoTower, dataset: Dataset, *, exclude_seen: bool, batch_size: int, precision: Precision
) -> dict[str, float]:
    """``valid/model/recall@10`` and its fellows at cutoff 10; the cache of the items' texts must be fresh.

    Under several ranks all of them embed, each its share, and the first one searches; the others get no figures.
    """
    part = dataset.eval_part("valid")
    queries = embed_queries(towers, dataset, "valid", batch_size, precision, in_order_of_all)
    items = embed_items(towers, dataset, batch_size, precision, in_order_of_all)
    if is_follower():
        return {}
    result = exact_search(queries, items, TEN.deepest, towers.metric, exclude=part.seen if exclude_seen else None)
    figures = evaluate_ranking(result, part.relevant, part.gains, cutoffs=TEN)
    return {f"valid/model/{name}": value for name, value in figures.means.items()}
