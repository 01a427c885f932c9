"""Half of the positives hidden: in-batch negatives, mined ones as they come, and mined ones that are filtered (shape of RocketQA).

Pages of tldr stand in ten versions, every one of which leaves out other words, and all of which answer the questions on the page. Of every
question five versions, drawn by the seed of the data, are known; the other five are hidden, and are what a miner finds first among its
eight best. The test asks other questions, for which all ten versions are right. The loss is uncorrected, as in RocketQA: the logQ of
``sampled_softmax`` weighs a mined negative, which is sure to be drawn, far less than one in a batch, and so hides the harm.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

from beir_files import Texts
from common import arguments, outputs
from grid import Set, Study, report

SEED = 0
PAGES, VERSIONS, KEPT = 1000, 10, 0.8
"""Pages that are taken, versions of each, and the share of its words that a version keeps."""
MINED = ("negatives=mined", "negatives.per_query=1")
ARMS = {
    "in-batch": (),
    "mined, raw": (*MINED, "negatives.last=8", "negatives.margin=null"),
    "mined, filtered": (*MINED, "negatives.margin=0.8"),
}
EPOCHS = 4
BATCH = 64
"""Batch, margin and negatives of each query were compared on the validation questions. In a batch of 256 negatives are hard enough for this
catalogue of 1,000 pages: mined ones, filtered or not, add nothing there."""


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("study_false_negatives needs --data DIR, the folder that holds tldr/ in the BEIR layout")
    folder = hidden(given.data / "tldr", outputs() / "benchmarks" / "study_false_negatives")
    base = (
        *("data=beir", f"data.path={folder}", "tower=static", "loss=infonce"),
        *(f"train.batch_size={BATCH}", f"train.max_epochs={EPOCHS}", "train.patience=null"),
    )
    seeds = (1, 2) if given.quick else (1, 2, 3, 4, 5)
    study = Study(name="study_false_negatives", data={"tldr": Set("ndcg@10", base)}, arms=ARMS, seeds=seeds)
    report(study, study.run())


def hidden(source: Path, folder: Path) -> Path:
    """The data set of versions, in the BEIR layout."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "qrels").mkdir(parents=True)
    texts, random = Texts.read(source), Random(SEED)
    shutil.copyfile(source / "queries.jsonl", folder / "queries.jsonl")
    pages = sorted({page for _, page in texts.pairs("train")})
    chosen = set(random.sample(pages, PAGES))
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for line in (source / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
            page = json.loads(line)
            for number in range(VERSIONS) if page["_id"] in chosen else ():
                words = [word for word in page["text"].split() if random.random() < KEPT]
                file.write(json.dumps({"_id": f"{page['_id']}/{number}", "title": "", "text": " ".join(words)}) + "\n")
    for part, known in (("train", VERSIONS // 2), ("dev", VERSIONS), ("test", VERSIONS)):
        pairs = [pair for pair in sorted(texts.pairs(part)) if pair[1] in chosen]
        rows = [f"{query}\t{page}/{number}\t1" for query, page in pairs for number in random.sample(range(VERSIONS), known)]
        (folder / "qrels" / f"{part}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows, ""]), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
