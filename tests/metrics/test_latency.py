from __future__ import annotations

from collections.abc import Callable

import pytest

from tt_hydra.metrics import latency
from tt_hydra.metrics.latency import measure_in_turns, measure_latency


@pytest.fixture(autouse=True)
def _undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work on this machine interrupts nothing."""
    monkeypatch.setattr(latency, "_interruptions", lambda: 0)


def test_percentiles_are_of_the_counted_calls_alone(monkeypatch) -> None:
    """A clock that the calls move: call n takes n + 1 milliseconds, warm-up calls take an hour."""
    now, made = [0], []

    def call(number: int) -> None:
        made.append(number)
        now[0] += 3_600_000_000_000 if len(made) <= 5 else (number + 1) * 1_000_000

    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: now[0])
    result = measure_latency(call, 101, warm_up=5)
    assert made == [*range(5), *range(101)]
    assert (result.p50_ms, result.p95_ms, result.p99_ms) == pytest.approx((51, 96, 100))
    assert (result.calls, result.warm_up) == (101, 5)


def test_warm_up_repeats_the_calls_when_there_are_few() -> None:
    made: list[int] = []
    measure_latency(made.append, 2, warm_up=3)
    assert made == [0, 1, 0, 0, 1]


def test_no_call_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        measure_latency(lambda number: number, 0)


def _disturbed(monkeypatch, calls: set[int]) -> list[int]:
    """A clock by which each call takes 1 ms, and 50 ms where the system interrupts it: the calls made first of all with these numbers."""
    now, interruptions, made = [0], [0], []

    def call(number: int) -> None:
        interrupted = number in calls and number not in made
        made.append(number)
        interruptions[0] += interrupted
        now[0] += 50_000_000 if interrupted else 1_000_000

    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: now[0])
    monkeypatch.setattr(latency, "_interruptions", lambda: interruptions[0])
    made.append(-1)
    result = measure_latency(call, 20, warm_up=0)
    return [*made[1:], round(result.p99_ms)]


def test_a_call_that_the_system_interrupted_is_timed_once_more(monkeypatch) -> None:
    assert _disturbed(monkeypatch, {3, 7}) == [*range(20), 3, 7, 1]


def test_where_the_system_always_interrupts_all_calls_count(monkeypatch) -> None:
    now, interruptions = [0], [0]

    def call(number: int) -> None:
        interruptions[0] += 1
        now[0] += (number + 1) * 1_000_000

    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: now[0])
    monkeypatch.setattr(latency, "_interruptions", lambda: interruptions[0])
    assert measure_latency(call, 101, warm_up=0).p50_ms == pytest.approx(51)


def test_in_turns_each_number_goes_to_all_before_the_next() -> None:
    seen: list[tuple[str, int]] = []
    figures = measure_in_turns([lambda number: seen.append(("a", number)), lambda number: seen.append(("b", number))], 3, warm_up=1)
    warm, timed = seen[:2], seen[2:8]
    assert warm == [("a", 0), ("b", 0)]
    assert timed == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [each.calls for each in figures] == [3, 3]


def test_in_turns_each_has_its_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]

    def taking(milliseconds: int) -> Callable[[int], None]:
        return lambda _: now.__setitem__(0, now[0] + milliseconds * 1_000_000)

    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: now[0])
    quick, slow = measure_in_turns([taking(1), taking(4)], 10)
    assert (quick.p50_ms, quick.p99_ms, slow.p50_ms, slow.p99_ms) == (1, 1, 4, 4)
