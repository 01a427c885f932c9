"""Alert rules for Prometheus and a dashboard for Grafana, of the same names and limits as the service itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tt_hydra.monitor.metrics import sample_name
from tt_hydra.monitor.recall import FEWEST
from tt_hydra.monitor.settings import AlarmLimits

RULES, DASHBOARD = "tt_hydra.rules.yml", "tt_hydra.dashboard.json"
DAY = 86_400
WIDTH, HEIGHT = 12, 8


def alert_rules(limits: AlarmLimits) -> dict[str, Any]:
    """A group of alert rules."""
    name = sample_name
    rules = [
        _rule(
            "RecallLow",
            f"{name('recall_low')} < {limits.recall:g} and {name('recall_queries')} >= {FEWEST}",
            "10m",
            f"recall@10 of live queries may be below {limits.recall:g}",
        ),
        _rule("Drift", f"{name('drift_alarm')} == 1", "15m", "{{ $labels.kind }} drifted from the version's reference"),
        _rule("Unobserved", f"rate({name('unobserved')}[5m]) > 0", "10m", "requests are answered but not watched"),
    ]
    if limits.p99_ms is not None:
        phases = f'rate({name("phase_seconds")}_bucket{{phase="total"}}[5m])'
        expression = f"histogram_quantile(0.99, sum by (le) ({phases})) > {limits.p99_ms / 1000:g}"
        rules.append(_rule("Slow", expression, "5m", f"p99 of requests is above {limits.p99_ms:g} ms"))
    if limits.model_days is not None:
        expression = f'{name("age_seconds")}{{part="model"}} > {limits.model_days * DAY:g}'
        rules.append(_rule("Stale", expression, "1h", f"the served model is older than {limits.model_days:g} days"))
    return {"groups": [{"name": "tt_hydra", "rules": rules}]}


def dashboard() -> dict[str, Any]:
    """A dashboard; its data source is chosen when it is imported."""
    name = sample_name
    quantile = f"histogram_quantile({{}}, sum by (le, phase) (rate({name('phase_seconds')}_bucket[5m])))"
    panels = [
        ("Requests per second", [f"sum(rate({name('requests')}[1m]))", f"sum(rate({name('queries')}[1m]))"], "reqps"),
        ("Latency, p50 and p99 by phase", [quantile.format(share) for share in (0.5, 0.99)], "s"),
        ("Live recall@10", [name(each) for each in ("recall", "recall_low", "recall_high")], "percentunit"),
        ("Drift, share of its threshold", [name("drift_statistic")], "none"),
        ("Unknown values, coverage", [name("unknown_share"), name("coverage")], "percentunit"),
        ("Age", [name("age_seconds")], "s"),
        ("Items", [name("items")], "none"),
        ("Alarms", [name("alarm")], "none"),
    ]
    return {
        "title": "tt_hydra",
        "uid": "tt-hydra",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Data source"}]},
        "panels": [_panel(place, *panel) for place, panel in enumerate(panels)],
    }


def write_rules(folder: Path, limits: AlarmLimits) -> tuple[Path, Path]:
    """Writes both files; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rules, board = folder / RULES, folder / DASHBOARD
    rules.write_text(yaml.safe_dump(alert_rules(limits), sort_keys=False, width=140), encoding="utf-8")
    board.write_text(json.dumps(dashboard(), indent=1) + "\n", encoding="utf-8")
    return rules, board


def _rule(name: str, expression: str, lasting: str, summary: str) -> dict[str, Any]:
    return {
        "alert": f"TtHydra{name}",
        "expr": expression,
        "for": lasting,
        "labels": {"severity": "warning"},
        "annotations": {"summary": summary},
    }


def _panel(place: int, title: str, expressions: list[str], unit: str) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"x": WIDTH * (place % 2), "y": HEIGHT * (place // 2), "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [{"refId": chr(65 + number), "expr": each, "datasource": source} for number, each in enumerate(expressions)],
    }
