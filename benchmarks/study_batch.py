"""Batch size x hard negatives, questions for command-line pages (shape of DPR's table 3): in-batch alone, and with one or four of BM25."""

from __future__ import annotations

from common import arguments
from grid import Set, Study, report

SIZES, QUICK_SIZES = (8, 32, 128, 512), (32, 128, 512)
HARD = {"in-batch": (), "1 bm25": ("negatives=bm25",), "4 bm25": ("negatives=bm25", "negatives.per_query=4")}


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("study_batch needs --data DIR, the folder that holds tldr/ in the BEIR layout")
    sizes, hard = (QUICK_SIZES, list(HARD)[:2]) if given.quick else (SIZES, list(HARD))
    base = ("data=beir", f"data.path={given.data / 'tldr'}", "tower=static", "train.max_epochs=3", "train.patience=null")
    arms = {f"{size}, {name}": (f"train.batch_size={size}", *HARD[name]) for size in sizes for name in hard}
    study = Study(name="study_batch", data={"tldr": Set("ndcg@10", base)}, arms=arms, seeds=(1, 2) if given.quick else (1, 2, 3))
    report(study, study.run())


if __name__ == "__main__":
    main()
