"""Drift detectors: how often they alarm where nothing has changed, and how often where a tenth of the dimensions has moved.

2,000 windows of 500 vectors without drift, held against references of 2,000 (a hundred references, twenty windows each; by --quick
forty of fifty), and the same against one single reference, as one served version meets them. Vectors are Gaussian; anisotropic,
heavy-tailed and of length 1; in clusters and of length 1. Then windows in which a tenth of the dimensions is shifted by .5 of its
standard deviations. The stated level is 1%.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from common import arguments, finish, table

from tt_hydra.monitor.drift import EmbeddingDrift, window_size
from tt_hydra.monitor.intervals import wilson

LEVEL = 0.01
DIM, ROWS, WINDOW, DRAWS = 64, 2000, 500, 2000
SHIFT = 0.5
POWER_DRAWS = 200

Draw = Callable[[np.random.Generator, int], np.ndarray]


def gaussian(random: np.random.Generator, rows: int) -> np.ndarray:
    return random.standard_normal((rows, DIM)).astype(np.float32)


def normalised(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def mixing() -> np.ndarray:
    """Turns and stretches space: singular values fall as a trained tower's do."""
    return np.random.default_rng(99).standard_normal((DIM, DIM)) * (np.arange(1, DIM + 1) ** -0.7)[:, None]


def anisotropic(random: np.random.Generator, rows: int) -> np.ndarray:
    return normalised(random.standard_t(4, (rows, DIM)) @ mixing())


def clustered(random: np.random.Generator, rows: int) -> np.ndarray:
    centres = 3 * np.random.default_rng(98).standard_normal((8, DIM))
    return normalised((random.standard_normal((rows, DIM)) + centres[random.integers(0, 8, rows)]) @ mixing())


KINDS: Mapping[str, Draw] = {"gaussian": gaussian, "anisotropic": anisotropic, "clustered": clustered}


def main() -> None:
    quick = arguments(__doc__).quick
    references = 40 if quick else 100
    figures: dict[str, float] = {"level": LEVEL}
    rows = []
    for name, draw in KINDS.items():
        many, seconds = false_alarms(draw, references, DRAWS // references)
        one, _ = false_alarms(draw, 1, DRAWS)
        found = power(draw)
        prefix = "ours" if name == "gaussian" else f"ours/{name}"
        for key, hits in ((f"{prefix}/alarm_rate", many), (f"{prefix}/one_reference/alarm_rate", one)):
            low, high = exact_interval(hits, DRAWS)
            figures |= {key: hits / DRAWS, f"{key}/ci_low": low, f"{key}/ci_high": high}
        figures[f"{prefix}/power"] = found / POWER_DRAWS
        figures[f"{prefix}/calibration_s"] = seconds
        spans = [f"{hits / DRAWS:.2%} ({low:.2%} to {high:.2%})" for hits in (many, one) for low, high in [exact_interval(hits, DRAWS)]]
        rows.append([name, *spans, f"{wilson(found, POWER_DRAWS).value:.3f}", f"{seconds:.1f}"])
    judged = window_size(ROWS, WINDOW)
    title = f"Drift of {WINDOW} vectors x {DIM} against {ROWS} ({judged} of a window are judged), stated rate of false alarms {LEVEL:.0%}"
    header = ["vectors", f"false alarms, {references} references", "one reference", "power", "calibration, s"]
    table(title, header, rows)
    finish("drift", figures)


def detector(draw: Draw, random: np.random.Generator, seed: int) -> EmbeddingDrift:
    return EmbeddingDrift(draw(random, ROWS), size=window_size(ROWS, WINDOW) or WINDOW, level=LEVEL, seed=seed)


def false_alarms(draw: Draw, references: int, windows: int) -> tuple[int, float]:
    """Alarms among fresh windows without drift, and the seconds that a calibration takes."""
    alarms, seconds = 0, []
    for number in range(references):
        random = np.random.default_rng((references, number))
        started = time.perf_counter()
        judge = detector(draw, random, number).judge
        seconds.append(time.perf_counter() - started)
        alarms += sum(judge(draw(random, WINDOW)).alarm for _ in range(windows))
    return alarms, float(np.median(seconds))


def power(draw: Draw) -> int:
    """Alarms among windows in which a tenth of the dimensions, others each time, is shifted."""
    random = np.random.default_rng(5)
    deviations = draw(random, 20_000).std(axis=0)
    judge = detector(draw, random, 0).judge
    found = 0
    for _ in range(POWER_DRAWS):
        window = draw(random, WINDOW)
        dims = random.permutation(DIM)[: DIM // 10]
        window[:, dims] += SHIFT * deviations[dims]
        found += judge(window).alarm
    return found


def exact_interval(hits: int, draws: int) -> tuple[float, float]:
    """The 95% interval of Clopper and Pearson."""
    from scipy.stats import beta  # noqa: PLC0415

    low = float(beta.ppf(0.025, hits, draws - hits + 1)) if hits else 0.0
    return low, float(beta.ppf(0.975, hits + 1, draws - hits)) if hits < draws else 1.0


if __name__ == "__main__":
    main()
