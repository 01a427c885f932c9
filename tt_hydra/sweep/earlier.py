"""What a new study learns from an earlier one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from tt_hydra.errors import ConfigError
from tt_hydra.sweep.records import WARM
from tt_hydra.sweep.samplers import distribution
from tt_hydra.sweep.space import Space
from tt_hydra.sweep.storage import JOURNAL, open_storage

logger = logging.getLogger(__name__)

PROPOSED = 5
"""Trials of a study with other settings or objectives whose values are tried first."""


def learn(study: optuna.Study, source: str, space: Space, comparable: Mapping[str, Any]) -> None:
    """Takes up what an earlier study knows.

    Its trials count as this study's own where both have the same objectives and settings: then nothing of them is run again. Otherwise
    figures do not carry over, and the values of its best trials are the first that are tried here.

    Args:
        study: the new one, without trials.
        source: folder of the earlier sweep, or ``URL#NAME``.
        space: of the new study; what does not lie in it is left out.
        comparable: the new study's objectives and settings.

    Raises:
        ConfigError: there is no such study.
    """
    earlier = _load(source)
    inside = [trial for trial in earlier.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE and space.holds(trial.params)]
    theirs = earlier.user_attrs.get("plan", {})
    if all(theirs.get(name) == comparable[name] for name in ("objectives", "settings")):
        for trial in inside:
            study.add_trial(_copy(trial, space, source))
        logger.info("%d trials of %s count as trials of this study", len(inside), source)
        return
    best = sorted(inside, key=_value, reverse=earlier.directions[0] == optuna.study.StudyDirection.MAXIMIZE)[:PROPOSED]
    for trial in best:
        study.enqueue_trial(trial.params)
    logger.info("the settings of the %d best trials of %s are tried first", len(best), source)


def _load(source: str) -> optuna.Study:
    url, _, name = source.partition("#")
    folder = Path(source).expanduser()
    if not name and not (folder / JOURNAL).is_file():
        other = "a study in another storage is given as \"sweep.warm_start='URL#NAME'\", both kinds of quotes included"
        raise ConfigError(f"sweep.warm_start={source} is no folder with a {JOURNAL}; {other}")
    storage = open_storage(url if name else None, folder)
    names = optuna.get_all_study_names(storage)
    if name and name not in names:
        raise ConfigError(f"sweep.warm_start={source}: there is no study {name!r}; there are {', '.join(names) or 'none'}")
    return optuna.load_study(study_name=name or names[0], storage=storage)


def _copy(trial: FrozenTrial, space: Space, source: str) -> FrozenTrial:
    domains = {each.name: each.domain for each in space.parameters}
    return create_trial(
        state=TrialState.COMPLETE,
        values=trial.values,
        params=trial.params,
        distributions={name: distribution(domains[name]) for name in trial.params},
        user_attrs={**trial.user_attrs, WARM: source},
        system_attrs=trial.system_attrs,
    )


def _value(trial: FrozenTrial) -> float:
    assert trial.values is not None
    return float(trial.values[0])
