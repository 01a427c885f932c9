"""What Prometheus is told: every metric by name, and its figures at the moment of asking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tt_hydra.monitor.latency import BOUNDS, Latencies

PREFIX = "tt_hydra_"


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: its kind, what it says, and its label, whose values are few and known."""

    kind: Literal["counter", "gauge", "histogram"]
    text: str
    label: str = ""


METRICS: Mapping[str, Described] = {
    "requests": Described("counter", "Search requests that were answered."),
    "queries": Described("counter", "Queries of those requests."),
    "unobserved": Described("counter", "Requests that were answered but not looked at, because too many came at once."),
    "writes": Described("counter", "Changes of the catalogue."),
    "items_added": Described("counter", "Items that were added or replaced."),
    "phase_seconds": Described("histogram", "Time of search requests by phase.", "phase"),
    "version": Described("gauge", "Number of the version that is served."),
    "recall": Described("gauge", "Recall@10 of live queries against exact search."),
    "recall_low": Described("gauge", "Lower end of the 95% Wilson interval of live recall."),
    "recall_high": Described("gauge", "Upper end of the 95% Wilson interval of live recall."),
    "recall_queries": Described("gauge", "Queries that live recall is counted on."),
    "recall_dropped": Described("counter", "Queries that were to be searched exactly but were left out, because too many waited."),
    "drift_checks": Described("counter", "Windows that were judged for drift.", "kind"),
    "drift_alarms": Described("counter", "Windows that were judged to have drifted.", "kind"),
    "drift_alarm": Described("gauge", "1 where the last window was judged to have drifted.", "kind"),
    "drift_statistic": Described("gauge", "Largest test statistic of the last window as a share of its threshold.", "kind"),
    "drift_p_value": Described("gauge", "Share of windows without drift that look at least as drifted as the last one.", "kind"),
    "unknown_share": Described("gauge", "Share of unknown values in requests."),
    "age_seconds": Described("gauge", "Age of the model, the index and the oldest change beside the index.", "part"),
    "items": Described("gauge", "Items that can be found, rows of the index, rows beside it, dead rows.", "state"),
    "index_imbalance": Described("gauge", "Imbalance of the index's lists; 1 where all are of one length."),
    "coverage": Described("gauge", "Share of the items that were shown within the window."),
    "alarm": Described("gauge", "1 where the service is in alarm.", "alarm"),
}
"""By name without the prefix; a counter's samples end in ``_total``."""


@dataclass
class Counts:
    """What is counted since the process began."""

    requests: int = 0
    queries: int = 0
    unobserved: int = 0
    writes: int = 0
    items_added: int = 0
    recall_dropped: int = 0
    drift_checks: dict[str, int] = field(default_factory=dict)
    drift_alarms: dict[str, int] = field(default_factory=dict)


Figures = Mapping[str, float | Mapping[str, float | None] | None]


def sample_name(name: str) -> str:
    """The name of a metric's samples as Prometheus knows it."""
    return f"{PREFIX}{name}{'_total' if METRICS[name].kind == 'counter' else ''}"


class WatchCollector(Collector):
    """Hands figures to Prometheus when it asks."""

    def __init__(self, figures: Callable[[], Figures], latencies: Latencies) -> None:
        self._figures, self._latencies = figures, latencies

    def collect(self) -> Iterator[Metric]:
        """All metrics; one that is not known has no sample."""
        figures = self._figures()
        for name, described in METRICS.items():
            if described.kind == "histogram":
                yield self._histogram(name, described)
            else:
                yield _family(name, described, figures.get(name))

    def _histogram(self, name: str, described: Described) -> Metric:
        family = HistogramMetricFamily(PREFIX + name, described.text, labels=[described.label])
        for phase, latency in self._latencies.phases.items():
            totals = latency.buckets.cumsum().tolist()
            buckets = [(str(bound), total) for bound, total in zip((*BOUNDS, "+Inf"), totals, strict=True)]
            family.add_metric([phase], buckets, latency.sum)
        return family


def _family(name: str, described: Described, value: float | Mapping[str, float | None] | None) -> Metric:
    kind = CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily
    family = kind(PREFIX + name, described.text, labels=[described.label] if described.label else [])
    samples = value if isinstance(value, Mapping) else {"": value}
    for label, each in samples.items():
        if each is not None:
            family.add_metric([label] if described.label else [], float(each))
    return family
