"""Retrieval quality of the towers on validation queries: exact search over the whole catalogue, at any moment of the training."""

from __future__ import annotations

from tt_hydra.data.dataset import Dataset
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.ranking import Cutoffs, evaluate_ranking
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.encode import embed_items, embed_queries
from tt_hydra.train.precision import Precision
from tt_hydra.train.rank import is_follower
from tt_hydra.train.shards import in_order_of_all

CUTOFFS = Cutoffs(recall=(10,))


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
    result = exact_search(queries, items, CUTOFFS.deepest, towers.metric, exclude=part.seen if exclude_seen else None)
    figures = evaluate_ranking(result, part.relevant, part.gains, cutoffs=CUTOFFS)
    return {f"valid/model/{name}": value for name, value in figures.means.items()}
