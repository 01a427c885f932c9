"""MovieLens-100K, leave-last-one-out: ours (a default run and the best one) and four peers on one split, judged by one piece of code.

The arms of ours are means over seeds: 5 each; with --quick 1 of the default run and 3 of the best one.
"""

from __future__ import annotations

import numpy as np
from common import arguments, outputs, run_peer
from ranked import judge, ours, report, write_split

from tt_hydra.data.movielens import MovieLens

METRICS = ("recall@10", "ndcg@10")
PEERS = ("popularity", "bpr", "als", "ease")
FIRST_SEED = 42


def main() -> None:
    quick = arguments(__doc__).quick
    folder = outputs() / "benchmarks" / "movielens"
    folder.mkdir(parents=True, exist_ok=True)
    dataset = write_split(MovieLens().read(), folder)
    run_peer("collaborative.py", str(folder / "split.npz"), str(folder), *PEERS)
    results = {f"peer/{peer}": judge(dataset, np.load(folder / f"{peer}.npy")) for peer in PEERS}
    arms = {"ours": ([], 1 if quick else 5), "ours/best": (["experiment=movielens_best"], 3 if quick else 5)}
    for arm, (overrides, count) in arms.items():
        seeds = range(FIRST_SEED, FIRST_SEED + count)
        results[arm] = ours(dataset, f"movielens-{arm.replace('/', '-')}", overrides, seeds, METRICS)
    report("movielens", "MovieLens-100K, leave-last-one-out, test, 95% bootstrap intervals by user", results, METRICS, "ours/best")


if __name__ == "__main__":
    main()
