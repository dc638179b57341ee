"""Settings of tracing from the environment. The names and meanings are OpenTelemetry's; the SDK itself reads the
others.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from robyn_server.core.errors import Misconfigured

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
DISABLED = "OTEL_SDK_DISABLED"
EXPORTER = "OTEL_TRACES_EXPORTER"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

INSTALL = "pip install 'agenthall[otel]'"
_PROTOCOL = "http/protobuf"
_DEFAULT_ENDPOINT = "http://localhost:4318"
_PATH = "/v1/traces"
_PACKAGE = "opentelemetry.exporter.otlp.proto.http"
_CAPTURED = frozenset({"true", "span_only", "span_and_event"})


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """`endpoint`: the URL that spans are posted to.

    `captures_content`: whether spans have messages, arguments and results.
    """

    endpoint: str
    captures_content: bool = False

    @property
    def shown_endpoint(self) -> str:
        """The endpoint without what may be a secret: credentials and the query."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_trace_options(environment: Mapping[str, str] | None = None) -> TraceOptions | None:
    """None: tracing is off. Raises Misconfigured, which names the variable, for what this server cannot do."""
    given = os.environ if environment is None else environment
    exporter = given.get(EXPORTER, "").strip().lower()
    if exporter not in {"", "none", "otlp"}:
        raise Misconfigured(f"{EXPORTER}: {exporter!r} is not offered; it may be otlp or none", field=EXPORTER)
    if given.get(DISABLED, "").strip().lower() == "true" or exporter == "none":
        return None
    endpoint = _endpoint(given)
    if endpoint is None and not exporter:
        return None
    _check_protocol(given)
    captures = given.get(CAPTURE, "").strip().lower() in _CAPTURED
    return TraceOptions(endpoint or _DEFAULT_ENDPOINT + _PATH, captures)


def check_tracing() -> TraceOptions | None:
    """The options of this process. Raises Misconfigured, also where the extra is not installed."""
    options = read_trace_options()
    if options is not None and not _is_installed():
        field = next((name for name in (TRACES_ENDPOINT, ENDPOINT, EXPORTER) if os.environ.get(name)), ENDPOINT)
        raise Misconfigured(f"{field} is set, but OpenTelemetry is not installed: {INSTALL}", field=field)
    return options


def _endpoint(given: Mapping[str, str]) -> str | None:
    """The whole URL of TRACES_ENDPOINT, or the base URL of ENDPOINT with the path of traces. None: neither is set."""
    if url := given.get(TRACES_ENDPOINT, "").strip():
        return _checked(TRACES_ENDPOINT, url)
    if url := given.get(ENDPOINT, "").strip():
        return _checked(ENDPOINT, url).rstrip("/") + _PATH
    return None


def _checked(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Misconfigured(f"{name} must be an http or https URL, such as {_DEFAULT_ENDPOINT}", field=name)
    return url


def _check_protocol(given: Mapping[str, str]) -> None:
    for name in PROTOCOLS:
        if protocol := given.get(name, "").strip():
            if protocol != _PROTOCOL:
                raise Misconfigured(f"{name}: {protocol!r} is not offered; it may be {_PROTOCOL}", field=name)
            return


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec(_PACKAGE) is not None
    except ModuleNotFoundError:
        return False
