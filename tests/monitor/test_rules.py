from __future__ import annotations

import json
import re

import yaml

from tt_hydra.monitor.live import LiveMonitor
from tt_hydra.monitor.metrics import METRICS, PREFIX, sample_name
from tt_hydra.monitor.rules import write_rules
from tt_hydra.monitor.settings import AlarmLimits


def test_every_metric_that_rules_and_dashboard_name_is_exported(tmp_path):
    paths = write_rules(tmp_path / "new", AlarmLimits(p99_ms=20, model_days=30))
    monitor = LiveMonitor()
    families = {line.split()[2] for line in monitor.render().decode().splitlines() if line.startswith("# TYPE")}
    monitor.close()
    expected = {sample_name(name) for name in METRICS}
    assert expected == families
    for path in paths:
        used = {name.removesuffix("_bucket") for name in re.findall(rf"\b{PREFIX}\w+", path.read_text())}
        assert len(used) > 4
        assert used <= families


def test_rules_hold_the_limits(tmp_path):
    rules, board = write_rules(tmp_path, AlarmLimits(recall=0.87, p99_ms=25, model_days=2))
    found = {rule["alert"]: rule["expr"] for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]}
    assert found["TtHydraRecallLow"] == "tt_hydra_recall_low < 0.87 and tt_hydra_recall_queries >= 100"
    assert found["TtHydraSlow"].endswith("> 0.025")
    assert found["TtHydraStale"].endswith("> 172800")
    panels = json.loads(board.read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)
    plain, _ = write_rules(tmp_path, AlarmLimits())
    assert "TtHydraSlow" not in plain.read_text()
