"""SASRec with cross-entropy over the catalogue (Kang and McAuley 2018; Klenitskiy and Vasilev 2023), as RecTools has it.

Fitted on training + validation. A catalogue of tens of thousands makes each step dear, so items with fewer than 5 pairs are left out,
which is no loss to a model of item ids.

Usage: sasrec.py SPLIT.npz FOLDER EPOCHS. Reads what ``collaborative.py`` reads, pairs of a query in the order of their times; writes
``sasrec.npy``: for each query the 100 best items that it did not have in training or validation, -1 for none.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

DEPTH = 100
LEAST_PAIRS = 5


def main() -> None:
    warnings.filterwarnings("ignore")
    split, folder, epochs = np.load(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    pairs = np.concatenate([split["train"], split["valid"]])
    counts = np.bincount(pairs[:, 1], minlength=int(split["items"]))
    times = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(pairs)), unit="s")
    frame = pd.DataFrame({Columns.User: pairs[:, 0], Columns.Item: pairs[:, 1], Columns.Weight: 1.0, Columns.Datetime: times})
    dataset = Dataset.construct(frame[counts[pairs[:, 1]] >= LEAST_PAIRS])
    model = SASRecModel(
        n_factors=64, n_heads=2, session_max_len=100, loss="softmax", batch_size=16, epochs=epochs, recommend_torch_device="cpu"
    )
    model.fit(dataset)
    found = model.recommend(
        users=np.unique(frame[Columns.User]), dataset=dataset, k=DEPTH, filter_viewed=True, on_unsupported_targets="ignore"
    )
    rows = np.full((int(split["queries"]), DEPTH), -1, np.int64)
    rows[found[Columns.User], found[Columns.Rank] - 1] = found[Columns.Item]
    np.save(folder / "sasrec.npy", rows)


if __name__ == "__main__":
    main()
