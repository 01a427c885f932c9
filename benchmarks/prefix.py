"""What a shorter dimension costs on MovieLens: a prefix of nested (loss=matryoshka) vectors against vectors trained at that width.

Both sides are exact search over the catalogue, on the test queries: the prefix through a flat index with prefix_dim, which trains nothing.
3 seeds; with --quick 1.
"""

from __future__ import annotations

from common import arguments, finish, table
from grid import Set, Study, by_query

from tt_hydra.metrics.significance import difference_interval

METRIC = "recall@10"
WHOLE, DIMS = 64, (32, 16)
NESTED = ("loss=matryoshka", f"loss.dims={list(DIMS)}", f"embedding_dim={WHOLE}")
ARMS = {
    f"native {WHOLE}": (f"embedding_dim={WHOLE}",),
    f"nested {WHOLE}": NESTED,
    **{f"native {dim}": (f"embedding_dim={dim}",) for dim in DIMS},
    **{f"nested {dim}": (*NESTED, f"prefix_dim={dim}") for dim in DIMS},
}


def main() -> None:
    seeds = (1,) if arguments(__doc__).quick else (1, 2, 3)
    study = Study(name="prefix", data={"movielens": Set(METRIC, (), of="index")}, arms=ARMS, seeds=seeds)
    found = study.run()
    figures, rows = {}, []
    for dim in (WHOLE, *DIMS):
        nested, native = (by_query(found, "movielens", f"{kind} {dim}") for kind in ("nested", "native"))
        difference = difference_interval(nested, native)
        figures |= {
            f"ours/nested/{dim}/{METRIC}": float(nested.mean()),
            f"ours/native/{dim}/{METRIC}": float(native.mean()),
            f"diff/{dim}/{METRIC}": difference.value,
            f"diff/{dim}/{METRIC}/ci_low": difference.low,
            f"diff/{dim}/{METRIC}/ci_high": difference.high,
            f"ratio/{METRIC}/{dim}": float(nested.mean() / native.mean()),
        }
        interval = f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
        rows.append([str(dim), f"{nested.mean():.4f}", f"{native.mean():.4f}", interval])
    title = f"MovieLens-100K, test {METRIC}, {len(seeds)} seed(s); difference: by query, mean over seeds, 95% bootstrap interval"
    table(title, ["dimensions", "one nested training", "trained at this width", "difference"], rows)
    finish("prefix", figures)


if __name__ == "__main__":
    main()
