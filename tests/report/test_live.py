from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tt_hydra.report.live import LiveStudy, line, study_table, time_left
from tt_hydra.sweep.record import INTERRUPTED, StudyRecord, TrialRecord

RECALL = "valid/index/recall@10"


def trial(number, state="complete", recall=None, **more):
    values = {} if recall is None else {RECALL: recall}
    return TrialRecord(number=number, state=state, params={"dim": 16 * number}, values=values, seconds=10.0, **more)


def study(*trials, best=()):
    return StudyRecord(
        name="s", storage="", folder=Path("x"), command="", objectives={RECALL: "maximize"}, best=best, trials=trials, limits="9 trials"
    )


@pytest.fixture
def root():
    """The root logger with one handler that writes to a text, as in a process of its own."""
    logger = logging.getLogger()
    before, level = list(logger.handlers), logger.level
    text = io.StringIO()
    logger.handlers[:] = [logging.StreamHandler(text)]
    logger.setLevel(logging.INFO)
    yield text
    logger.handlers[:] = before
    logger.setLevel(level)


def printed(renderable, width=120):
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_a_finished_trial_is_one_line():
    best, other = (
        trial(1, recall=0.15, reused=["prepare", "train"]),
        trial(2, recall=0.1, constraints={"latency_p99_ms": 0.5, "build_s": -1}),
    )
    record = study(best, other, trial(3, "failed", error="too few items\nTraceback"), best=[1])
    told = [line(record, each) for each in record.trials]
    assert told == [
        f"trial 1 complete: {RECALL} 0.1500; the best so far; 10.0 s; reused prepare, train; dim=16",
        f"trial 2 complete: {RECALL} 0.1000; best 0.1500 (trial 1); passes latency_p99_ms; 10.0 s; dim=32",
        "trial 3 failed: too few items; best 0.1500 (trial 1); 10.0 s; dim=48",
    ]


def test_into_a_file_each_finished_trial_is_told_once(root):
    with LiveStudy(9, None, Console(file=io.StringIO())) as live:
        live.on_change(study(trial(0, "running")))
        live.on_change(study(trial(0, recall=0.1), best=[0]))
        live.on_change(study(trial(0, recall=0.1), trial(1, "running"), best=[0]))
        live.on_change(study(trial(0, recall=0.1), trial(1, "pruned"), trial(2, "failed", error="why"), best=[0]))
    told = root.getvalue().splitlines()
    assert [text.partition(";")[0] for text in told] == [f"trial 0 complete: {RECALL} 0.1000", "trial 1 pruned", "trial 2 failed: why"]


def test_a_study_that_goes_on_does_not_repeat_itself(root):
    with LiveStudy(9, None, Console(file=io.StringIO())) as live:
        live.on_change(study(trial(0, recall=0.1), trial(1, recall=0.2), trial(2, "running"), best=[1]))
        live.on_change(study(trial(0, recall=0.1), trial(1, recall=0.2), trial(2, recall=0.3), best=[2]))
    first, second = root.getvalue().splitlines()
    assert first == "going on after 2 trials: 1 running, 2 complete"
    assert second.startswith("trial 2 complete")


def test_of_a_study_that_had_ended_nothing_is_told_again(root):
    with LiveStudy(2, None, Console(file=io.StringIO())) as live:
        live.on_change(replace(study(trial(0, recall=0.1), trial(1, recall=0.2), best=[1]), stopped="2 trials"))
    assert root.getvalue() == ""


def test_a_trial_that_was_interrupted_is_told_when_it_ends(root):
    """Until another process goes on with it, it has not failed, and its end is news."""
    dead = trial(1, "failed", error=INTERRUPTED)
    with LiveStudy(3, None, Console(file=io.StringIO())) as live:
        live.on_change(study(trial(0, "running"), dead))
        live.on_change(study(trial(0, recall=0.1), dead, best=[0]))
        live.on_change(study(trial(0, recall=0.1), trial(1, recall=0.2), best=[1]))
    assert [text[:16] for text in root.getvalue().splitlines()] == ["trial 0 complete", "trial 1 complete"]


def test_lines_of_a_trial_stay_off_the_screen_and_warnings_do_not(root):
    session, studies = logging.getLogger("tt_hydra.pipeline.session"), logging.getLogger("tt_hydra.sweep.study")
    with LiveStudy(9, None, Console(file=io.StringIO())):
        session.info("train ...")
        session.warning("careful")
        studies.info("trial 3 was interrupted: going on with it")
        logging.getLogger().handlers[:] = [logging.StreamHandler(root)]  # as Hydra does for each job
        session.info("embed ...")
        logging.getLogger().setLevel(logging.DEBUG)
        session.info("shown by hydra.verbose")
        logging.getLogger().setLevel(logging.INFO)
    session.info("after it")
    assert root.getvalue().splitlines() == ["careful", "trial 3 was interrupted: going on with it", "shown by hydra.verbose", "after it"]


def test_the_table_on_a_terminal(root):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    with LiveStudy(9, 3.0, terminal) as live:
        assert "preparing the study" in printed(live._render())
        live.on_change(study(trial(0, recall=0.1, reused=["prepare"]), trial(1, "running", curve=[0.05]), best=[0]))
        logging.getLogger("tt_hydra.pipeline.session").info("train ...")
        logging.getLogger("tt_hydra.train.fit").info("epoch 3: loss 0.5, valid/model/recall@10 0.05")
        shown = printed(live._render())
    for expected in ["best", "0.1000", "prepare", "train, epoch 3", "(0.0500)", "dim=16", "2 of 9 trials: 1 running, 1 complete", "left"]:
        assert expected in shown, expected
    assert "best: trial 0" in terminal.file.getvalue()
    assert root.getvalue() == ""


def test_the_table_keeps_the_best_and_the_latest():
    trials = [trial(number, recall=0.3 if number == 2 else 0.1) for number in range(30)]
    rows = printed(study_table(study(*trials, best=[2]))).splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["2", *map(str, range(23, 30))]


def test_time_left_by_hand():
    done, running = [trial(0, recall=0.1), trial(1, recall=0.1)], trial(2, "running")
    # ten seconds each: of seven left one has run for ten
    assert time_left(study(*done, running), 9, None) == pytest.approx(60)
    assert time_left(study(*done, running), 9, 0.75) == pytest.approx(15)
    assert time_left(study(*done, running), 9, 0.75, passed=5) == pytest.approx(10)
    assert time_left(study(*done), None, None) is None
    assert time_left(study(), 9, None) is None
    assert time_left(study(*done, trial(2, "running"), trial(3, "running")), 9, None) == pytest.approx(25)
