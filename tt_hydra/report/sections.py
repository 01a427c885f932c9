"""The parts of the page that show figures: headline, quality, cost, and the full list."""

from __future__ import annotations

from tt_hydra.report import figures
from tt_hydra.report.figures import MISSING, SPLITS, Figure, Metrics
from tt_hydra.report.markup import Html, element, join, number, number_heading, row_heading, table

METRIC_NAMES = {"recall": "Recall", "ndcg": "nDCG", "mrr": "MRR"}
RATES = {
    "train/examples_per_s": "Training examples a second",
    "embed/items_per_s": "Items embedded a second",
    "index/build_s": "Seconds to build the index",
}


def section(name: str, title: str, *children: object) -> Html:
    """A section of the page with its heading."""
    return element("section", element("h2", title, id=f"{name}-title"), *children, id=name, aria_labelledby=f"{name}-title")


def headline(metrics: Metrics) -> Html:
    """The figures to look at first, as cards."""
    cards = [*_quality_cards(metrics), *_cost_cards(metrics)]
    return element("ul", *cards, class_="cards") if cards else element("p", "This run measured nothing.", class_="note")


def _quality_cards(metrics: Metrics) -> list[Html]:
    found = figures.splits(metrics)
    if not found:
        return []
    split = found[0]
    rows = figures.quality(metrics, split)[: len(figures.HEADLINE)]
    cards = [
        _card(
            f"{metric_name(row.name)}, {SPLITS[split].lower()}", figures.share(row.model.value), interval_text(row.model), main=place == 0
        )
        for place, row in enumerate(rows)
        if row.model
    ]
    kept = figures.figure(metrics, f"{split}/ann/recall@10")
    if kept:
        cards.append(_card("Index recall@10 vs exact search", figures.share(kept.value), interval_text(kept)))
    return cards


def _cost_cards(metrics: Metrics) -> list[Html]:
    cards = []
    latency = figures.figure(metrics, "search/p95_ms")
    if latency:
        cards.append(_card("Search latency, p95", figures.milliseconds(latency.value), "index alone, one thread"))
    size = figures.figure(metrics, "index/bytes_per_item")
    if size:
        cards.append(_card("Index size for each item", figures.size(size.value), "measured from its files"))
    total = figures.stages(metrics)
    if total:
        reused = sum(stage.reused for stage in total)
        cards.append(
            _card("Time of this run", figures.seconds(sum(stage.seconds for stage in total)), f"{reused} of {len(total)} stages reused")
        )
    return cards


def _card(label: str, value: str, note: str, *, main: bool = False) -> Html:
    return element(
        "li",
        element("span", label, class_="label"),
        element("strong", value),
        element("span", note, class_="note"),
        class_="main" if main else None,
    )


def metric_name(name: str) -> str:
    """A metric's key as people write it: ``ndcg@10`` is nDCG@10."""
    kind, at, depth = name.partition("@")
    return f"{METRIC_NAMES.get(kind, kind)}{at}{depth}"


def interval_text(given: Figure) -> str:
    """The interval in words, empty where there is none."""
    ends = figures.interval(given)
    return f"95% interval {ends}" if ends else ""


def quality(metrics: Metrics) -> Html:
    """The model's quality beside what the built index keeps of it, a table for each split."""
    tables = [_quality_of(metrics, split) for split in figures.splits(metrics)]
    if not tables:
        return Html("")
    note = element(
        "p",
        "Model: exact search over the whole catalogue with the model's vectors. Index: the same queries through the built index. "
        "Intervals: 95%, bootstrap over queries. Recall is divided by all relevant items; nDCG takes gains linearly; "
        "queries without a relevant item are left out.",
        class_="note",
    )
    return join([*tables, note])


def _quality_of(metrics: Metrics, split: str) -> Html:
    """A split's table, and in words what the index finds of the exact neighbours."""
    rows = figures.quality(metrics, split)
    parts = [element("h3", SPLITS[split])]
    if rows:
        parts.append(_quality_table(rows, f"Quality on the {SPLITS[split].lower()} queries"))
    ann = figures.figure(metrics, f"{split}/ann/recall@10")
    if ann:
        ends = figures.interval(ann)
        found = element("strong", figures.share(ann.value))
        parts.append(element("p", "Of the exact 10 nearest items the index finds ", found, f" ({ends})" if ends else "", "."))
    return join(parts)


def _quality_table(rows: list[figures.QualityRow], caption: str) -> Html:
    """Metric and model; index and what it keeps, where one was measured; whiskers, where there are intervals."""
    shown = [found for row in rows for found in (row.model, row.index) if found]
    top = max(map(_high, shown), default=0.0) or 1.0
    headings: list[str | Html] = ["Metric", number_heading("Model")]
    cells = [[row_heading(metric_name(row.name)), _share(row.model)] for row in rows]
    if any(row.index for row in rows):
        headings += [number_heading("Index"), element("th", "Kept", scope="col", class_="num extra")]
        for row, line in zip(rows, cells, strict=True):
            line += [_share(row.index), element("td", _kept(row), class_="num extra")]
    if any(map(figures.interval, shown)):
        headings.append(
            element("th", "Model above, index below" if any(row.index for row in rows) else "Interval", scope="col", class_="wide extra")
        )
        for row, line in zip(rows, cells, strict=True):
            line.append(element("td", _strip(row.model, top, 1), _strip(row.index, top, 2), class_="wide extra"))
    return table(headings, cells, caption=caption)


def _high(found: Figure) -> float:
    return found.value if found.high is None else found.high


def _share(found: Figure | None) -> Html:
    """A cell with a figure and, below it, its interval."""
    return number(join([figures.share(found.value), element("span", figures.interval(found), class_="ends")]) if found else MISSING)


def _kept(row: figures.QualityRow) -> str:
    if not row.model or not row.index or row.model.value <= 0:
        return MISSING
    return f"{row.index.value / row.model.value:.1%}"


def _strip(found: Figure | None, top: float, series: int) -> Html:
    """An interval as a whisker on a scale from 0 to the table's highest figure."""
    if found is None or found.low is None or found.high is None:
        return Html("")
    left, right, middle = (100 * end / top for end in (found.low, found.high, found.value))
    bar = element("i", style=f"left:{left:.2f}%;width:{max(right - left, 0):.2f}%")
    point = element("b", style=f"left:{middle:.2f}%")
    return element("span", bar, point, class_=f"strip series-{series}", aria_hidden="true")


def cost(metrics: Metrics) -> Html:
    """Latency, bytes and rates."""
    parts = []
    latencies = figures.latencies(metrics)
    if latencies:
        rows = [
            [row_heading(label), *(number(figures.milliseconds(at.value) if at else MISSING) for at in found)] for label, found in latencies
        ]
        headings = ["Latency", *(number_heading(name) for name in ("p50", "p95", "p99"))]
        parts.append(table(headings, rows, caption="Latency of one query at a time on one thread"))
    rows = []
    size = figures.figure(metrics, "index/bytes_per_item")
    if size:
        rows.append([row_heading("Bytes for each item in the index"), number(figures.plain(size.value))])
    rows += [[row_heading(label), number(figures.plain(metrics[key]))] for key, label in RATES.items() if key in metrics]
    if rows:
        parts.append(table(["Size and speed", number_heading("Figure")], rows, caption="Size and speed"))
    return element("div", *parts, class_="columns") if parts else Html("")


def budget_badge(metrics: Metrics) -> Html:
    """Whether the budget was met, where the run had one."""
    if "budget/met" not in metrics:
        return Html("")
    met = bool(metrics["budget/met"])
    return element("span", "budget met" if met else "budget exceeded", class_="badge good" if met else "badge bad")


def stages(metrics: Metrics) -> Html:
    """Seconds of each stage with a bar, and which were taken from the store."""
    found = figures.stages(metrics)
    if not found:
        return Html("")
    longest = max(stage.seconds for stage in found) or 1
    rows = []
    for stage in found:
        bar = element("span", element("i", style=f"width:{100 * stage.seconds / longest:.2f}%"), class_="bar", aria_hidden="true")
        state = element("span", "reused", class_="badge good") if stage.reused else element("span", "ran", class_="badge")
        rows.append(
            [row_heading(stage.name), element("td", state), number(figures.seconds(stage.seconds)), element("td", bar, class_="wide extra")]
        )
    headings = [
        "Stage",
        "State",
        number_heading("Time in this run"),
        element("th", element("span", "Share", class_="hidden"), scope="col", class_="extra"),
    ]
    return table(headings, rows, caption="Stages")


def everything(metrics: Metrics) -> Html:
    """Every figure under its key, its interval beside it."""
    rows = []
    for key in sorted(metrics):
        base, _, end = key.rpartition("/")
        if end in {"ci_low", "ci_high"} and base in metrics:
            continue
        low, high = (metrics.get(f"{key}/{end}") for end in ("ci_low", "ci_high"))
        ends = "" if low is None or high is None else f"{figures.plain(low)} – {figures.plain(high)}"
        figure = join([figures.plain(metrics[key]), element("span", ends, class_="ends")])
        rows.append([row_heading(element("code", key)), number(figure)])
    return table(["Key", number_heading("Figure, 95% interval")], rows, caption="All figures of metrics.json", class_="dense")
