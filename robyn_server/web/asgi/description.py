"""The OpenAPI document of an app that has one, as FastAPI's do."""

from __future__ import annotations

from typing import Any

import structlog

_log = structlog.get_logger(__name__)


def openapi_of(app: object) -> dict[str, Any] | None:
    """The document; None for an app without one, one that does not publish it (`openapi_url=None`), and one that
    cannot make it. The log names the reason of the last."""
    make = getattr(app, "openapi", None)
    if not callable(make) or getattr(app, "openapi_url", None) is None:
        return None
    try:
        document = make()
    except Exception as error:  # noqa: BLE001 - models of the project may raise anything
        _log.warning("the app's OpenAPI document cannot be made", reason=f"{type(error).__name__}: {error}")
        return None
    return document if isinstance(document, dict) and isinstance(document.get("paths"), dict) else None
