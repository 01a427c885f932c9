"""The report of a study: its best trial and how to run it, what mattered, every trial and every index, on one page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tt_hydra.report import figures, sweep_plots, sweep_words
from tt_hydra.report.markup import Html, element, join, number, number_heading, row_heading, table
from tt_hydra.report.page import Page, Part, command_line, render_page, write_page
from tt_hydra.report.sections import section
from tt_hydra.report.sweep_lines import parallel
from tt_hydra.report.sweep_prefixes import prefixes
from tt_hydra.report.sweep_words import best_trial, objective_value, shown
from tt_hydra.sweep.front import TrialPoint, points_of
from tt_hydra.sweep.record import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from tt_hydra.sweep.importance import Importance

SLICES = 12
"""Keys that are drawn, the most important first."""
COLUMNS = 6
"""Searched keys that have a column each in the table of trials; more stand in one."""
FRONT_ROWS = 30
BADGES = {"complete": "badge", "running": "badge", "pruned": "badge", "failed": "badge bad"}


def write_sweep(record: StudyRecord, importances: Sequence[Importance], path: Path) -> None:
    """Writes the page, all or nothing.

    Args:
        record: the study.
        importances: what mattered for each objective; empty where that was not asked.
        path: the file; its folder must exist.
    """
    write_page(render(record, importances), path)


def render(record: StudyRecord, importances: Sequence[Importance] = ()) -> str:
    """The page as text; plotly is part of it only where there is a trial to draw."""
    points = points_of(record.trials)
    keys = ranked_keys(record, importances)
    drawn = any(trial.state == "complete" or len(trial.curve) > 1 for trial in record.trials)
    parts = [
        Part("mattered", "What mattered", "What mattered", _mattered(record, importances) if record.trials else Html("")),
        Part("history", "History", "History", _plots([*sweep_plots.history(record), *sweep_plots.trainings(record)])),
        Part("front", "Front", "Pareto front", _front(record, points)),
        Part("prefixes", "Prefixes", "Prefixes against native dimensions", prefixes(record.trials)),
        Part("slices", "Slices", "Searched keys", _plots(sweep_plots.slices(record, keys[:SLICES]))),
        Part("parallel", "Parallel", "Parallel coordinates", _parallel(record, keys)),
        Part("trials", "Trials", "Trials", _trials(record, keys) if record.trials else Html("")),
        Part("study", "Study", "Study", _study(record)),
    ]
    header = element(
        "header",
        element("p", "tt_hydra sweep report", class_="eyebrow"),
        element("h1", record.name),
        element("p", sweep_words.ending(record), class_="note"),
        command_line(record.command),
    )
    lead = [section("headline", "Headline", _headline(record)), _winner(record)]
    return render_page(Page(title=record.name, header=header, lead=lead, parts=parts, with_plots=drawn))


def ranked_keys(record: StudyRecord, importances: Sequence[Importance]) -> list[str]:
    """All searched keys: by their importance for the first objective, then as they came."""
    known = dict.fromkeys(key for trial in record.trials for key in trial.params)
    first = list(importances[0].shares) if importances else []
    return [*(key for key in first if key in known), *(key for key in known if key not in first)]


def _headline(record: StudyRecord) -> Html:
    best, cards = best_trial(record), []
    for place, (key, direction) in enumerate(record.objectives.items() if best is not None else ()):
        assert best is not None
        note = f"trial {best.number}, {'higher' if direction == 'maximize' else 'lower'} is better"
        gain = sweep_words.gain(record) if place == 0 else ""
        cards.append(_card(key, objective_value(best.values[key]), "; ".join(filter(None, [note, gain])), main=place == 0))
    reused, stages = sweep_words.saved(record.trials)
    cards.append(_card("Trials", str(len(record.trials)), sweep_words.counted(record)))
    if record.trials:
        cards.append(
            _card(
                "Time of all trials", figures.seconds(sum(trial.seconds for trial in record.trials)), f"limits: {record.limits or 'none'}"
            )
        )
    if stages:
        cards.append(_card("Stages reused", f"{reused / stages:.0%}", f"{reused} of {stages}: an earlier trial or run had made them"))
    return element("ul", *cards, class_="cards")


def _card(label: str, value: str, note: str, *, main: bool = False) -> Html:
    parts = [element("span", label, class_="label"), element("strong", value), element("span", note, class_="note")]
    return element("li", *parts, class_="main" if main else None)


def _winner(record: StudyRecord) -> Html:
    """The best trial and the command that runs it; the front where there are several objectives."""
    best = best_trial(record)
    if best is None:
        return section("best", "Best trial", element("p", _why_none(record)))
    told = ", ".join(f"{key} = {shown(value)}" for key, value in best.params.items())
    parts = [element("p", f"Trial {best.number}: {told or 'nothing was searched'}.", class_="lead"), _command(best.command)]
    parts.append(
        element("p", "Its settings are in ", element("code", record.folder / "best.yaml"), ", an experiment= overlay.", class_="note")
    )
    others = [trial for trial in record.trials if trial.number in record.best and trial.number != best.number]
    if others:
        keys = ranked_keys(record, ())
        order = {each: place for place, each in enumerate(record.best)}
        front = sorted([best, *others], key=lambda trial: order[trial.number])
        parts += [element("h3", f"{len(front)} trials are on the front"), _trial_table(record, front, keys, "Trials on the front")]
    return section("best", "Best trial", *parts)


def _why_none(record: StudyRecord) -> str:
    complete = [trial for trial in record.trials if trial.state == "complete"]
    if complete:
        return f"None of the {len(complete)} complete trials keeps the limits; the table says by how much each passes them."
    errors = [trial.error for trial in record.trials if trial.error]
    return f"No trial was completed: {sweep_words.counted(record)}." + (f" The last error: {errors[-1]}" if errors else "")


def _command(text: str) -> Html:
    return command_line(text) if text else Html("")


def _mattered(record: StudyRecord, importances: Sequence[Importance]) -> Html:
    if not importances:
        return Html("")
    sentences = [element("p", text, class_="lead") for text in sweep_words.mattered(record, importances)]
    bars = [sweep_plots.importance_bars(each, place) for place, each in enumerate(importances) if each.shares]
    return join([*sentences, _plots(bars)])


def _plots(found: Sequence[Html]) -> Html:
    return element("div", *found, class_="plots") if found else Html("")


def _front(record: StudyRecord, points: Sequence[TrialPoint]) -> Html:
    parts = []
    if len(record.objectives) > 1:
        parts.append(_plots(sweep_plots.objectives_front(record)))
    if len(points) > 1:
        parts.append(_plots([sweep_plots.points_front(points)]))
        best = sorted((point for point in points if point.on_front), key=lambda point: -point.quality)
        parts.append(_front_table(best[:FRONT_ROWS]))
        if len(best) > FRONT_ROWS:
            parts.append(element("p", f"The best {FRONT_ROWS} of {len(best)} by recall.", class_="note"))
    return join(parts)


def _front_table(points: Sequence[TrialPoint]) -> Html:
    headings = ["Trial", "Settings", *(number_heading(name) for name in ("Recall@10", "p99", "Bytes an item"))]
    rows = [
        [
            row_heading(str(point.trial)),
            _settings(point),
            number(figures.share(point.quality)),
            number(figures.milliseconds(point.p99_ms)),
            number(figures.size(point.bytes_per_item)),
        ]
        for point in points
    ]
    return table(headings, rows, caption="Indexes that no other beats in recall, p99 and bytes", class_="dense")


def _settings(point: TrialPoint) -> Html:
    badge = [] if point.meets else [" ", _badge("over budget", "badge bad")]
    return element("td", point.name, " ", element("code", point.overrides), *badge, class_="settings")


def _parallel(record: StudyRecord, keys: Sequence[str]) -> Html:
    drawing = parallel(record, keys)
    if not drawing:
        return drawing
    note = "A line for each complete trial, darker where it is better; the best one is bold. Point at a line to read it."
    return join([element("p", note, class_="note"), drawing])


def _trials(record: StudyRecord, keys: Sequence[str]) -> Html:
    commands = [
        element("div", element("h4", f"Trial {trial.number}"), _command(trial.command), element("p", trial.folder or "", class_="note"))
        for trial in record.trials
        if trial.command
    ]
    again = element("details", element("summary", "How to run each trial again"), *commands) if commands else Html("")
    return join([_trial_table(record, record.trials, keys, "All trials"), again])


def _trial_table(record: StudyRecord, trials: Sequence[TrialRecord], keys: Sequence[str], caption: str) -> Html:
    apart = list(keys) if len(keys) <= COLUMNS else []
    headings: list[object] = ["Trial", "State", *(number_heading(key) for key in record.objectives), *apart]
    headings += [] if apart or not keys else ["Settings"]
    headings += [number_heading("Time"), "Reused stages"]
    rows = [_trial_row(record, trial, apart, together=bool(keys) and not apart) for trial in trials]
    return table(headings, rows, caption=caption, class_="dense trials")


def _trial_row(record: StudyRecord, trial: TrialRecord, keys: Sequence[str], *, together: bool) -> list[Html]:
    values = [number(objective_value(trial.values[key]) if key in trial.values else figures.MISSING) for key in record.objectives]
    cells = [element("td", shown(trial.params[key]) if key in trial.params else figures.MISSING) for key in keys]
    if together:
        cells = [
            element("td", element("code", " ".join(f"{key}={shown(value)}" for key, value in trial.params.items())), class_="settings")
        ]
    reused = ", ".join(trial.reused) if trial.reused else "none" if trial.stages else figures.MISSING
    return [
        row_heading(str(trial.number)),
        _state(record, trial),
        *values,
        *cells,
        number(figures.seconds(trial.seconds)),
        element("td", reused),
    ]


def _state(record: StudyRecord, trial: TrialRecord) -> Html:
    """How it stands, whether it is the best, which limits it passes and why it ended."""
    best = trial.number in record.best
    parts: list[object] = [_badge("best" if best else trial.state, "badge good" if best else BADGES[trial.state])]
    over = {key: by for key, by in trial.constraints.items() if by > 0}
    if over:
        parts += [" ", _badge("passes a limit", "badge bad")]
    why = [trial.error] if trial.error else []
    why += [f"{key} by {figures.plain(by)}" for key, by in over.items()]
    if why:
        parts.append(element("span", "; ".join(why), class_="note why"))
    return element("td", *parts)


def _badge(text: str, class_: str) -> Html:
    return element("span", text, class_=class_)


def _study(record: StudyRecord) -> Html:
    goals = ", ".join(f"{direction} {key}" for key, direction in record.objectives.items())
    facts = {
        "aims": goals,
        "limits": record.limits or "none",
        "ended": record.stopped or "not yet",
        "storage": record.storage,
        "folder": record.folder,
    }
    rows = (element("div", element("dt", name), element("dd", value)) for name, value in facts.items())
    watch = shlex.join(["optuna-dashboard", record.storage])
    note = element("p", "Its trials as they come, and a page for each: install optuna-dashboard, then", class_="note")
    return join([element("dl", *rows, class_="facts"), note, command_line(watch)])
