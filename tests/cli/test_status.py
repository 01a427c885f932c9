"""The command line in this process: what is done, printed and returned; the pipeline's work is faked."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

import tt_hydra.pipeline.run
from tt_hydra import cli
from tt_hydra.config.commands import COMMANDS
from tt_hydra.errors import DataError, IndexSpecError
from tt_hydra.pipeline.selftest import Nearness

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def runs(monkeypatch):
    """The settings that the pipeline was called with; it does nothing but write figures."""
    seen = []

    def run(settings, command="", changed=None, watch=None):
        seen.append(SimpleNamespace(settings=settings, command=command, changed=changed))
        return SimpleNamespace(run_dir=settings.runtime.run_dir, metrics={"test/model/recall@10": 0.125, "search/p50_ms": 0.5}, stages={})

    monkeypatch.setattr(tt_hydra.pipeline.run, "run", run)
    return seen


def test_a_run(line, runs, capsys, tmp_path):
    (tmp_path / "my data (1)").mkdir()
    assert line("tower=sequence", "data.path=my data (1)", "embedding_dim=32") == 0
    (run,) = runs
    assert type(run.settings.tower).__name__ == "Sequence"
    assert run.settings.data.path == "my data (1)"
    folder = run.settings.runtime.run_dir
    assert folder.is_absolute()
    assert folder.parent == Path("outputs/run").absolute()
    assert (folder / ".hydra" / "config.yaml").is_file()
    assert (folder / "run.log").is_file()
    assert run.settings.runtime.set_latest
    assert run.command == "python -m tt_hydra tower=sequence 'data.path=my data (1)' embedding_dim=32"
    assert run.changed == {"tower": ("mlp", "sequence"), "data.path": (None, "my data (1)"), "embedding_dim": (64, 32)}
    printed = capsys.readouterr()
    assert "0.125" in printed.out
    assert str(folder) in printed.out.replace("\n", "")


def test_the_version_is_that_of_the_installed_package(line, capsys):
    assert line("--version") == 0
    assert capsys.readouterr().out == f"tt_hydra {version('tt-hydra')}\n"


def test_outputs_and_the_run_folder_can_be_moved(line, runs, monkeypatch, tmp_path):
    monkeypatch.setenv("TT_HYDRA_OUTPUTS", str(tmp_path / "else where"))
    assert line() == 0
    assert runs[0].settings.runtime.outputs == tmp_path / "else where"
    assert runs[0].settings.runtime.run_dir.parent == tmp_path / "else where" / "run"
    assert line("hydra.run.dir=one, (two)") == 0
    assert runs[1].settings.runtime.run_dir == tmp_path / "one, (two)"
    assert runs[1].settings.runtime.outputs == tmp_path / "else where"


def test_mistakes_are_refused_before_a_folder_is_made(line, runs, capsys, tmp_path):
    assert line("trian.max_epochs=1", "index=hnws") == 2
    assert line("train.max_epochs=-1") == 2
    assert line("tie=true", "tower@query_tower=bert") == 2
    assert line("chek") == 2
    assert not runs
    assert list(tmp_path.iterdir()) == []
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert printed.err.splitlines() == [
        "error: 2 problems in the configuration",
        "  index: has no option 'hnws'; did you mean 'hnsw'?",
        "  trian.max_epochs: is no key; did you mean 'train.max_epochs'?",
        "error: train.max_epochs must be at least 0, got -1",
        "error: tie: is true, but the sides differ (bert, mlp); set tie=auto, or the same tower for both",
        f"error: 'chek' is no command; did you mean 'check'? Commands: {', '.join(COMMANDS)}. A setting is written KEY=VALUE.",
    ]


def test_an_option_that_there_is_not_stops_a_grid_before_its_first_job(line, runs, capsys, tmp_path):
    assert line("--multirun", "index=flat,hnws", "seed=1,2") == 2
    assert capsys.readouterr().err.splitlines() == ["error: index: has no option 'hnws'; did you mean 'hnsw'?"]
    assert (runs, list(tmp_path.iterdir())) == ([], [])


def test_outputs_that_cannot_be_made_are_one_line(line, runs, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert line(f"runtime.outputs={tmp_path / 'file' / 'outputs'}") == 2
    told = capsys.readouterr().err
    assert "the folder of the run cannot be made" in told
    assert "TT_HYDRA_OUTPUTS" in told
    assert "Traceback" not in told
    assert runs == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=-1", "seed must be a whole number from 0 to 2147483647, got -1"),
        ("seed=2147483648", "got 2147483648"),
        ("runtime.threads=0", "runtime.threads must be at least 1, got 0"),
        ("runtime.embed_batch_size=0", "runtime.embed_batch_size must be at least 1, got 0"),
        ("evaluate.examples=-1", "evaluate.examples must be at least 0, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(override, message, line, runs, capsys):
    assert line(override) == 2
    assert message in capsys.readouterr().err
    assert runs == []


def test_errors_of_the_work_are_one_line(line, monkeypatch, capsys):
    def refuse(settings, command="", changed=None, watch=None):
        raise DataError("events.csv, line 7: seven columns instead of eight")

    monkeypatch.setattr(tt_hydra.pipeline.run, "run", refuse)
    assert line() == 2
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == "error: events.csv, line 7: seven columns instead of eight"
    assert "Traceback" not in printed.err
    assert "Error executing job" not in printed.err
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(DataError):
        line()
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_a_path_of_the_user_that_the_system_refuses_is_one_line(line, capsys, tmp_path):
    (tmp_path / "events.csv").write_text("user,item\n1,a\n1,b\n")
    target = tmp_path / "events.csv" / "data" / "mine.yaml"
    assert line("init", f"interactions={tmp_path / 'events.csv'}", f"output={target}") == 2
    told = f"init: {target.parent}: Not a directory. Move what is in the way, or name another place"
    assert capsys.readouterr().err.splitlines() == [f"error: {told}"]


def test_faults_of_ours_keep_their_traceback(line, monkeypatch):
    def fail(settings, command="", changed=None, watch=None):
        raise ZeroDivisionError

    monkeypatch.setattr(tt_hydra.pipeline.run, "run", fail)
    with pytest.raises(ZeroDivisionError):
        line()
    assert "HYDRA_FULL_ERROR" not in os.environ


@pytest.mark.parametrize("how", ["plain", "lightning"])
def test_an_interruption_says_how_to_go_on(how, line, monkeypatch, capsys):
    def interrupted(settings, command="", changed=None, watch=None):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if how == "plain":
                raise
            sys.exit(1)  # as Lightning does

    monkeypatch.setattr(tt_hydra.pipeline.run, "run", interrupted)
    assert line("seed=7") == 130
    assert capsys.readouterr().err.strip().endswith("interrupted; to go on from here: python -m tt_hydra seed=7")


def test_a_grid(line, runs, capsys):
    assert line("index=flat,hnsw", "--multirun", "quantization=none,int8", "seed=1") == 0
    assert [(type(run.settings.index).__name__, type(run.settings.quantization).__name__) for run in runs] == [
        ("Flat", "NoQuantization"), ("Flat", "Int8"), ("Hnsw", "NoQuantization"), ("Hnsw", "Int8"),
    ]  # fmt: skip
    folders = [run.settings.runtime.run_dir for run in runs]
    assert [folder.name for folder in folders] == ["0", "1", "2", "3"]
    assert {folder.parent.parent for folder in folders} == {Path("outputs/sweep").absolute()}
    assert not any(run.settings.runtime.set_latest for run in runs)
    printed = capsys.readouterr().out
    assert "index=hnsw quantization=int8" in printed
    assert "seed=1" not in printed.split("job ")[-1], "what the jobs share is left out"


def test_a_job_of_a_grid_that_cannot_work_leaves_the_others_alone(line, runs, capsys):
    assert line("-m", "embedding_dim=0,16", "index=flat,hnsw") == 2
    assert [run.settings.embedding_dim for run in runs] == [16, 16]
    printed = capsys.readouterr().out
    assert printed.count("refused") == 2
    assert "embedding_dim: must be at least 1" in printed


def test_a_job_of_a_grid_that_is_refused_while_it_works(line, monkeypatch, capsys):
    def run(settings, command="", changed=None, watch=None):
        if type(settings.index).__name__ == "Hnsw":
            raise IndexSpecError("no graph today")
        return SimpleNamespace(run_dir=settings.runtime.run_dir, metrics={}, stages={})

    monkeypatch.setattr(tt_hydra.pipeline.run, "run", run)
    assert line("-m", "index=hnsw,flat") == 2
    assert "refused: no graph today" in capsys.readouterr().out


def test_a_mistake_that_all_jobs_share_refuses_the_grid(line, runs, capsys, tmp_path):
    assert line("-m", "index=flat,hnsw", "trian.max_epochs=1") == 2
    assert not runs
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == "error: trian.max_epochs: is no key; did you mean 'train.max_epochs'?\n"


def test_a_job_on_several_devices_is_a_process_of_its_own(line, runs, monkeypatch, tmp_path):
    commands = []

    def start(command):
        commands.append(command)
        folder = Path(next(shlex.split(word.partition("=")[2])[0] for word in command if word.startswith("hydra.run.dir=")))
        (folder / "metrics.json").write_text(json.dumps({"test/model/recall@10": 0.5}))
        return len(commands) - 1

    monkeypatch.setattr(cli, "run_job", start)
    for name in ("mine", "a, b"):
        (tmp_path / name).mkdir()
    assert line("--config-dir", "mine", "-m", "train.devices=2", "seed=1,2", "data.path='a, b'") == 2, "the second job failed"
    assert not runs
    assert len(commands) == 2
    assert commands[0][:3] == [sys.executable, "-m", "tt_hydra"]
    told = {f"--config-dir={tmp_path}/mine", "train.devices=2", "seed=1", "runtime.set_latest=false", "data.path='a, b'"}
    assert told <= set(commands[0])
    assert not any(word.startswith(("-m", "--multirun", "--config-name")) for word in commands[0][3:])


def test_a_grid_under_torchrun_is_refused(line, runs, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert line("-m", "seed=1,2") == 2
    assert capsys.readouterr().err.startswith("error: torchrun starts the processes of one training: leave --multirun out")
    assert not runs
    assert list(tmp_path.iterdir()) == []


def test_check_says_what_a_run_comes_to_and_writes_nothing(line, capsys, tmp_path):
    assert line("check", "tower=bert", "index=hnsw", "index.efSearch=99") == 0
    printed = capsys.readouterr().out
    assert "index        hnsw (efSearch=99), quantization none" in printed
    assert printed.endswith("ok\n")
    assert line("check", "index.efSearch=99") == 2
    assert list(tmp_path.iterdir()) == []


def test_check_measures_a_loss_and_negatives_that_are_named(line, capsys, monkeypatch):
    monkeypatch.setattr("tt_hydra.pipeline.selftest.selftest", lambda loss, negatives: [("as configured", Nearness(0.25, 0.5))])
    assert line("check", "tower.dropout=0.5") == 0
    assert "self-test" not in capsys.readouterr().out
    assert line("check", "negatives=mixed") == 0
    told = [text for text in capsys.readouterr().out.splitlines() if text.startswith("self-test")]
    assert told[1].split() == ["self-test", "as", "configured", "0.250", "0.500"]


def test_check_prints_warnings_and_passes(line, capsys):
    assert line("check", "train.batch_size=64") == 0
    assert "train.batch_size" in capsys.readouterr().err


def test_evaluate_takes_the_data_of_a_run_and_nothing_else_of_it(line, capsys, tmp_path):
    assert line("evaluate", "data=beir", f"data.path={tmp_path}") == 2
    assert "no run has finished yet" in capsys.readouterr().err
    assert line("evaluate", "data=beir", f"data.path={tmp_path}", "metric=dot") == 2
    assert capsys.readouterr().err == "error: metric: belongs to run, not to evaluate\n"
    assert line("evaluate", "tower=bert") == 2
    assert capsys.readouterr().err.startswith("error: tower: ")


def test_an_empty_store(line, capsys, tmp_path):
    assert line("store") == 0
    assert capsys.readouterr().out.endswith(f"0 entries, 0.0 MB in {Path('outputs/store')}\n")
    assert list(tmp_path.iterdir()) == []


def test_search_without_a_query_or_a_bundle(line, capsys):
    assert line("search") == 2
    assert "search needs a query" in capsys.readouterr().err
    assert line("search", "query=all, (of) it = '?'") == 2
    assert "no run has finished yet" in capsys.readouterr().err


def test_hydras_own_options(line, capsys, runs):
    for arguments, told in ((["--cfg", "job", "embedding_dim=7"], "embedding_dim: 7"), (["check", "--cfg=job", "seed=x"], "seed: x")):
        assert line(*arguments) == 0
        assert told in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        line("--help")
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^{command} +\w", printed, re.MULTILINE) for command in COMMANDS)
    assert "index: auto, factory, flat, hnsw, ivf" in printed
    assert not runs


def test_options_of_ones_own(line, runs, tmp_path):
    (tmp_path / "mine" / "index").mkdir(parents=True)
    (tmp_path / "mine" / "index" / "wide.yaml").write_text("defaults: [hnsw]\nefSearch: 500\n")
    assert line("--config-dir", "mine", "index=wide") == 0
    assert runs[0].settings.index.efSearch == 500
    assert line("--config-dir", "absent", "index=wide") == 2
