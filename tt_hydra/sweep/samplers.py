"""Optuna's samplers by name, and its trials told what a space holds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from tt_hydra.sweep.space import Choice, Domain, Int

STRIDE = 1_000_003


def make_sampler(name: str, seed: int, number: int, startup: int) -> BaseSampler:
    """The sampler that proposes a trial.

    Args:
        name: ``tpe``, ``gp``, ``nsga2`` or ``random``.
        seed: of the study.
        number: of the trial: what is drawn depends on both, so that a study that goes on draws as one that was never interrupted.
        startup: trials that are drawn at random first; of ``nsga2`` the population.
    """
    own = (seed * STRIDE + number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "tpe":
            return TPESampler(seed=own, n_startup_trials=startup, multivariate=True, group=True)
        if name == "gp":
            return GPSampler(seed=own, n_startup_trials=startup)
        return NSGAIISampler(seed=own, population_size=max(2, startup)) if name == "nsga2" else RandomSampler(seed=own)


def set_metric_names(study: optuna.Study, names: Sequence[str]) -> None:
    """Names the objectives, for optuna-dashboard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(names))


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as Optuna names it."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.options)
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
