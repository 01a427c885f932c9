"""The parts of the page that tell what ran: warnings, epochs, settings, examples, conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tt_hydra.report import figures
from tt_hydra.report.data import Example, ReportData, Result, Setting
from tt_hydra.report.markup import Html, element, join, number, number_heading, row_heading, table
from tt_hydra.report.plots import Records

EPOCH_COLUMNS = {
    "epoch": "Epoch",
    "step": "Step",
    "loss": "Loss",
    "temperature": "Temperature",
    "positive_similarity": "Positive",
    "hardest_negative_similarity": "Hardest negative",
    "effective_negatives": "Effective negatives",
    "valid_recall@10": "Validation recall@10",
    "seconds": "Seconds",
}
SHOWN = 300
"""Characters of a title or of a query's text."""


def warnings(texts: Sequence[str]) -> Html:
    """What the reader must know first."""
    if not texts:
        return Html("")
    title = "Read this first" if len(texts) == 1 else f"Read these {len(texts)} notes first"
    return element(
        "aside",
        element("h2", title, id="warnings-title"),
        element("ul", *(element("li", text) for text in texts)),
        class_="warnings",
        id="warnings",
    )


def epochs(records: Records) -> Html:
    """The numbers behind the curves."""
    columns = [key for key in EPOCH_COLUMNS if any(record.get(key) is not None for record in records)]
    rows = [[number(figures.plain(record.get(key))) for key in columns] for record in records]
    headings = [number_heading(EPOCH_COLUMNS[key]) for key in columns]
    return element("details", element("summary", "The numbers of each epoch"), table(headings, rows, caption="Epochs", class_="dense"))


def settings(given: Sequence[Setting]) -> Html:
    """Keys that differ from the defaults."""
    if not given:
        return element("p", "None: every setting has its default.", class_="note")
    rows = [
        [
            row_heading(element("code", each.key)),
            element("td", element("code", _shown(each.value))),
            element("td", element("code", _shown(each.default))),
        ]
        for each in given
    ]
    return table(["Key", "In this run", "Default"], rows, caption="Settings that differ from the defaults")


def _shown(value: object) -> str:
    """A value as YAML writes it."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else str(value)


def examples(given: Sequence[Example]) -> Html:
    """Queries with what was found, the first one open."""
    return join(_example(each, first=place == 0) for place, each in enumerate(given))


def _example(example: Example, *, first: bool) -> Html:
    hits = [result.rank for result in example.results if result.relevant]
    known = any(result.relevant is not None for result in example.results)
    state = f"relevant at rank {', '.join(map(str, hits))}" if hits else f"none relevant in {len(example.results)}"
    badge = element("span", state, class_="badge good" if hits else "badge") if known else Html("")
    parts = [element("summary", element("span", _short(example.text) or f"Query {example.query}", class_="query"), badge)]
    if example.text:
        parts.append(element("p", "Query ", element("code", example.query), class_="note"))
    parts += [_titles("Earlier items, newest last", example.history), _titles("Relevant", example.expected)]
    parts.append(_results(example))
    return element("details", *parts, class_="example", open=first)


def _titles(label: str, titles: Sequence[str]) -> Html:
    if not titles:
        return Html("")
    return element("div", element("h4", label), element("ol", *(element("li", _short(title)) for title in titles), class_="chips"))


def _short(text: str) -> str:
    """The beginning of a text: where items are passages, a title is a passage, and a page of them could not be read."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1].rstrip()}…"


def _results(example: Example) -> Html:
    headings = [
        number_heading("Rank"),
        "Item",
        number_heading("Score"),
        element("th", element("span", "Relevant", class_="hidden"), scope="col"),
    ]
    caption = f"Results of query {example.query}"
    return table(headings, (_result(result) for result in example.results), caption=caption, class_="results")


def _result(result: Result) -> list[Html]:
    name: list[object] = [_short(result.title) or result.id]
    if result.title and result.title != result.id:
        name.append(element("code", result.id))
    mark = element("span", "relevant", class_="badge good") if result.relevant else ""
    return [number(result.rank), element("td", *name, class_="item"), number(f"{result.score:.4f}"), element("td", mark)]


def data(report: ReportData) -> Html:
    """The data set: what it is, how large, and what preparing it met."""
    parts: list[Html] = [element("p", report.description)] if report.description else []
    if report.sizes:
        parts.append(_facts("Size of the data", {name: figures.count(value) for name, value in report.sizes.items()}))
    if report.counts:
        parts.append(_facts("Met while preparing it", {name: figures.count(value) for name, value in report.counts.items()}))
    return join(parts)


def conditions(report: ReportData) -> Html:
    """Machine and versions."""
    parts = [_facts("Machine", report.machine)] if report.machine else []
    parts += [_facts("Versions", report.versions)] if report.versions else []
    return element("div", *parts, class_="columns") if parts else Html("")


def _facts(title: str, facts: Mapping[str, str]) -> Html:
    pairs = (element("div", element("dt", name.replace("_", " ")), element("dd", value)) for name, value in facts.items())
    return element("div", element("h3", title), element("dl", *pairs, class_="facts"))
