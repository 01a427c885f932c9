"""logQ: left out, with the wrong sign, right, right but for the positive, and with mixed negatives (shape of Yi et al. 2019, table 2)."""

from __future__ import annotations

from common import arguments
from grid import Set, Study, report

MIXED = ("negatives=mixed", "negatives.num_negatives=512", "negatives.never_taken=true")
ARMS = {
    "right": (),
    "off": ("loss=infonce",),
    "wrong sign": ("loss._target_=wrong_sign.WrongSign", "~loss.positive", "runtime.allow_targets=[wrong_sign]"),
    "right, positive left out": ("loss.positive=left_out",),
    "mixed, off": ("loss=infonce", *MIXED),
    "mixed, right": MIXED,
}


def main() -> None:
    given = arguments(__doc__)
    base = ("train.max_epochs=6", "train.patience=null", "train.batch_size=1024")
    study = Study(
        name="study_logq",
        data={"movielens": Set("recall@10", base)},
        arms=ARMS,
        seeds=(1, 2) if given.quick else (1, 2, 3, 4, 5),
    )
    report(study, study.run())


if __name__ == "__main__":
    main()
