"""What becomes of the winner of a study, in this process; the pipeline's work is faked."""

from __future__ import annotations

import shlex
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tt_hydra.pipeline.run
from tt_hydra.artifact.changes import Change, ChangeLog
from tt_hydra.artifact.registry import Registry
from tt_hydra.artifact.write import write_bundle
from tt_hydra.errors import ConfigError
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.quantization.binary import Binary

SEARCHED = ("--multirun", "temperature.start=tag(log,interval(0.02,1))", "sweep.sampler=random", "sweep.name=mine")
PUBLISHED = (*SEARCHED, "hydra.sweeper.n_trials=1", "sweep.publish=true")


pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def leaves(runs, monkeypatch):
    """Lets the run of a winner leave a given bundle."""
    whole = tt_hydra.pipeline.run.run

    def leaves(bundle: Path) -> None:
        def run(settings, command="", changed=None, watch=None):
            if settings.runtime.bundle:
                shutil.copytree(bundle, settings.runtime.run_dir / "bundle")
            return whole(settings, command, changed, watch)

        monkeypatch.setattr(tt_hydra.pipeline.run, "run", run)

    return leaves


def test_the_winner_passes_the_gate_or_is_not_published(line, leaves, parts, monkeypatch, capsys, tmp_path):
    """The winner's index finds less than that of the current version; whoever wants it all the same is told how."""
    (tmp_path / "index").mkdir()
    build_index(Flat(), Binary(refine=0), np.load(parts.item_vectors), "cosine").save(tmp_path / "index")
    weak = write_bundle(tmp_path / "weak", replace(parts, index=tmp_path / "index")).folder
    registry = Registry(tmp_path / "outputs" / "registry")
    registry.publish(write_bundle(tmp_path / "current", parts))
    leaves(weak)
    monkeypatch.setattr("tt_hydra.pipeline.contest.CALLS", 5)
    assert line(*PUBLISHED) == 0
    told = capsys.readouterr()
    assert registry.current == 1
    assert "is not published: its " in told.err + told.out
    assert str(tmp_path / "outputs" / "sweep" / "mine" / "best.yaml") in told.out
    assert line(*by_hand(told), "force=true") == 0
    assert registry.current == 2
    assert line(*PUBLISHED) == 0, "what is current already is not held against itself"
    assert [version.number for version in registry.versions()] == [1, 2]


def by_hand(told) -> list[str]:
    """The command line that a study names where it has not published its winner."""
    return shlex.split(next(text for text in (told.err + told.out).splitlines() if "force=true" in text).partition("By hand: ")[2])[3:]


def test_a_winner_that_was_compared_with_nothing_takes_no_version_s_place(line, leaves, parts, capsys, tmp_path):
    """What is served may be of another model; whoever wants the winner instead says so."""
    registry = Registry(tmp_path / "outputs" / "registry")
    registry.publish(write_bundle(tmp_path / "current", parts))
    leaves(write_bundle(tmp_path / "blind", replace(parts, reference=None, measured={"x": 1.0})).folder)
    assert line(*PUBLISHED) == 0
    told = capsys.readouterr()
    assert registry.current == 1
    assert "keeps no validation queries, so it is not compared with version 1" in told.err + told.out
    assert "best.yaml" in told.out
    assert line(*by_hand(told), "force=true") == 0
    assert registry.current == 2


def test_a_winner_is_the_first_version_where_none_is_current(line, leaves, parts, tmp_path):
    leaves(write_bundle(tmp_path / "blind", replace(parts, reference=None)).folder)
    assert line(*PUBLISHED) == 0
    assert Registry(tmp_path / "outputs" / "registry").current == 1


def test_a_winner_that_cannot_take_the_changes_of_the_catalogue_ends_no_study(line, leaves, parts, capsys, tmp_path):
    """It knows ready-made vectors only, and an item without one was written to the catalogue that is served."""
    registry = Registry(tmp_path / "outputs" / "registry")
    registry.publish(write_bundle(tmp_path / "current", parts))
    ChangeLog(registry.changes).append([Change(items=[{"id": "new", "title": "sea", "year": 1999}])])
    folder = shutil.copytree(parts.dataset.folder, tmp_path / "dataset")
    np.save(folder / "query_vectors.npy", np.ones((parts.dataset.num_queries, 16), np.float32))
    given = replace(parts, model=None, dataset=type(parts.dataset).load(folder), reference=None)
    leaves(write_bundle(tmp_path / "given", given).folder)
    assert line(*PUBLISHED) == 0
    told = capsys.readouterr()
    assert registry.current == 1
    assert "the winner is not published: " in told.err + told.out
    assert "cannot embed 1 of the items written since, the first is 'new'" in told.err + told.out
    assert [text.partition(" ")[0] for text in told.out.splitlines()[-4:-2]] == ["best:", "python"]
    assert [Path(text).name for text in told.out.splitlines()[-2:]] == ["best.yaml", "sweep.html"]


def test_a_served_version_that_this_study_may_not_open_ends_it_no_more(line, leaves, parts, monkeypatch, capsys, tmp_path):
    leaves(write_bundle(tmp_path / "bundle", parts).folder)

    def judge(*args, **more):
        raise ConfigError("_target_ 'mine.Tower' is not allowed")

    monkeypatch.setattr("tt_hydra.pipeline.publish.judge", judge)
    assert line(*PUBLISHED) == 0
    told = capsys.readouterr()
    assert "the winner is not published: _target_ 'mine.Tower' is not allowed" in told.err + told.out
    assert "best.yaml" in told.out


@pytest.fixture
def alone(monkeypatch):
    """A machine of six cores on which a study's helpers never begin."""
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setattr("tt_hydra.studies.Helpers", lambda count, more, folder: nullcontext())


def test_the_winner_keeps_the_threads_of_its_trial(line, runs, alone, capsys, tmp_path):
    """index=auto measures latency with them, so that with others it would search anew; whoever goes on may have fewer workers."""
    study = (*SEARCHED, "hydra.sweeper.n_trials=2")
    assert line(*study, "sweep.workers=2") == 0
    folder = tmp_path / "outputs" / "sweep" / "mine"
    example = (folder / "best.yaml").read_text().partition("# Example: ")[2].splitlines()[0]
    for command in (printed(capsys.readouterr().out), example):
        assert line(*shlex.split(command)[3:]) == 0
    shutil.rmtree(folder / "best")
    assert line(*study) == 0
    assert [run.folder.name for run in runs[:3]] + [runs[-1].folder.name] == ["0", "1", "best", "best"]
    assert [run.settings.runtime.threads for run in runs] == [3] * 6
    assert "threads: " not in (folder / "best.yaml").read_text(), "another machine has other cores"


def test_threads_that_somebody_gave_are_those_of_all(line, runs, alone, capsys):
    assert line(*SEARCHED, "hydra.sweeper.n_trials=1", "sweep.workers=2", "runtime.threads=5") == 0
    assert [run.settings.runtime.threads for run in runs] == [5, 5]
    assert printed(capsys.readouterr().out).count("runtime.threads=") == 1


def printed(out: str) -> str:
    """The command line of the best trial."""
    return next(text for text in out.splitlines() if text.startswith("python -m tt_hydra"))
