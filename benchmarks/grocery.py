"""Grocery purchases (complete_journey): products that a household buys for the first time in the last month of the year.

One split by time for all households; ours, popularity, item-kNN, implicit ALS and SASRec with cross-entropy (RecTools). All but SASRec
are tuned on the month before and then fitted with it. --data: folder that holds ``complete_journey/``. Ours is a mean over 3 seeds; with
--quick it is one, and it and SASRec train for 2 epochs alone.
"""

from __future__ import annotations

import sys

import numpy as np
from common import arguments, outputs, run_peer
from ranked import judge, ours, report, write_split

from tt_hydra.data.table import Table

METRICS = ("recall@20", "recall@10", "ndcg@10")
PEERS = ("popularity", "knn", "als_small")
FITTED = ("data.split.learn_from=2017-10-01", "data.split.valid_from=null", "data.valid_share=0")
"""Ours learns from the two months before the test, as it did from the two before validation when it was tuned."""
SPLIT = {"kind": "temporal", "valid_from": "2017-11-01", "test_from": "2017-12-01"}


def main() -> None:
    told = arguments(__doc__)
    if told.data is None:
        sys.exit("--data is missing: the folder that holds complete_journey/")
    data = (told.data / "complete_journey").resolve()
    folder = outputs() / "benchmarks" / "grocery"
    folder.mkdir(parents=True, exist_ok=True)
    interactions = {"path": "interactions.parquet", "time": "timestamp", "repeats": "first"}
    source = Table(
        path=str(data), interactions=interactions, queries={"path": "users.parquet"}, items={"path": "items.parquet"}, split=SPLIT
    )
    dataset = write_split(source.read(), folder)
    run_peer("collaborative.py", str(folder / "split.npz"), str(folder), *PEERS)
    run_peer("sasrec.py", str(folder / "split.npz"), str(folder), "2" if told.quick else "10")
    results = {f"peer/{peer}": judge(dataset, np.load(folder / f"{peer}.npy")) for peer in (*PEERS, "sasrec")}
    overrides = ["experiment=grocery", f"data.path={data}", *FITTED, *(["train.max_epochs=2"] if told.quick else [])]
    results["ours"] = ours(dataset, "grocery-quick" if told.quick else "grocery", overrides, [42] if told.quick else [42, 43, 44], METRICS)
    report("grocery", "Grocery, first purchases of the last month, test, 95% bootstrap intervals by household", results, METRICS, "ours")


if __name__ == "__main__":
    main()
