"""Half of the positives hidden: in-batch negatives, mined ones as they come, and mined ones that are filtered (shape of RocketQA).

Each page of tldr is cut in two passages, both of which answer the questions on it. Of every question one passage, drawn by the seed of
the data, is known; the other is hidden, and is what a miner finds first. The test asks training questions for what was hidden.
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
MINED = ("negatives=mined", "negatives.per_query=2", "negatives.top=30", "negatives.last=10")
ARMS = {
    "in-batch": (),
    "mined, raw": (*MINED, "negatives.margin=null"),
    "mined, filtered": (*MINED, "negatives.margin=0.8"),
}
EPOCHS = 4
TESTED = 3000
"""Hidden positives that are looked for."""


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("study_false_negatives needs --data DIR, the folder that holds tldr/ in the BEIR layout")
    folder = hidden(given.data / "tldr", outputs() / "benchmarks" / "study_false_negatives")
    base = (
        *("data=beir", f"data.path={folder}", "evaluate.exclude_seen=true"),
        *("tower=static", "train.batch_size=128", f"train.max_epochs={EPOCHS}", "train.patience=null"),
    )
    seeds = (1, 2) if given.quick else (1, 2, 3, 4, 5)
    study = Study(name="study_false_negatives", data={"tldr": Set("ndcg@10", base)}, arms=ARMS, seeds=seeds)
    report(study, study.run())


def hidden(source: Path, folder: Path) -> Path:
    """The data set of passages, in the BEIR layout."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "qrels").mkdir(parents=True)
    texts, random = Texts.read(source), Random(SEED)
    shutil.copyfile(source / "queries.jsonl", folder / "queries.jsonl")
    passages: dict[str, list[str]] = {}
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for line in (source / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
            page = json.loads(line)
            for number, text in enumerate(halves(page["text"])):
                passages.setdefault(page["_id"], []).append(f"{page['_id']}/{number}")
                file.write(json.dumps({"_id": passages[page["_id"]][-1], "title": page["title"], "text": text}) + "\n")
    judged: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for query, page in sorted(texts.pairs("train")):
        known, *hidden_ones = random.sample(passages[page], len(passages[page]))
        judged["train"].append(f"{query}\t{known}\t1")
        judged["test"] += [f"{query}\t{passage}\t1" for passage in hidden_ones]
    judged["dev"] = [f"{query}\t{random.choice(passages[page])}\t1" for query, page in sorted(texts.pairs("dev"))]
    judged["test"] = sorted(random.sample(judged["test"], TESTED))
    for part, rows in judged.items():
        (folder / "qrels" / f"{part}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows, ""]), encoding="utf-8")
    return folder


def halves(text: str) -> list[str]:
    """What the page is about, with the commands at even places and with those at odd ones; one passage where there is one command."""
    about, _, listed = text.partition(". ")
    commands = listed.split(" ; ")
    return [f"{about}. {' ; '.join(commands[start::2])}" for start in range(min(2, len(commands)))]


if __name__ == "__main__":
    main()
