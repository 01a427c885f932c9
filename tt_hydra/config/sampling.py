"""Rules between negatives, loss, curriculum, temperature and data. Pure functions of the settings' spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tt_hydra.component import TARGET, option_of
from tt_hydra.config.nodes import VECTORS, Rule, Spec, any_loss, constant, losses
from tt_hydra.config.problems import Problem

BM25 = "tt_hydra.negatives.bm25.BM25"
STEP = "tt_hydra.curriculum.step.Step"
EASY_TO_HARD = "tt_hydra.curriculum.easy_to_hard.EasyToHard"
TARGET_HARDNESS = "tt_hydra.curriculum.target_hardness.TargetHardness"
LEARNED = "tt_hydra.temperature.learned.Learned"
DRAWN_ONLY = ("tt_hydra.negatives.uniform.Uniform", "tt_hydra.negatives.popularity.Popularity")
"""Samplers under which no query is a negative of another query's item."""
FAR = 0.5
"""A difference of cosines that mined negatives seldom have from the positive."""
WINDOWS = ("window_start", "window_end", "easy", "hard")
"""Keys of curricula that hold ranks (best, worst)."""


def two_sides(spec: Spec) -> Iterator[Problem]:
    """A two-sided loss without negatives for its second side."""
    negatives = spec["negatives"]
    if negatives[TARGET] not in DRAWN_ONLY and negatives.get("with_in_batch") is not False:
        return
    fix = "use negatives=in_batch or catalogue"
    for path, loss in losses(spec["loss"]):
        if loss.get("symmetric") is True:
            yield Problem(f"{path}.symmetric", f"is true, but negatives={option_of(negatives)} gives an item no other queries; {fix}")


def words(spec: Spec) -> Iterator[Problem]:
    """Negatives by words where a side has none."""
    if spec["negatives"][TARGET] != BM25:
        return
    data = spec["data"]
    if missing := sides_without_text(data):
        sides = " and the ".join(missing)
        fix = "declare a feature of kind text, or use negatives=in_batch or uniform"
        yield Problem("negatives", f"are found by words, but the {sides} of data={option_of(data)} have no text; {fix}")


def frequency(spec: Spec) -> Iterator[Problem]:
    """An estimate that nobody reads."""
    if spec["negatives"].get("frequency", "exact") != "exact" and not any_loss(spec["loss"], "uses_log_q"):
        fix = "leave it at exact, or choose loss=sampled_softmax"
        yield Problem("negatives.frequency", f"has no effect: loss={option_of(spec['loss'])} does not correct for it; {fix}")


def curriculum_and_negatives(spec: Spec) -> Iterator[Problem]:
    """A curriculum of mined negatives without any, or beyond those that are kept."""
    curriculum, negatives = spec["curriculum"], spec["negatives"]
    windows = dict(_windows(curriculum))
    if not windows and not _moves_pool(curriculum):
        return
    if constant(negatives, "has_pool") is not True:
        what = f"it moves share, ranks or margin of mined negatives, and negatives={option_of(negatives)} has none"
        yield Problem("curriculum", f"has no effect: {what}; choose negatives=bm25 or mined, or curriculum=none")
        return
    limit = "top" if "top" in negatives else "last"
    kept = negatives.get(limit)
    for key, (_, worst) in windows.items():
        if kept is not None and worst > kept:
            yield Problem(f"curriculum.{key}", f"reaches rank {worst}, but negatives.{limit}={kept} are kept; raise it, or lower {worst}")


def overruled(spec: Spec) -> Iterator[Problem]:
    """Ranks and a margin of mined negatives that a curriculum puts its own in the place of."""
    curriculum, negatives = spec["curriculum"], spec["negatives"]
    if constant(negatives, "has_pool") is not True:
        return
    name = f"curriculum={option_of(curriculum)}"
    for key, (best, worst) in dict(_windows(curriculum)).items():
        if negatives.get("first", 1) > best:
            what = f"is {negatives['first']}, and {name} draws from rank {best} on"
            yield Problem("negatives.first", f"{what}: its ranks go before; raise curriculum.{key}", warning=True)
        if "top" in negatives and negatives.get("last", worst) < worst:
            what = f"is {negatives['last']}, and {name} draws down to rank {worst}"
            yield Problem("negatives.last", f"{what}: its ranks go before; lower curriculum.{key}", warning=True)
    if negatives.get("margin_kind") == "absolute" and _has_margin(curriculum):
        what = f"is absolute, and the margins of {name} are ratios, which go before"
        yield Problem("negatives.margin_kind", f"{what}; set it relative, or give the curriculum no margin", warning=True)


def distance(spec: Spec) -> Iterator[Problem]:
    """A margin that was meant as a ratio, taken for a distance."""
    margin = spec["negatives"].get("margin")
    if spec["negatives"].get("margin_kind") == "absolute" and isinstance(margin, float) and spec["metric"] == "cosine" and margin > FAR:
        what = f"is {margin}, a distance under margin_kind=absolute: few items are so far below a positive, and hardly any is drawn"
        yield Problem("negatives.margin", f"{what}; set 0.05, say, or margin_kind=relative", warning=True)


def curriculum_and_temperature(spec: Spec) -> Iterator[Problem]:
    """A curriculum that moves or observes a temperature which the loss does not take, or which moves by itself."""
    curriculum = spec["curriculum"]
    loop = curriculum[TARGET] == TARGET_HARDNESS
    factor = any(phase.get("temperature", 1.0) != 1.0 for phase in _phases(curriculum))
    if (loop or factor) and not any_loss(spec["loss"], "uses_temperature"):
        fix = "choose loss=infonce or sampled_softmax, or curriculum=none"
        what = "the effective number of negatives is that of a softmax" if loop else "it moves the temperature"
        yield Problem("curriculum", f"has no effect: {what}, and loss={option_of(spec['loss'])} takes no temperature; {fix}")
    elif loop and curriculum.get("by") == "temperature" and spec["temperature"][TARGET] == LEARNED:
        fix = "the one undoes what the other does; choose temperature=constant"
        yield Problem("temperature", f"is learned, and curriculum=target_hardness moves it too: {fix}", warning=True)


def _has_margin(curriculum: Spec) -> bool:
    return curriculum.get("margin_start") is not None or any(phase.get("margin") is not None for phase in _phases(curriculum))


def _moves_pool(curriculum: Spec) -> bool:
    by_phase = any(phase.get("share", 1.0) != 1.0 or phase.get("margin") is not None for phase in _phases(curriculum))
    return curriculum[TARGET] == EASY_TO_HARD or by_phase


def _windows(curriculum: Spec) -> Iterator[tuple[str, tuple[int, int]]]:
    """The windows of a curriculum that are in use, by key."""
    if curriculum[TARGET] == TARGET_HARDNESS and curriculum.get("by") != "window":
        return
    for key in WINDOWS:
        if isinstance(curriculum.get(key), (tuple, list)):
            yield key, curriculum[key]
    for at, phase in enumerate(_phases(curriculum)):
        if isinstance(phase.get("window"), (tuple, list)):
            yield f"phases[{at}].window", phase["window"]


def _phases(curriculum: Spec) -> list[Mapping[str, Any]]:
    return [phase for phase in curriculum.get("phases", ()) if isinstance(phase, Mapping)] if curriculum[TARGET] == STEP else []


def sides_without_text(data: Spec) -> list[str]:
    """``queries``, ``items`` or both, where the declaration of a source says that they have no text."""
    return [side for side, present in _texts_of(data).items() if not present]


def _texts_of(data: Spec) -> dict[str, bool]:
    """Whether each side has a text, where the declaration of a source says it."""
    interactions = data.get("interactions")
    if isinstance(interactions, Mapping):
        queries, items = data.get("queries") or {}, data.get("items") or {}
        asked = interactions.get("text") is not None or _has_text(queries.get("features")) or _has_text(interactions.get("context"))
        return {"queries": asked, "items": _has_text(items.get("features"))}
    if "item_features" in data:
        return {
            "queries": _has_text(data.get("query_features")) or _has_text(data.get("context")),
            "items": _has_text(data["item_features"]),
        }
    given = data[TARGET] == VECTORS
    return {"queries": not given, "items": not given}


def _has_text(features: Any) -> bool:
    values = features.values() if isinstance(features, Mapping) else ()
    return any((value.get("kind") if isinstance(value, Mapping) else value) == "text" for value in values)


RULES: tuple[Rule, ...] = (two_sides, words, frequency, curriculum_and_negatives, overruled, distance, curriculum_and_temperature)
"""In the order in which their problems are told."""
