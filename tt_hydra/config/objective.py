"""Rules between loss, false-negative filter, data and the vectors' width. Pure functions of the settings' spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tt_hydra.component import TARGET, option_of
from tt_hydra.config.nodes import VECTORS, Rule, Spec, constant, losses
from tt_hydra.config.problems import Problem
from tt_hydra.config.sampling import sides_without_text

GUIDE = "tt_hydra.screen.guide.Guide"
GIVEN_TEACHER = "tt_hydra.teacher.given.Given"
CROSS_ENCODER = "tt_hydra.teacher.cross_encoder.CrossEncoder"
MOVIELENS = "tt_hydra.data.movielens.MovieLens"


def teacher(spec: Spec) -> Iterator[Problem]:
    """A loss that learns from a teacher, where there is none."""
    data = spec["data"]
    scored = data.get("teacher") is not None and data.get("negatives_teacher") is not None
    if scored or spec["teacher"][TARGET] != GIVEN_TEACHER:
        return
    for path, loss in losses(spec["loss"]):
        if constant(loss, "requires_teacher") is True:
            fix = "name the columns in data.teacher and data.negatives_teacher (data=pairs), or use teacher=cross_encoder"
            yield Problem(path, f"learns from a teacher's scores of positives and negatives, and there are none: {fix}")


def rated_negatives(spec: Spec) -> Iterator[Problem]:
    """A loss that compares each query's own negatives by a teacher's scores, where none are drawn or none have a score."""
    negatives, by_model = spec["negatives"], spec["teacher"][TARGET] == CROSS_ENCODER
    if not str(negatives[TARGET]).startswith("tt_hydra."):
        return
    drawn, given = constant(negatives, "has_pool") is True, constant(negatives, "requires_given") is True
    if given or (drawn and by_model):
        return
    lack = "have no score in the data" if drawn else "belong to no query in particular"
    fix = "choose negatives=given" + (", bm25 or mined" if by_model else ", or teacher=cross_encoder" if drawn else "")
    for path, loss in losses(spec["loss"]):
        if constant(loss, "requires_teacher") is True:
            yield Problem(path, f"learns from rated negatives of each query, and those of negatives={option_of(negatives)} {lack}; {fix}")


def late_pool(spec: Spec) -> Iterator[Problem]:
    """Epochs without a negative of their own for a loss that learns from those alone."""
    start = spec["negatives"].get("start")
    if not start or spec["teacher"][TARGET] != CROSS_ENCODER:
        return
    for path, loss in losses(spec["loss"]):
        if constant(loss, "requires_teacher") is True:
            what = f"is {start}: nothing is mined before, and {path}={option_of(loss)} learns from rated negatives of each query alone"
            yield Problem("negatives.start", f"{what}; set negatives.start=0", warning=True)


def two_teachers(spec: Spec) -> Iterator[Problem]:
    """Scores of positives in a table, whose negatives another teacher rates."""
    column = (spec["data"].get("interactions") or {}).get("teacher")
    if column is not None and spec["teacher"][TARGET] == CROSS_ENCODER:
        fix = "set it null, so that one teacher rates both"
        yield Problem(
            "data.interactions.teacher", f"is {column}, and teacher.model rates the negatives on a scale of its own; {fix}", warning=True
        )


def cross_encoder(spec: Spec) -> Iterator[Problem]:
    """A model that rates pairs of texts: named, read by someone, and given texts."""
    chosen = spec["teacher"]
    if chosen[TARGET] != CROSS_ENCODER:
        return
    if chosen.get("model") is None:
        yield Problem("teacher.model", "must be given: the name or folder of a sentence-transformers CrossEncoder")
    if not any(constant(loss, "requires_teacher") is True for _, loss in losses(spec["loss"])):
        fix = "choose loss=margin_mse or kl_distill, or teacher=given"
        yield Problem("teacher", f"has no effect: loss={option_of(spec['loss'])} learns from no teacher; {fix}")
    if missing := sides_without_text(spec["data"]):
        fix = "declare a feature of kind text, or use teacher=given"
        yield Problem("teacher", f"reads texts, but the {' and the '.join(missing)} have none; {fix}")


def prefixes(spec: Spec) -> Iterator[Problem]:
    """Prefixes that are no shorter than the vectors, or of another metric."""
    dim = spec["embedding_dim"]
    for path, loss in losses(spec["loss"]):
        dims = loss.get("dims") or ()
        if dim is not None and dims and max(dims) >= dim:
            yield Problem(f"{path}.dims", f"holds {max(dims)}, and a prefix must be shorter than embedding_dim={dim}")
        if loss.get("metric", spec["metric"]) != spec["metric"]:
            yield Problem(f"{path}.metric", f"is {loss['metric']}, but the run's metric is {spec['metric']}; set metric alone")


def cut(spec: Spec) -> Iterator[Problem]:
    """An index over a prefix that no loss was trained on."""
    prefix = spec["prefix_dim"]
    if prefix is not None and _untrained(spec, [prefix]):
        yield Problem("prefix_dim", f"is {prefix}, {_expect(spec, [prefix])}", warning=True)


def tried(spec: Spec) -> Iterator[Problem]:
    """Prefixes for index=auto to try that it cannot, or that no loss was trained on."""
    wanted, dim, chosen = list(spec["index"].get("prefixes") or ()), spec["embedding_dim"], spec["prefix_dim"]
    if wanted and chosen is not None:
        fix = "set index.prefixes=null, or prefix_dim=null and the list to all that shall be tried"
        yield Problem("index.prefixes", f"is {wanted}, and prefix_dim={chosen} leaves nothing to try; {fix}")
        return
    given = spec["data"][TARGET] == VECTORS
    if wide := [] if given or dim is None else [each for each in wanted if each >= dim]:
        yield Problem("index.prefixes", f"holds {wide}, and a prefix must be shorter than embedding_dim={dim}")
    if untrained := _untrained(spec, [each for each in wanted if each not in wide]):
        yield Problem("index.prefixes", f"holds {untrained}, {_expect(spec, untrained)}", warning=True)


def _untrained(spec: Spec, prefixes: list[int]) -> list[int]:
    """Those that no loss trains; of given vectors nothing is known."""
    widths = _trained(spec)
    return [] if spec["data"][TARGET] == VECTORS else [each for each in prefixes if each not in widths]


def _expect(spec: Spec, untrained: list[int]) -> str:
    """What comes of prefixes that no loss trains, and what to do instead."""
    widths = _trained(spec)
    lack = f"are {widths}" if widths else f"are none: loss={option_of(spec['loss'])} trains whole vectors alone"
    fix = "choose among them, or add to them" if widths else f"choose loss=matryoshka loss.dims={untrained}, or quantization=pca"
    return f"and the prefixes that were trained {lack}; expect less recall, or {fix}"


def _trained(spec: Spec) -> list[int]:
    return sorted({dim for _, loss in losses(spec["loss"]) for dim in loss.get("dims") or ()})


def bias(spec: Spec) -> Iterator[Problem]:
    """A bias of each item where there is no room for it."""
    if not spec.get("item_bias"):
        return
    if spec["data"][TARGET] == VECTORS:
        yield Problem("item_bias", "is true, but the vectors of data=vectors are given, and no bias is trained; set it false")
    elif spec["metric"] != "dot":
        yield Problem("item_bias", f"is true, but under metric={spec['metric']} every vector has length 1; set metric=dot")
    if spec["embedding_dim"] == 1:
        yield Problem("item_bias", "takes the last dimension, and embedding_dim=1 leaves none for the vectors; set embedding_dim=2 or more")
    prefixes = {f"{path}.dims": loss.get("dims") for path, loss in losses(spec["loss"])}
    prefixes |= {"prefix_dim": spec["prefix_dim"], "index.prefixes": spec["index"].get("prefixes")}
    for path in [path for path, shorter in prefixes.items() if shorter]:
        yield Problem("item_bias", f"takes the last dimension, which {path} cuts off; set item_bias=false, or embedding_dim instead")


def labels(spec: Spec) -> Iterator[Problem]:
    """Tasks over labels that the data does not have."""
    known = _labels(spec["data"])
    if known is None:
        return
    has = f"has {', '.join(known)}" if known else "has none"
    fix = "a table names its own in data.interactions.labels"
    for path, loss in losses(spec["loss"]):
        for name, task in (loss.get("tasks") or {}).items():
            label = task.get("label")
            if label is not None and label not in known:
                yield Problem(f"{path}.tasks.{name}.label", f"is {label}, and data={option_of(spec['data'])} {has}; {fix}")


def guide(spec: Spec) -> Iterator[Problem]:
    """A guide for texts where a side has none."""
    missing = sides_without_text(spec["data"])
    if spec["screen"][TARGET] == GUIDE and missing:
        fix = "declare a feature of kind text, or use screen=margin"
        yield Problem("screen", f"asks a text model, but the {' and the '.join(missing)} have no text; {fix}")


def _labels(data: Spec) -> tuple[str, ...] | None:
    """The label columns of a source of ours."""
    if not str(data[TARGET]).startswith("tt_hydra."):
        return None
    if data[TARGET] == MOVIELENS:
        return ("rating",)
    interactions = data.get("interactions")
    return tuple(interactions.get("labels") or ()) if isinstance(interactions, Mapping) else ()


RULES: tuple[Rule, ...] = (teacher, rated_negatives, late_pool, two_teachers, cross_encoder, prefixes, cut, tried, bias, labels, guide)
"""In the order in which their problems are told."""
