"""Where the time of the steps goes, by a clock that the test moves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tt_hydra.train.clock import PHASES, StepClock
from tt_hydra.train.fit import TrainingSummary


def test_shares_are_those_of_the_seconds_before_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([10.0, 11.0, 14.0, 15.0, 17.0, 18.0, 20.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    clock = StepClock()
    assert clock.take_shares() == {}
    clock.start(torch.device("cpu"))
    for phase in (*PHASES, "data"):
        clock.passed(phase)
    assert clock.take_shares() == {
        "time/data": 0.3,
        "time/forward": 0.3,
        "time/loss": 0.1,
        "time/backward": 0.2,
        "time/optimizer": 0.1,
    }
    assert clock.take_shares() == {}


def test_an_epoch_tells_where_its_time_went(train: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for point in TrainingSummary.load(train(max_epochs=2, micro_batch_size=40)).curves:
        shares = [point[f"time/{phase}"] for phase in PHASES]
        assert all(share > 0 for share in shares)
        assert sum(shares) == pytest.approx(1)
    (line, _) = (record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch "))
    assert all(f"{phase} " in line.partition(" s: ")[2] for phase in PHASES)
