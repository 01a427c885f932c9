"""What is shown of a training, which cache it keeps fresh, and whose signals it leaves alone."""

from __future__ import annotations

import io
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tt_hydra.train import callbacks
from tt_hydra.train import fit as fitting
from tt_hydra.train.fit import Reporting, TrainingJob
from tt_hydra.train.module import RetrievalModule

MakeJob = Callable[..., TrainingJob]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], io.StringIO]:
    """Lets the bar draw on a screen that is one, or is a file."""

    def show(terminal: bool) -> io.StringIO:
        screen = io.StringIO()
        monkeypatch.setattr(callbacks, "Console", lambda **_: Console(file=screen, force_terminal=terminal, width=80))
        return screen

    return show


def train(make_job: MakeJob, folder: Path, **changes: Any) -> None:
    fitting.fit(make_job(max_epochs=2, **changes), folder, Reporting(folder=folder))


def test_a_terminal_shows_the_epoch_and_keeps_nothing_of_it(make_job: MakeJob, shown, tmp_path: Path) -> None:
    screen = shown(True)
    train(make_job, tmp_path)
    drawn = screen.getvalue()
    assert "epoch 1 of 2" in drawn
    assert "3/3" in drawn
    assert "loss " in drawn
    assert drawn.rstrip("\r").endswith("\x1b[1A\x1b[2K"), "the line is taken back"


def test_a_file_gets_no_bar_and_no_escape_codes(make_job: MakeJob, shown, tmp_path: Path) -> None:
    screen = shown(False)
    train(make_job, tmp_path)
    assert screen.getvalue() == ""


def test_log_lines_go_above_the_bar_while_there_is_one(make_job: MakeJob, shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal's handler writes through the screen that draws the bar, and to its own stream again afterwards."""
    shown(True)
    handler = logging.StreamHandler(sys.__stderr__)
    logging.getLogger().addHandler(handler)
    streams = []
    step = RetrievalModule.training_step

    def looking(self: RetrievalModule, batch: Any, batch_idx: int) -> Any:
        streams.append(handler.stream)
        if len(streams) == 5:
            raise RuntimeError
        return step(self, batch, batch_idx)

    try:
        monkeypatch.setattr(RetrievalModule, "training_step", looking)
        with pytest.raises(RuntimeError):
            train(make_job, tmp_path)
        assert all(stream is not sys.__stderr__ for stream in streams)
        assert handler.stream is sys.__stderr__
    finally:
        logging.getLogger().removeHandler(handler)


def test_sigterm_stays_with_whoever_had_it(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    step = RetrievalModule.training_step

    def looking(self: RetrievalModule, batch: Any, batch_idx: int) -> Any:
        found.append(signal.getsignal(signal.SIGTERM))
        return step(self, batch, batch_idx)

    def ours(number: int, frame: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, ours)
    try:
        monkeypatch.setattr(RetrievalModule, "training_step", looking)
        train(make_job, tmp_path)
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)
    assert set(found) == {ours}


@pytest.mark.parametrize(("how", "expected"), [(KeyboardInterrupt, KeyboardInterrupt), (SystemExit, SystemExit)])
def test_lightnings_exit_after_ctrl_c_is_an_interruption_again(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: type[BaseException], expected: type[BaseException]
) -> None:
    class Own(how):  # type: ignore[valid-type,misc]
        pass

    def stop(*_: Any) -> None:
        raise Own

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(RetrievalModule, "training_step", stop)
    try:
        with pytest.raises(expected) as stopped:
            train(make_job, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert type(stopped.value) is Own


class TestItemTexts:
    """Who asks for the items' texts to be encoded again, told by a stand-in for the encoder."""

    @pytest.fixture
    def encoded(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The steps before which the texts were encoded."""
        steps: list[int] = []
        modules: list[RetrievalModule] = []
        monkeypatch.setattr(RetrievalModule, "on_train_start", lambda self: modules.append(self))  # noqa: PLW0108

        def refresh(towers: Any, **_: Any) -> None:
            steps.append(modules[-1].global_step)
            towers.item_text = torch.zeros(1)

        monkeypatch.setattr(fitting, "refresh_item_text", refresh)
        return steps

    def test_before_the_first_step_and_after_each_epoch(self, make_job: MakeJob, tmp_path: Path, encoded: list[int]) -> None:
        fitting.fit(make_job(max_epochs=2), tmp_path, Reporting(folder=tmp_path, progress_bar=False))
        assert encoded == [0, 3, 6]

    def test_without_validation_too(self, make_job: MakeJob, tmp_path: Path, encoded: list[int]) -> None:
        fitting.fit(make_job("no_validation", max_epochs=2, batch_size=400), tmp_path, Reporting(folder=tmp_path, progress_bar=False))
        assert encoded == [0, 1, 2]

    def test_before_the_first_step_after_a_resumption(
        self, make_job: MakeJob, tmp_path: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = RetrievalModule.training_step
        with monkeypatch.context() as patch:
            patch.setattr(RetrievalModule, "training_step", lambda self, *batch: step(self, *batch) if self.global_step < 4 else 1 / 0)
            with pytest.raises(ZeroDivisionError):
                fitting.fit(make_job(max_epochs=3), tmp_path, Reporting(folder=tmp_path, progress_bar=False))
        del encoded[:]
        fitting.fit(make_job(max_epochs=3), tmp_path, Reporting(folder=tmp_path, progress_bar=False))
        assert encoded == [3, 6, 9]
