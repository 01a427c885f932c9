"""A small study as a process: what it says, its report, and a log of curves for each training."""

from __future__ import annotations

import re

from pages import Page

from tt_hydra.config.arguments import quote


def test_a_study_tells_of_each_trial_and_leaves_a_report(command):
    line = command("logger=csv", "sweep.name=mine", "sweep.final=false", "sweep.sampler=random", "sweep.pruner=none", "train.max_epochs=2")
    line = type(line)(line.folder, ["--multirun", *line.overrides, "index=choice(flat,ivf,hnsw)", "embedding_dim=choice(8,16)"])
    done = line.run("hydra.sweeper.n_trials=5", f"runtime.outputs={quote(str(line.outputs))}")
    assert done.status == 0, done.err
    told = re.findall(r"trial (\d) complete: valid/index/recall@10 \d", done.err)
    assert told == ["0", "1", "2", "3", "4"]
    assert "epoch 0" not in done.err, "lines of a trial stay in its log"
    folder = line.outputs / "sweep" / "mine"
    assert done.out.strip().splitlines()[-1] == str(folder / "sweep.html")
    page = Page((folder / "sweep.html").read_text(encoding="utf-8"))
    assert page.sections()[:2] == ["headline", "best"]
    assert "5 complete" in page.text
    assert "it takes 6 complete trials to tell what mattered, there are 5" in page.text
    trained = {path.parent.name for path in folder.glob("*/csv")}
    reports = [(path.parent.name, path.read_text(encoding="utf-8")) for path in folder.glob("*/run.log")]
    assert trained == {name for name, text in reports if "train ..." in text}
    assert 1 <= len(trained) <= 2, "a dimension is trained once"
