"""The examples for Kubernetes parse, fit each other, and name what the server and the client have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import promql_parser as promql
import pytest
import yaml  # type: ignore[import-untyped]

from robyn_server.core.access.scopes import Scope
from robyn_server.core.registry.scaling import TARGET_UTILISATION, ScalingSignals
from robyn_server.metrics import every_metric
from robyn_server.web.routes import all_routes

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
CLIENT = Path(__file__).resolve().parents[2] / "clients" / "python" / "agenthall_client"


def _objects(name: str, kind: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((FOLDER / name).read_text()) if each["kind"] == kind]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_object_has_a_kind_and_a_name(path: Path) -> None:
    for each in yaml.safe_load_all(path.read_text()):
        assert each["apiVersion"] and each["kind"] and each["metadata"]["name"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_scope_that_is_named_exists(path: Path) -> None:
    assert {*re.findall(r"--scope (\S+)", path.read_text())} <= {str(each) for each in Scope}


def test_the_deployment_is_the_target_of_both_autoscalers() -> None:
    (deployment,) = _objects("bot.yaml", "Deployment")
    (keda,) = _objects("keda-scaledobject.yaml", "ScaledObject")
    (hpa,) = _objects("hpa.yaml", "HorizontalPodAutoscaler")
    name = deployment["metadata"]["name"]
    assert keda["spec"]["scaleTargetRef"]["name"] == hpa["spec"]["scaleTargetRef"]["name"] == name


def test_the_variables_of_the_bot_are_those_that_the_client_reads() -> None:
    (deployment,) = _objects("bot.yaml", "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    named = {each["name"] for each in container["env"] if each["name"].startswith("AGENTHALL_")}
    source = "".join(path.read_text() for path in CLIENT.rglob("*.py"))
    assert named and all(f'"{name}"' in source for name in named)


def test_the_secrets_that_are_used_exist() -> None:
    for name in ("bot.yaml", "keda-scaledobject.yaml"):
        secrets = {each["metadata"]["name"]: each["stringData"] for each in _objects(name, "Secret")}
        text = (FOLDER / name).read_text()
        used = re.findall(r"name: ([\w-]+), key: ([\w-]+)", text)
        assert used and all(key in secrets[secret] for secret, key in used)


def test_keda_reads_a_member_that_the_route_answers() -> None:
    (keda,) = _objects("keda-scaledobject.yaml", "ScaledObject")
    (trigger,) = keda["spec"]["triggers"]
    url = urlsplit(trigger["metadata"]["url"])
    route = next(each for each in all_routes() if each.path == url.path)
    assert set(parse_qs(url.query)) <= {parameter.name for parameter in route.query}
    answer = {"agents": [ScalingSignals("my-bot", 1, 0.0, 0, 0, 0, 0, 0, 1.0).to_dict()]}
    value: Any = answer
    for step in trigger["metadata"]["valueLocation"].split("."):
        value = value[int(step)] if step.isdigit() else value[step]
    assert value == 2
    assert (
        trigger["authenticationRef"]["name"]
        == _objects("keda-scaledobject.yaml", "TriggerAuthentication")[0]["metadata"]["name"]
    )


def test_the_rule_of_the_hpa_is_promql_over_metrics_that_exist() -> None:
    text = (FOLDER / "hpa.yaml").read_text()
    expression = re.search(r"metricsQuery: >-\n#\s+(.+)", text)
    assert expression is not None
    query = expression[1].replace("<<.LabelMatchers>>", 'agent="my-bot"')
    promql.parse(query)
    known = {each.name for each in every_metric()}
    assert set(re.findall(r"agenthall_\w+(?=\{)", query)) <= known
    (hpa,) = _objects("hpa.yaml", "HorizontalPodAutoscaler")
    (metric,) = hpa["spec"]["metrics"]
    assert metric["external"]["target"]["averageValue"] == f"{int(1000 * TARGET_UTILISATION)}m"
    assert f"as: {metric['external']['metric']['name']}" in text
