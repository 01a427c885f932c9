"""Gowalla check-ins, the split of NGCF and LightGCN, dimension 64: ours, popularity and item-kNN in one run, beside published figures.

--data: folder that holds ``gowalla_lightgcn/interactions.parquet`` (user_id, item_id, split). A full run is one training of
``experiment=gowalla``, within an hour on 2 cores; --quick learns from a quarter of the pairs.
"""

from __future__ import annotations

import sys

import numpy as np
from common import arguments, outputs, run_peer, table
from ranked import judge, ours, report, write_split

from tt_hydra.data.table import Table

METRICS = ("recall@20",)
PEERS = ("popularity", "knn")
PUBLISHED = [
    ("MF-BPR", ".1291", "Wang et al., NGCF, SIGIR 2019"),
    ("NGCF", ".1570", "quoted in the code of Mao et al., SimpleX, CIKM 2021"),
    ("LightGCN", ".1830", "He et al., LightGCN, SIGIR 2020"),
    ("UltraGCN", ".1862", "Mao et al., UltraGCN, CIKM 2021"),
    ("MF-CCL", ".1837", "Mao et al., SimpleX, CIKM 2021"),
    ("SimpleX", ".1872", "Mao et al., SimpleX, CIKM 2021"),
]
"""Recall@20 on the same split as printed; measured by nobody here. Checked where the papers are quoted: the first by a reader who asks its
authors at xiangwang1223/neural_graph_collaborative_filtering ("About the performence of some baseline"), the others in the table "Results
on Gowalla" of matching/cf/SimpleX/README.md in reczoo/RecZoo, the code of SimpleX and UltraGCN.
"""


def main() -> None:
    told = arguments(__doc__)
    if told.data is None:
        sys.exit("--data is missing: the folder that holds gowalla_lightgcn/")
    data = (told.data / "gowalla_lightgcn").resolve()
    folder = outputs() / "benchmarks" / "gowalla"
    folder.mkdir(parents=True, exist_ok=True)
    interactions = {"path": "interactions.parquet", "split": "split"}
    dataset = write_split(Table(path=str(data), interactions=interactions, split={"kind": "given"}).read(), folder)
    run_peer("collaborative.py", str(folder / "split.npz"), str(folder), *PEERS)
    results = {f"peer/{peer}": judge(dataset, np.load(folder / f"{peer}.npy")) for peer in PEERS}
    overrides = ["experiment=gowalla", f"data.path={data}", *(["train.epoch_pairs=200000", "train.max_epochs=1"] if told.quick else [])]
    results["ours"] = ours(dataset, "gowalla-quick" if told.quick else "gowalla", overrides, [42], METRICS)
    table("Published recall@20 on this split, not measured here", ["", "recall@20", "source"], [list(row) for row in PUBLISHED])
    report("gowalla", "Gowalla, recall@20 on test, 95% bootstrap intervals by user", results, METRICS, "ours")


if __name__ == "__main__":
    main()
