"""The environment decides whether spans are sent, by OpenTelemetry's own names."""

from __future__ import annotations

import importlib.util

import pytest

from robyn_server.core.errors import Misconfigured
from robyn_server.doctor.checks.tracing import check_traces
from robyn_server.tracing.options import TraceOptions, check_tracing, read_trace_options

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process' environment without variables of OpenTelemetry and LangSmith."""
    for name in ("LANGSMITH_TRACING", "LANGSMITH_ENDPOINT", "LANGSMITH_PROJECT", BASE, TRACES):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "given",
    [
        {},
        {BASE: ""},
        {"OTEL_SERVICE_NAME": "x"},
        {BASE: "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"},
        {BASE: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_an_endpoint_or_when_it_is_disabled_tracing_is_off(given: dict[str, str]) -> None:
    assert read_trace_options(given) is None


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ({BASE: "http://c:4318"}, "http://c:4318/v1/traces"),
        ({BASE: "https://c/otlp/"}, "https://c/otlp/v1/traces"),
        ({TRACES: "http://c/mine"}, "http://c/mine"),
        ({TRACES: "http://c/mine", BASE: "http://other"}, "http://c/mine"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        ({BASE: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://c/v1/traces"),
    ],
)
def test_spans_are_sent_to(given: dict[str, str], endpoint: str) -> None:
    assert read_trace_options(given) == TraceOptions(endpoint)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({BASE: "collector:4318"}, BASE),
        ({TRACES: "grpc://c"}, TRACES),
        ({BASE: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({BASE: "http://c", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
        ({BASE: "http://c", "OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER"),
    ],
)
def test_what_this_server_cannot_do_is_refused_by_name(given: dict[str, str], field: str) -> None:
    with pytest.raises(Misconfigured, match=field) as refused:
        read_trace_options(given)
    assert refused.value.field == field


@pytest.mark.parametrize(("value", "captured"), [("true", True), ("SPAN_ONLY", True), ("false", False), ("", False)])
def test_content_is_captured_only_on_request(value: str, captured: bool) -> None:
    options = read_trace_options({BASE: "http://c", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": value})
    assert options is not None
    assert options.captures_content is captured


def test_an_endpoint_without_the_extra_names_the_fix(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(BASE, "http://c")
    environment.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(Misconfigured, match=r"pip install 'agenthall\[otel\]'") as refused:
        check_tracing()
    assert refused.value.field == BASE


def test_the_doctor_says_where_traces_are_sent(environment: pytest.MonkeyPatch) -> None:
    assert check_traces().startswith("off")
    environment.setenv(BASE, "https://user:secret@c:4318")
    environment.setenv("LANGSMITH_TRACING", "true")
    environment.setenv("LANGSMITH_PROJECT", "mine")
    assert check_traces() == (
        "OpenTelemetry to https://c:4318/v1/traces; LangSmith to https://api.smith.langchain.com, project mine"
    )
