"""A run that breaks off in one of its stages: the same command takes the stages before it from the store and gives the same figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from commands import CommandLine, Undisturbed, figures, quality

from tt_hydra.pipeline import run as pipeline
from tt_hydra.pipeline.stage import embed as embedding
from tt_hydra.pipeline.stage import evaluate as evaluation
from tt_hydra.pipeline.stage import index as indexing

Command = Callable[..., CommandLine]
InProcess = Callable[..., dict[str, float]]
STAGES: dict[str, tuple[Any, str]] = {
    "prepare": (pipeline, "prepare"),
    "train": (pipeline, "train"),
    "embed": (embedding, "embed"),
    "index": (indexing, "index"),
    "evaluate": (evaluation, "evaluate"),
    "bundle": (pipeline, "bundle"),
    "report": (pipeline, "report"),
}


class Broken(Exception):
    pass


def break_off(*_: Any) -> None:
    raise Broken


@pytest.mark.parametrize("stage", ["prepare", "train", "evaluate", "report"])
def test_broken_off_at_the_end_of_a_stage(command: Command, in_process: InProcess, undisturbed: Undisturbed, stage: str) -> None:
    line = command()
    place, name = STAGES[stage]
    whole = getattr(place, name)

    def breaking(*arguments: Any, **more: Any) -> None:
        whole(*arguments, **more)
        raise Broken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, breaking)
        with pytest.raises(Broken):
            in_process(line)
    assert not (line.outputs / "run" / "latest").exists()

    done = in_process(line)
    order = list(STAGES)
    for other in order[: order.index("bundle")]:
        assert done[f"stage/{other}/reused"] == float(order.index(other) < order.index(stage)), other
    assert quality(done) == pytest.approx(undisturbed.quality, abs=1e-6)


def test_a_run_that_breaks_off_leaves_the_newest_finished_one_in_place(command: Command, in_process: InProcess) -> None:
    line = command()
    finished = in_process(line)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "bundle", break_off)
        with pytest.raises(Broken):
            in_process(line, "seed=1")
    assert figures(line.outputs / "run" / "latest") == finished


def test_started_from_the_weights_of_an_earlier_run(command: Command, in_process: InProcess, capfd: pytest.CaptureFixture[str]) -> None:
    line = command()
    earlier = in_process(line)
    bundle = line.outputs / "run" / "latest" / "bundle"
    later = in_process(line, "train.max_epochs=0", f"train.init_from={bundle}")
    assert "train.init_from: took over" in capfd.readouterr().err
    assert quality(later) == pytest.approx(quality(earlier), abs=1e-6), "no epoch more, so the same towers"
    untrained = in_process(line, "train.max_epochs=0")
    assert quality(untrained) != pytest.approx(quality(earlier), abs=1e-2)
