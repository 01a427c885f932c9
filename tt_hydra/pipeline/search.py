"""search: a bundle's best items for one query or for a file of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tt_hydra.artifact.files import in_place_of
from tt_hydra.artifact.registry import VERSIONS, Registry
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.errors import ConfigError, DataError
from tt_hydra.pipeline.publish import missing
from tt_hydra.pipeline.questions import Question, read_questions
from tt_hydra.serve.query import Hit, Query
from tt_hydra.serve.retriever import Retriever

CHUNK = 1024
"""Questions that are answered at once."""
TAG = "tt_hydra"
NEW_QUERY = 'The command line has no keys for those: write them into a file for search.input, as in {"id": "new", "history": ["42"]}'

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchFiles:
    """Many queries at once.

    Attributes:
        input: file of queries, see ``questions.read_questions``; null for the one query of the command line.
        output: file of results: JSON lines where its name ends in ``.jsonl``, a TREC run otherwise; null for the terminal.
    """

    input: str | None = None
    output: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """What is searched, and where.

    Attributes:
        bundle: a bundle's or a run's folder, ``latest`` or ``current``.
        query: query text.
        query_id: id of a known query: its last known features and history. With ``query``, the text replaces the known one.
        k: results for each query.
        exclude_seen: leave out the items that a known query had before; null does as the bundle was evaluated.
        params: search parameters of the index, instead of the bundle's.
        verify: compare the checksum of every file of the bundle first.
        outputs: root of the runs.
        allow_targets: module prefixes of components of your own that the bundle may name.
    """

    bundle: str = "latest"
    query: str | None = None
    query_id: str | None = None
    k: int = 10
    exclude_seen: bool | None = None
    params: dict[str, int] | None = None
    search: SearchFiles = field(default_factory=SearchFiles)
    verify: bool = True
    outputs: Path
    allow_targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        asked = self.query is not None or self.query_id is not None
        if asked == (self.search.input is not None):
            raise ConfigError(
                "search needs a query: query='any text', query_id=ID or search.input=FILE"
                + (" (one of them: search.input holds its own queries)" if asked else "")
            )
        if self.k < 1:
            raise ConfigError(f"k={self.k}: at least 1 result")


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of one question, best first."""

    name: str
    hits: list[Hit]


def search(settings: SearchSettings) -> Iterator[Answer]:
    """Opens the bundle, and answers one question after the other.

    Raises:
        BundleError: the bundle is missing, incomplete or damaged.
        DataError: an unknown id, or an input that the model does not take.
    """
    questions = _questions(settings)
    folder = resolve_bundle(settings.bundle, settings.outputs)
    retriever = Retriever.load(folder, verify=settings.verify, allow=settings.allow_targets)
    _tell_of_changes(settings, folder)
    exclude = settings.exclude_seen
    if exclude is None:
        exclude = bool(retriever.bundle.manifest.conditions.get("exclude_seen", False))
    return _answers(retriever, questions, settings, exclude)


def _tell_of_changes(settings: SearchSettings, folder: Path) -> None:
    """A warning where items were written or deleted since a version was made: its files alone are searched."""
    registry = Registry.under(settings.outputs)
    if folder.resolve().parent != (registry.folder / VERSIONS).resolve():
        return
    version = registry.version(int(folder.resolve().name))
    changes = missing(registry, version)
    if changes:
        what = f"{len(changes)} changes of the catalogue came after version {version.number} and are not searched here"
        logger.warning("%s: ask a server, or put them into a version with `python -m tt_hydra update compact=true`", what)


def trec_lines(answer: Answer) -> Iterator[str]:
    """The results as lines of a TREC run: ``query Q0 item rank score tag``.

    Raises:
        DataError: an id with a blank in it, which the format cannot hold.
    """
    for hit in answer.hits:
        for name in (answer.name, hit.id):
            if not name or name != "".join(name.split()):
                raise DataError(f"a TREC run cannot hold the id {name!r}: it has a blank; let search.output end in .jsonl")
        yield f"{answer.name} Q0 {hit.id} {hit.rank} {hit.score:.6f} {TAG}"


def json_lines(answer: Answer) -> Iterator[str]:
    """The results as one JSON object: ``{"id": ..., "results": [{"id": ..., "score": ..., "title": ...}]}``."""
    results = [{"id": hit.id, "score": round(hit.score, 6), "title": hit.title} for hit in answer.hits]
    yield json.dumps({"id": answer.name, "results": results}, ensure_ascii=False)


def write_answers(answers: Iterator[Answer], path: Path) -> int:
    """Writes a file of results, complete or not at all; returns the number of queries."""
    lines_of = json_lines if path.suffix == ".jsonl" else trec_lines
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with in_place_of(path) as unfinished, unfinished.open("w", encoding="utf-8") as stream:
        for answer in answers:
            stream.writelines(f"{line}\n" for line in lines_of(answer))
            count += 1
    return count


def _questions(settings: SearchSettings) -> list[Question]:
    if settings.search.input is not None:
        return read_questions(settings.search.input, "search.input")
    given: Mapping[str, str | None] = {"text": settings.query, "query_id": settings.query_id}
    return [Question(settings.query_id or "1", Query(**given))]  # type: ignore[arg-type]  # the two texts


def _answers(retriever: Retriever, questions: list[Question], settings: SearchSettings, exclude: bool) -> Iterator[Answer]:
    for start in range(0, len(questions), CHUNK):
        chunk = questions[start : start + CHUNK]
        queries = [question.query for question in chunk]
        try:
            found = retriever.search_many(queries, k=settings.k, exclude_seen=exclude, params=settings.params)
        except DataError as error:
            if settings.search.input is not None:
                raise
            raise DataError(f"{error}. {NEW_QUERY}") from None
        yield from (Answer(question.name, hits) for question, hits in zip(chunk, found, strict=True))
