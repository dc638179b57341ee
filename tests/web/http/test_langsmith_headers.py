"""LangSmith's headers of a caller become keys of the configuration."""

from __future__ import annotations

import pytest

from robyn_server.web.http.langsmith_headers import langsmith_keys

ORDER = "20261129T160000000000Z01a22828-acd7-70aa-893d-736948b0024a"


def test_the_trace_and_its_baggage_are_read() -> None:
    baggage = (
        "langsmith-metadata=%7B%22a%22%3A%20%22b%22%7D,langsmith-tags=x%2Cy,langsmith-project=my%20project,other=1"
    )
    assert langsmith_keys({"langsmith-trace": f"{ORDER}.{ORDER}", "baggage": baggage}) == {
        "langsmith-trace": f"{ORDER}.{ORDER}",
        "langsmith-metadata": {"a": "b"},
        "langsmith-tags": ["x", "y"],
        "langsmith-project": "my project",
    }


def test_destinations_of_a_caller_are_never_taken() -> None:
    """Replicas could send what runs say to another server."""
    baggage = 'langsmith-replicas=[{"api_url": "http://evil", "api_key": "k"}]'
    assert langsmith_keys({"langsmith-trace": ORDER, "baggage": baggage}) == {"langsmith-trace": ORDER}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"baggage": "langsmith-project=p"},
        {"langsmith-trace": "x"},
        {"langsmith-trace": ".".join([ORDER] * 100)},
    ],
)
def test_without_a_trace_nothing_is_taken(headers: dict[str, str]) -> None:
    assert langsmith_keys(headers) == {}


@pytest.mark.parametrize("baggage", ["", "a", ",,=", "langsmith-metadata=[1]", "langsmith-metadata=%7B", "x" * 5000])
def test_a_malformed_baggage_is_ignored(baggage: str) -> None:
    assert langsmith_keys({"langsmith-trace": ORDER, "baggage": baggage}) == {"langsmith-trace": ORDER}
