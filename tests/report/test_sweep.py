from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from pages import CHROMIUM, HOSTILE, Page, in_browser

from tt_hydra.contracts import Estimate, OperatingPoint
from tt_hydra.report.sweep import ranked_keys, render, write_sweep
from tt_hydra.report.sweep_lines import parallel
from tt_hydra.report.sweep_plots import history_specification, slice_specification
from tt_hydra.report.sweep_words import ending, mattered
from tt_hydra.sweep.importance import Importance
from tt_hydra.sweep.record import StudyRecord, TrialRecord

RECALL, SIZE = "valid/index/recall@10", "index/bytes_per_item"
STAGES = {"prepare": 0.0, "train": 10.0, "embed": 1.0}


def point(name, quality, p99, size, **more):
    return OperatingPoint(
        name=name,
        overrides=f"index={name}",
        family=name,
        quantization="none",
        dim=8,
        recall=Estimate(value=0.9, low=0.8, high=1.0),
        quality=quality,
        p50_ms=p99 / 3,
        p95_ms=p99 / 2,
        p99_ms=p99,
        bytes_per_item=size,
        build_s=1.0,
        **more,
    )


def complete(number, recall, size=64.0, **more):
    params = {"temperature.start": 0.01 * 10**number, "embedding_dim": 16 * (number + 1), "index": ["flat", "hnsw"][number % 2]}
    return TrialRecord(
        number=number,
        state="complete",
        **{
            "params": params,
            "overrides": [f"{key}={value}" for key, value in params.items()],
            "values": {RECALL: recall},
            "curve": [recall / 2, recall],
            "stages": STAGES,
            "reused": ["prepare"],
            "seconds": 11.0,
            "command": f"python -m tt_hydra seed={number}",
            "metrics": {RECALL: recall, "search/p99_ms": 0.1 + number, SIZE: size},
            **more,
        },
    )


TRIALS = [
    complete(0, 0.1),
    complete(1, 0.15, points=[point("hnsw", 0.15, 0.05, 70.0), point("slow", 0.16, 0.5, 80.0, meets=False)]),
    complete(2, 0.2, constraints={"latency_p99_ms": 0.25}),
    TrialRecord(number=3, state="pruned", params={"index": "flat"}, curve=[0.01, 0.02], error="two thirds were better", seconds=5.0),
    TrialRecord(number=4, state="failed", params={"index": "ivf"}, error="ConfigError: nlist"),
    TrialRecord(number=5, state="running", params={"index": "ivf"}, curve=[0.05, 0.06]),
]
STUDY = StudyRecord(
    name="temperature_dim",
    storage="journal",
    folder=Path("outputs/sweep/temperature_dim"),
    command="python -m tt_hydra --multirun sweep=temperature_dim",
    objectives={RECALL: "maximize"},
    best=[1],
    trials=TRIALS,
    limits="20 trials",
    stopped="20 trials",
)
IMPORTANCE = Importance(
    objective=RECALL, shares={"embedding_dim": 0.7, "index": 0.28, "temperature.start": 0.02}, method="fANOVA", trials=9
)
SECTIONS = ["headline", "best", "mattered", "history", "front", "slices", "parallel", "trials", "study"]


def page(record=STUDY, importances=(IMPORTANCE,)):
    return Page(render(record, importances))


def test_everything_in_order():
    found = page()
    assert found.sections() == SECTIONS
    assert found.plots() == [
        *("plot-importance-0", "plot-history-0", "plot-trainings", "plot-points"),
        *("plot-slice-0", "plot-slice-1", "plot-slice-2"),
    ]
    for expected in [
        "temperature_dim",
        "The study has ended: 20 trials.",
        "python -m tt_hydra --multirun sweep=temperature_dim",
        "python -m tt_hydra seed=1",
        "Trial 1: temperature.start = 0.1, embedding_dim = 32, index = hnsw.",
        "1 running, 3 complete, 1 pruned, 1 failed",
        "3 of 9: an earlier trial or run had made them",
        "33%",
        "two thirds were better",
        "ConfigError: nlist",
        "latency_p99_ms by 0.25",
        "passes a limit",
        "over budget",
        "outputs/sweep/temperature_dim/best.yaml",
        "optuna-dashboard journal",
    ]:
        assert expected in found.text, expected


def test_state_of_each_trial():
    badges = Counter(
        attributes["class"] for tag, attributes in page().tags if tag == "span" and (attributes.get("class") or "").startswith("badge")
    )
    # best: 1; failed, the limit that trial 2 passes, its index and one of trial 1 over the budget: bad; trials 0, 2, 3 and 5: plain
    assert badges == {"badge good": 1, "badge bad": 4, "badge": 4}


def test_what_mattered_in_a_sentence():
    (told,) = mattered(STUDY, [IMPORTANCE])
    assert told.startswith(
        f"embedding_dim mattered most for {RECALL}: 70% of what fANOVA can explain, then index (28%); the other key hardly"
    )
    # the best two of three trials are 2 and 1, with dimensions 48 and 32
    assert told.endswith("The best quarter of the trials has it from 32 to 48.")
    assert "1 of the 2 best trials have" in mattered(STUDY, [Importance(objective=RECALL, shares={"index": 1.0}, method="fANOVA")])[0]
    few = Importance(objective=RECALL, note="there are 2")
    assert mattered(STUDY, [few]) == [f"What mattered for {RECALL} cannot be told: there are 2."]


def test_keys_in_the_order_of_their_importance():
    assert ranked_keys(STUDY, [IMPORTANCE]) == ["embedding_dim", "index", "temperature.start"]
    assert ranked_keys(STUDY, []) == ["temperature.start", "embedding_dim", "index"]


def test_the_best_so_far_leaves_out_what_passes_a_limit():
    line, trials, others = history_specification(TRIALS[:3], RECALL, "maximize")["data"]
    assert (line["x"], line["y"]) == ([0, 1], [0.1, 0.15])
    assert (trials["x"], others["x"]) == ([0, 1], [2])
    down = history_specification([complete(0, 0.3), complete(1, 0.1), complete(2, 0.2)], RECALL, "minimize")["data"][0]
    assert down["y"] == [0.3, 0.1, 0.1]


def test_slices_by_the_kind_of_the_key():
    few = slice_specification(TRIALS[:3], "embedding_dim", RECALL)
    assert few["layout"]["xaxis"]["categoryarray"] == ["16", "32", "48"]
    many = slice_specification([complete(number, 0.1) for number in range(9)], "temperature.start", RECALL)
    assert many["layout"]["xaxis"]["type"] == "log"
    assert many["data"][0]["meta"]["shares"][-1] == 1.0
    names = slice_specification(TRIALS[:3], "index", RECALL)
    assert names["data"][0]["x"] == ["flat", "hnsw", "flat"]


def test_lines_of_parallel_coordinates():
    found = Page(parallel(STUDY, ["embedding_dim", "index", "absent"]))
    lines = [attributes for tag, attributes in found.tags if tag == "polyline"]
    # three axes 150 apart; trial 0 has the lowest dimension, the first of two names and the lowest recall
    assert "85,340.0 235,340.0 385,340.0" in [line["points"] for line in lines]
    assert [line.get("class") for line in lines].count("best") == 1
    assert {line["style"] for line in lines} == {"--share:0%", "--share:50%", "--share:100%"}
    assert parallel(replace(STUDY, trials=TRIALS[:1]), ["index"]) == ""


def test_two_objectives():
    trials = [replace(trial, values={RECALL: trial.values[RECALL], SIZE: 64.0}) for trial in TRIALS[:3]]
    found = page(replace(STUDY, trials=trials, objectives={RECALL: "maximize", SIZE: "minimize"}, best=[1, 0]))
    assert "plot-objectives-0" in found.plots()
    assert "plot-history-1" in found.plots()
    assert "2 trials are on the front" in found.text


@pytest.mark.parametrize(
    ("trials", "told"),
    [
        ([], "No trial was completed: no trial yet."),
        (TRIALS[3:4], "No trial was completed: 1 pruned. The last error: two thirds were better"),
        (TRIALS[4:5], "The last error: ConfigError: nlist"),
        (TRIALS[5:6], "No trial was completed: 1 running."),
        (TRIALS[2:3], "None of the 1 complete trials keeps the limits"),
        (TRIALS[:1], "No trial was completed"),
    ],
)
def test_studies_without_a_winner_or_without_anything(trials, told):
    best = [0] if trials == TRIALS[:1] else []
    found = page(replace(STUDY, trials=trials, best=best, stopped=""), [Importance(objective=RECALL, note="there are few")])
    assert (told in found.text) == (not best)
    assert {"headline", "best", "study"} <= set(found.sections())
    assert "The study has not ended; it will after 20 trials." in found.text


def test_no_trial_needs_no_plotly():
    assert len(render(replace(STUDY, trials=[], best=[]))) < 100_000
    assert ending(replace(STUDY, stopped="", limits="")) == "The study has not ended."


def test_many_keys_share_a_column():
    params = {f"key{number}": number for number in range(9)}
    found = page(replace(STUDY, trials=[replace(TRIALS[0], params=params)], best=[0]))
    assert "key0=0 key1=1" in found.text


def test_hostile_texts_stay_texts():
    trial = replace(
        TRIALS[1],
        params={HOSTILE: HOSTILE},
        overrides=[HOSTILE],
        values={HOSTILE: 0.5},
        constraints={HOSTILE: 1.0},
        command=HOSTILE,
        error=HOSTILE,
        reused=[HOSTILE],
        folder=Path(HOSTILE),
        points=[point(HOSTILE, 0.5, 1.0, 2.0), point(HOSTILE, 0.4, 1.0, 2.0)],
    )
    record = replace(
        STUDY,
        name=HOSTILE,
        storage=HOSTILE,
        command=HOSTILE,
        limits=HOSTILE,
        stopped=HOSTILE,
        objectives={HOSTILE: "maximize"},
        trials=[trial, replace(trial, number=2), replace(trial, number=3, state="failed")],
    )
    found = page(record, [Importance(objective=HOSTILE, shares={HOSTILE: 1.0}, method="fANOVA", note=HOSTILE)])
    assert "img" not in {tag for tag, _ in found.tags}
    assert all(not name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert found.text.count(HOSTILE) > 15


def test_written_at_once(tmp_path):
    write_sweep(replace(STUDY, trials=[], best=[]), [], tmp_path / "sweep.html")
    assert os.listdir(tmp_path) == ["sweep.html"]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_draws_every_plot(tmp_path):
    write_sweep(STUDY, [IMPORTANCE], tmp_path / "sweep.html")
    found = in_browser(tmp_path / "sweep.html", tmp_path / "profile")
    assert found.sections()[: len(SECTIONS)] == SECTIONS
    assert "data-ready" in dict(found.tags[0][1])
    assert found.drawn() == found.plots() != []
