"""Content negotiation: the headers Accept, Accept-Encoding and If-None-Match (RFC 9110, sections 12.5 and 13.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

HTML = "text/html"


def prefers_html(accept: str) -> bool:
    """Whether the header names HTML itself, and likes it more than JSON. Browsers do; `*/*` does not."""
    weights = dict(_weights(accept))
    html = weights.get(HTML, 0.0)
    return html > weights.get("application/json", weights.get("application/*", weights.get("*/*", 0.0)))


def names_html(accept: str) -> bool:
    return dict(_weights(accept)).get(HTML, 0.0) > 0


def choose_encoding(accept_encoding: str, offered: Sequence[str]) -> str | None:
    """The first of `offered` that the header accepts, or None: send the bytes as they are."""
    weights = dict(_weights(accept_encoding))
    accepted = (each for each in offered if weights.get(each, weights.get("*", 0.0)) > 0)
    return next(accepted, None)


def matches_etag(if_none_match: str, etag: str) -> bool:
    """Weak comparison, as If-None-Match asks for it (RFC 9110, section 13.1.2)."""
    given = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return "*" in given or etag in given


def _weights(header: str) -> Iterator[tuple[str, float]]:
    for part in header.lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        if name:
            yield name, _weight(parameters)


def _weight(parameters: Sequence[str]) -> float:
    """1 without `q`, 0 for one that is no number."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
