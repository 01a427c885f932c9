"""Our side of ``mining.py`` as a worker: texts in, a pool of hard negatives out, by the miner that trains, when told."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ours_text import towers_of
from paced import answer

from tt_hydra.data.beir import Beir
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.prepare import prepare
from tt_hydra.index.build import build_index
from tt_hydra.negatives.mined import Mined
from tt_hydra.negatives.pool import allowed
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.train.mining import Miner
from tt_hydra.train.precision import resolve_precision


def main(told: dict[str, Any], folder: Path) -> None:
    prepare(Beir(path=told["data"], valid_share=0.0).read(), seed=42, folder=folder / "data")
    dataset = Dataset.load(folder / "data")
    towers = towers_of(dataset, told["max_length"])
    spec = Mined(per_query=told["negatives"], top=told["top"], last=told["top"], margin=1 - told["margin"])
    for number, _ in enumerate(sys.stdin):
        start, cpu = time.perf_counter(), time.process_time()
        miner = Miner(
            dataset=dataset.tokenized(towers.tokenizers),
            sampler=spec.fit(dataset.training_view()),
            build_index=partial(build_index, spec.index, NoQuantization(), metric=towers.metric, seed=0),
            folder=folder / str(number),
            precision=resolve_precision("auto", "cpu", large_matrices=True),
        )
        pool, _ = miner.pool(towers, miner.key(towers))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        rows = _chosen(dataset, miner, pool, told["negatives"])
        Path(told["found"]).write_text(json.dumps(rows), encoding="utf-8")
        answer(done=1, seconds=seconds, cpu_s=cpu)


def _chosen(dataset: Dataset, miner: Miner, pool: Any, count: int) -> list[tuple[str, str]]:
    """(query id, document id) of the best negatives of every training pair that keep the margin."""
    rule, view, train = miner.sampler.spec.rule(), dataset.training_view(), dataset.train
    owner, place = pool.between(view.questions, rule.first, rule.last)
    positives = pool.positives_of(view.questions, train.item_rows)
    free = allowed(pool.scores[place], positives[owner], rule)
    owner, place = owner[free], place[free]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    owner, place = owner[rank < count], place[rank < count]
    queries, items = dataset.query_ids.to_list(), dataset.item_ids.to_list()
    rows = pool.candidates.values[place].tolist()
    return [(queries[query], items[row]) for query, row in zip(train.query_rows[owner].tolist(), rows, strict=True)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(json.loads(sys.argv[1]), Path(folder))
