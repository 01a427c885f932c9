"""A study on the command line, in this process; the pipeline's work is faked."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import optuna
import pytest
from toy_table import write_table

import tt_hydra.pipeline.run
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.errors import DataError
from tt_hydra.process import UNDERSTOOD
from tt_hydra.sweep.storage import open_storage
from tt_hydra.train.rank import FIRST_RANK

SEARCHED = ("--multirun", "temperature.start=tag(log,interval(0.02,1))", "sweep.sampler=random", "sweep.name=mine")


pytestmark = pytest.mark.usefixtures("elsewhere")


def study_of(folder: Path, name: str = "mine") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=open_storage(None, folder))


def test_a_study(line, runs, capsys, tmp_path):
    assert line(*SEARCHED, "embedding_dim=32", "hydra.sweeper.n_trials=3") == 0
    folder = tmp_path / "outputs" / "sweep" / "mine"
    assert [run.folder for run in runs] == [folder / "0", folder / "1", folder / "2", folder / "best"]
    *trials, final = runs
    for run in trials:
        assert run.settings.evaluate.parts == ("valid",)
        runtime = run.settings.runtime
        assert not any((runtime.bundle, runtime.report, runtime.set_latest))
        assert run.settings.embedding_dim == 32
        assert run.watch is not None
    assert final.settings.evaluate.parts == ("valid", "test")
    assert final.settings.runtime.bundle
    assert final.settings.runtime.report
    assert final.watch is None
    best = min(trials, key=lambda run: abs(run.settings.temperature.start - 0.1))
    assert final.settings.temperature == best.settings.temperature
    told = capsys.readouterr().out
    command = next(text for text in told.splitlines() if text.startswith("python -m tt_hydra"))
    assert command == f"python -m tt_hydra embedding_dim=32 temperature.start={best.settings.temperature.start!r}"
    study = study_of(folder)
    assert [trial.user_attrs["curve"] for trial in study.trials] == [[0.1, 0.2]] * 3
    assert [trial.user_attrs["metrics"]["index/bytes_per_item"] for trial in study.trials] == [100.0] * 3
    again = shlex.split(command)[3:]
    assert compose(make_loader(), "run", again)[0].temperature.start == best.settings.temperature.start


def test_a_sweep_without_multirun_is_told_to_be_none(line, runs, capsys):
    """What a sweep itself runs hears nothing of it, nor does a grid."""
    assert line("sweep=joint", "sweep.minutes=1", "seed=2", "hydra.sweeper.n_trials=2") == 0
    given = "sweep=joint sweep.minutes=1 hydra.sweeper.n_trials=2"
    said = f"warning: sweep: is read by --multirun alone, and this is a single run ({given}): add --multirun to search\n"
    assert capsys.readouterr().err.count(said) == 1
    assert line("check", "sweep.name=mine") == 0
    assert "single run (sweep.name=mine)" in capsys.readouterr().err
    assert line("seed=2") == 0
    assert line("--multirun", "sweep=joint", "sweep.minutes=1", "hydra.sweeper.n_trials=1", "budget.bytes_per_item=200") == 0
    assert line("check", "--multirun", "sweep=joint") == 0
    assert line("--multirun", "seed=1,2") == 0
    told = capsys.readouterr()
    assert "single run" not in told.err + told.out
    assert len(runs) == 6


def test_the_winner_is_an_experiment(line, runs, tmp_path):
    assert line(*SEARCHED, "index=flat,hnsw", "hydra.sweeper.n_trials=4", "tower=sequence") == 0
    folder, final = tmp_path / "outputs" / "sweep" / "mine", runs[-1].settings
    assert line("--config-dir", str(folder), "experiment=best") == 0
    again = runs[-1].settings
    for name in ("tower", "temperature", "index", "quantization", "loss", "train", "evaluate", "embedding_dim", "data", "optimizer"):
        assert getattr(again, name) == getattr(final, name), name
    assert (folder / "best.yaml").read_text() == (folder / "experiment" / "best.yaml").read_text()


def write_option(folder: Path) -> None:
    """``index=wide`` in a folder of one's own."""
    (folder / "index").mkdir(parents=True)
    (folder / "index" / "wide.yaml").write_text("defaults: [hnsw, _self_]\nM: 48\n")


def test_the_winner_and_its_trial_find_options_of_ones_own(line, runs, capsys, tmp_path):
    """Hydra takes one folder of options, and the winner's lies in that of the sweep."""
    own = tmp_path / "my own, (1)"
    write_option(own)
    assert line(f"--config-dir={own.name}", *SEARCHED, "index=wide", "hydra.sweeper.n_trials=1") == 0
    final = runs[-1].settings
    trial = next(text for text in capsys.readouterr().out.splitlines() if text.startswith("python -m tt_hydra"))
    example = (tmp_path / "outputs" / "sweep" / "mine" / "best.yaml").read_text().partition("# Example: ")[2].splitlines()[0]
    for command in (trial, example):
        assert line(*shlex.split(command)[3:]) == 0
        again = runs[-1].settings
        assert (again.index, again.temperature, again.data) == (final.index, final.temperature, final.data)
    assert final.index.M == 48


def test_options_of_ones_own_may_lie_in_a_search_path(line, runs, capsys, tmp_path):
    write_option(tmp_path / "own")
    place = f"hydra.searchpath=[file://{tmp_path}/own]"
    assert line(place, *SEARCHED, "index=wide", "hydra.sweeper.n_trials=1", "sweep.final=false") == 0
    folder = tmp_path / "outputs" / "sweep" / "mine"
    assert f"python -m tt_hydra {place} index=wide " in capsys.readouterr().out.replace("'", "")
    assert f"--config-dir={folder} {place} experiment=best" in (folder / "best.yaml").read_text().replace("'", "")


PROMPTS = ("tower=bert", "tower.query_prompt=query: ", "tower.item_prompt=it's, (an) item")


def test_texts_are_the_same_in_every_command_that_is_printed(line, runs, capsys, tmp_path):
    assert line(*SEARCHED, *PROMPTS, "hydra.sweeper.n_trials=1") == 0
    trial = next(text for text in capsys.readouterr().out.splitlines() if text.startswith("python -m tt_hydra"))
    assert line(*shlex.split(trial)[3:]) == 0
    assert {(run.settings.tower.query_prompt, run.settings.tower.item_prompt) for run in runs} == {("query: ", "it's, (an) item")}
    assert len(runs) == 3


@pytest.mark.parametrize("mark", [UNDERSTOOD, FIRST_RANK])
def test_texts_are_the_same_in_every_process(line, runs, monkeypatch, mark):
    """A helper of a study, a job in a process of its own and a rank of a training are started with words that were understood."""
    assert line(*PROMPTS) == 0
    started_with = sys.argv[1:]
    monkeypatch.setenv(mark, "1")
    assert line(*started_with, "hydra.output_subdir=null") == 0
    first, second = (run.settings.tower for run in runs)
    assert second == first
    assert first.query_prompt == "query: "


def test_a_study_searches_texts(line, runs, capsys):
    choice = "tower.query_prompt=choice('query: ','')"
    assert line("--multirun", "tower=bert", choice, "hydra.sweeper.n_trials=9", "sweep.sampler=random") == 0
    assert {run.settings.tower.query_prompt for run in runs} == {"query: ", ""}
    trial = next(text for text in capsys.readouterr().out.splitlines() if text.startswith("python -m tt_hydra"))
    assert line(*shlex.split(trial)[3:]) == 0
    assert runs[-1].settings.tower == runs[-2].settings.tower


def test_the_same_command_goes_on_and_ends_at_once_where_all_is_done(line, runs, tmp_path):
    assert line(*SEARCHED, "hydra.sweeper.n_trials=2", "sweep.final=false") == 0
    assert line(*SEARCHED, "hydra.sweeper.n_trials=4", "sweep.final=false") == 0
    assert [run.folder.name for run in runs] == ["0", "1", "2", "3"]
    assert line(*SEARCHED, "hydra.sweeper.n_trials=4") == 0
    assert line(*SEARCHED, "hydra.sweeper.n_trials=4") == 0
    assert [run.folder.name for run in runs[4:]] == ["best"]
    assert line(*SEARCHED, "hydra.sweeper.n_trials=4", "seed=7") == 2, "another study"
    assert len(runs) == 5


def test_failed_trials_leave_the_others_alone(line, runs, monkeypatch, capsys):
    whole = tt_hydra.pipeline.run.run

    def run(settings, command="", changed=None, watch=None):
        if settings.runtime.run_dir.name == "1":
            raise DataError("no such column")
        return whole(settings, command, changed, watch)

    monkeypatch.setattr(tt_hydra.pipeline.run, "run", run)
    assert line(*SEARCHED, "hydra.sweeper.n_trials=3") == 0
    assert [run.folder.name for run in runs] == ["0", "2", "best"]
    assert "Error executing job" not in capsys.readouterr().err


def test_where_no_trial_keeps_the_budget_there_is_no_winner(line, runs, capsys):
    assert line(*SEARCHED, "hydra.sweeper.n_trials=2", "budget.bytes_per_item=64") == 2
    assert [run.folder.name for run in runs] == ["0", "1"]
    assert "keeps the budget; trial 0 comes nearest and passes budget.bytes_per_item by 36" in capsys.readouterr().err
    assert line(*SEARCHED, "hydra.sweeper.n_trials=2", "sweep.name=other", "budget.bytes_per_item=100") == 0


def test_an_interruption_says_how_to_go_on(line, runs, monkeypatch, capsys):
    def run(settings, command="", changed=None, watch=None):
        raise KeyboardInterrupt

    whole = tt_hydra.pipeline.run.run
    monkeypatch.setattr(tt_hydra.pipeline.run, "run", run)
    assert line("-m", "temperature.start=interval(0.1,1)", "hydra.sweeper.n_trials=1") == 130
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("interrupted; to go on from here: python -m tt_hydra -m 'temperature.start=interval(0.1,1)' ")
    monkeypatch.setattr(tt_hydra.pipeline.run, "run", whole)
    assert line(*shlex.split(told.partition(": ")[2])[3:]) == 0
    assert [run.folder.name for run in runs] == ["0", "best"]
    assert len(list(Path("outputs/sweep").iterdir())) == 1


def test_mistakes_are_refused_before_anything_is_made(line, runs, capsys, tmp_path):
    refused = {
        ("temprature.start=interval(0.1,1)",): "temprature.start: is no key; did you mean 'temperature.start'?",
        ("temperature.start=interval(1,0.1)",): "temperature.start: is an empty interval, from 1 to 0.1; the smaller bound comes first",
        ("index=choice(flat,hnws)", "sweep.name=a"): "index: has no option 'hnws'; did you mean 'hnsw'?",
        ("sweep=temprature_dim",): "sweep: has no option 'temprature_dim'; did you mean 'temperature_dim'?",
        ("seed=interval(1,9)",): "seed: must be a whole number, got 1.0",
        ("index=flat,hnsw", "trian.patience=range(1,4)", "sweep.name=a"): "trian.patience: is no key; did you mean 'train.patience'?",
        ("temperature.start=interval(0.1,1)", "sweep.objectives=[test/index/recall@10]"): "nothing may be chosen by",
        ("temperature.start=interval(0.1,1)", "sweep.sampler=tpee"): "sweep.sampler: must be tpe or gp or nsga2 or random, got 'tpee'",
        ("seed=1", "sweep.name=a"): "sweep.space: is empty",
        ("temperature.start=interval(0.1,1)", "hydra.sweeper.trials=3"): "hydra.sweeper.trials",
        ("temperature.start=interval(0.1,1)", "hydra.sweeper.n_trials=-1"): "hydra.sweeper.n_trials: must be a whole number from 1 on",
        ("temperature.start=interval(0.1,1)", "hydra.sweeper.n_trials=many"): "or null, got 'many'",
        ("temperature.start=interval(0.1,1)", "sweep.starts=[0.1]"): "sweep.starts",
        ("temperature.start=interval(0.1,1)", "sweep.fixed=auto"): "sweep.fixed: must be a list",
        ("sweep.space=5",): "sweep.space: must be",
        ("sweep.space={loss: 'choice(infonce,bpr)'}",): "to add them: +sweep.space={loss: 'choice(infonce,bpr)'}",
        ("seed=1,2", "sweep.warm_start=a#b"): "sweep.warm_start=a#b: cannot be read; quote the value for Hydra: \"sweep.warm_start='a#b'\"",
        ("seed=1,2", "sweep.publish=true", "runtime.bundle=false"): "sweep.publish: needs the winner's bundle, which runtime.bundle=false",
    }
    for overrides, message in refused.items():
        assert line("-m", *overrides) == 2
        told = capsys.readouterr()
        assert message in told.err
        assert "Traceback" not in told.err
    assert not runs
    assert list(tmp_path.iterdir()) == []


def test_a_study_may_be_called_by_a_number(line, runs, tmp_path):
    assert line(*SEARCHED, "hydra.sweeper.n_trials=1", "sweep.name=2026", "sweep.final=false") == 0
    assert [run.folder for run in runs] == [tmp_path / "outputs" / "sweep" / "2026" / "0"]
    assert line(*SEARCHED, "hydra.sweeper.n_trials=2", "sweep.name=2026", "sweep.final=false") == 0
    assert [run.folder.name for run in runs] == ["0", "1"], "the same number goes on with the same study"


def test_check_says_what_would_be_searched(line, runs, capsys, tmp_path):
    assert line("check", "-m", "sweep=temperature_dim", "temperature=constant") == 0
    told = capsys.readouterr().out
    assert [text.split()[0] for text in told.splitlines()] == ["temperature.start", "embedding_dim", "ok"]
    assert not runs


@pytest.mark.parametrize("name", ["temperature_dim", "loss_negatives", "index_only", "joint"])
def test_shipped_sweeps(line, name):
    assert line("check", "-m", f"sweep={name}") == 0


def test_keys_of_what_a_sweep_fixes_can_be_set(line, runs, tmp_path):
    """``sweep=joint`` fixes index=auto, whose keys the default index does not have."""
    assert line("check", "-m", "sweep=joint", "index.seconds=5") == 0
    assert line("--multirun", "sweep=joint", "index.seconds=5", "hydra.sweeper.n_trials=1", "sweep.name=mine", "sweep.final=false") == 0
    assert [run.settings.index.seconds for run in runs] == [5]


def test_what_is_searched_may_be_left_to_the_data(line, runs, capsys, tmp_path):
    """The toy table has histories, 80 items and 288 training pairs: narrow vectors, a softmax over all items."""
    table = write_table(tmp_path / "table")
    assert line("--multirun", "sweep=auto", "hydra.sweeper.n_trials=2", "sweep.name=mine", "sweep.publish=false", *table) == 0
    first = runs[0].settings
    assert (first.temperature.start, first.embedding_dim, type(first.index).__name__) == (0.07, 64, "Auto")
    assert all(run.settings.embedding_dim in (32, 64) for run in runs)
