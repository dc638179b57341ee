"""Alerts and dashboard: every expression is PromQL, and names metrics, labels and values that the server has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml  # type: ignore[import-untyped]

from robyn_server.metrics import every_metric
from robyn_server.metrics.instruments import Counter, Histogram, LabelValues, OpenLabelValues

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "agenthall.json"
MONITOR = ROOT / "docs" / "how-to" / "monitor.md"

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
OF_PROMETHEUS = {"instance", "job"}
"""Labels that Prometheus adds to everything that it scrapes."""

OF_COUNTERS = {"rate", "increase", "irate"}


def _series() -> dict[str, dict[str, LabelValues | None]]:
    """The labels of every series, by its name. None: values that are not listed."""
    found: dict[str, dict[str, LabelValues | None]] = {"up": {}}
    for metric in every_metric():
        labels: dict[str, LabelValues | None] = dict(metric.labels)
        if isinstance(metric, Counter):
            found[f"{metric.name}_total"] = labels
        elif isinstance(metric, Histogram):
            found[f"{metric.name}_bucket"] = labels | {"le": None}
            found |= {f"{metric.name}_sum": labels, f"{metric.name}_count": labels}
        else:
            found[metric.name] = labels
    return found


SERIES = _series()


@dataclass(frozen=True)
class Written:
    """An expression, and where it is written."""

    where: str
    text: str

    @property
    def parsed(self) -> Any:
        """The expression. Variables of Grafana get a value that it could give them."""
        text = self.text.replace("$__rate_interval", "5m").replace("$instance", ".*")
        assert "$" not in text, text
        return promql.parse(text)


def _expressions() -> list[Written]:
    alerts = [Written(rule["alert"], rule["expr"]) for rule in RULES]
    return alerts + [
        Written(f"{panel['title']} {target['refId']}", target["expr"])
        for panel in PANELS
        for target in panel.get("targets", ())
    ]


every_expression = pytest.mark.parametrize("written", _expressions(), ids=lambda written: written.where)


def _nodes(node: Any) -> Iterator[Any]:
    """Yield the expression and all parts of it."""
    yield node
    for name in ("lhs", "rhs", "expr", "param"):
        part = getattr(node, name, None)
        if part is not None:
            yield from _nodes(part)
    for argument in getattr(node, "args", ()):
        yield from _nodes(argument)
    if isinstance(node, promql.MatrixSelector):
        yield node.vector_selector


def _selectors(node: Any) -> list[Any]:
    return [each for each in _nodes(node) if isinstance(each, promql.VectorSelector)]


@every_expression
def test_every_expression_is_promql(written: Written) -> None:
    assert _selectors(written.parsed)


@every_expression
def test_every_series_is_one_of_the_server(written: Written) -> None:
    assert {selector.name for selector in _selectors(written.parsed)} - SERIES.keys() == set()


@every_expression
def test_every_matcher_names_a_label_and_a_value_of_its_series(written: Written) -> None:
    for selector in _selectors(written.parsed):
        for matcher in selector.matchers.matchers:
            if matcher.name in OF_PROMETHEUS:
                continue
            values = SERIES[selector.name][matcher.name]
            assert values is None or isinstance(values, OpenLabelValues) or _some_match(matcher, values), matcher


def _some_match(matcher: Any, values: LabelValues) -> bool:
    """Whether each alternative of the matcher fits a value."""
    alternatives = matcher.value.split("|") if "Re" in str(matcher.op) else [re.escape(matcher.value)]
    return all(any(re.fullmatch(each, value) for value in values) for each in alternatives)


@every_expression
def test_every_grouping_is_by_labels_of_all_series_below(written: Written) -> None:
    for node in _nodes(written.parsed):
        labels = set(getattr(getattr(node, "modifier", None), "labels", ()))
        if isinstance(node, promql.AggregateExpr) and labels:
            for selector in _selectors(node.expr):
                assert labels <= SERIES[selector.name].keys() | OF_PROMETHEUS


@every_expression
def test_rates_are_taken_of_counters_only_and_quantiles_of_buckets_by_le(written: Written) -> None:
    for node in _nodes(written.parsed):
        if not isinstance(node, promql.Call):
            continue
        names = [selector.name for selector in _selectors(node)]
        if node.func.name in OF_COUNTERS:
            assert all(name.endswith(("_total", "_bucket", "_sum", "_count")) for name in names), names
        if node.func.name == "histogram_quantile":
            assert all(name.endswith("_bucket") for name in names), names
            groups = [each for each in _nodes(node) if isinstance(each, promql.AggregateExpr)]
            assert groups and all("le" in each.modifier.labels for each in groups)


@pytest.mark.parametrize("bad", ["rate(agenthall_runs_pending)", "sum by (x", "x{status=}", "no_such_function(x)"])
def test_the_parser_refuses_what_prometheus_refuses(bad: str) -> None:
    with pytest.raises(ValueError):
        Written("", bad).parsed  # noqa: B018


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_is_complete(rule: dict[str, Any]) -> None:
    assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert "|" not in rule["alert"] and rule["alert"] in MONITOR.read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_label_in_an_annotation_is_left_by_the_expression(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    groups = [each for each in _nodes(promql.parse(rule["expr"])) if isinstance(each, promql.AggregateExpr)]
    left = {label for group in groups[:1] for label in getattr(group.modifier, "labels", ())}
    assert named <= (left if groups else OF_PROMETHEUS)


def test_the_names_of_alerts_differ() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_panels_have_their_own_ids_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_every_legend_shows_labels_that_its_expression_leaves() -> None:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            groups = [
                each for each in _nodes(Written("", target["expr"]).parsed) if isinstance(each, promql.AggregateExpr)
            ]
            left = {label for group in groups for label in getattr(group.modifier, "labels", ())}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left, panel["title"]


def test_the_dashboard_takes_its_data_source_from_a_variable() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert {each["name"] for each in board["templating"]["list"]} == {"datasource", "instance"}
    assert {str(panel["datasource"]["uid"]) for panel in PANELS if panel["type"] != "row"} == {"${datasource}"}
