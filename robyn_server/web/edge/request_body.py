"""The body of a request: whole, of an accepted kind, and no larger than allowed."""

from __future__ import annotations

from collections.abc import Mapping

from robyn_server.core.errors import BadRequest, Encoded, TooLarge
from robyn_server.settings import Settings

from .raw_request import RawRequest

_NO_FORMS_FOR_APP = (
    "multipart/form-data cannot be passed on to the app. Write the media type with capitals, Multipart/Form-Data, as"
    " deploy/nginx.conf does, or send the file as the body itself."
)
_NO_LENGTH = "The request body arrived without its length: it broke off, or the proxy does not read bodies whole."


class BodyReader:
    """Checks bodies against the limit, which Robyn does not have."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.max_body_bytes
        self._behind_proxy = settings.behind_proxy

    def read(self, raw: RawRequest, *, for_app: bool = False) -> bytes:
        """Return the whole body. Raises BadRequest, Encoded, TooLarge.

        Robyn reads it without a limit, and takes a truncated body for a whole one.

        Of a form with files, Robyn gives no bytes but its own parts.
        """
        if raw.body and not for_app:
            _refuse_encoded(raw.headers)
        declared = _content_length(raw.headers)
        if declared > self._limit or len(raw.body) > self._limit:
            raise self._too_large()
        if self._behind_proxy and "transfer-encoding" in raw.headers:
            raise BadRequest(_NO_LENGTH)  # Robyn takes a chunked body that breaks off for a whole one
        if _is_form_with_files(raw, for_app=for_app):
            raise BadRequest(
                _NO_FORMS_FOR_APP if for_app else "multipart bodies are not accepted here; send application/json"
            )
        body = raw.content
        if len(body) > self._limit:
            raise self._too_large()
        if len(body) < declared:
            raise BadRequest(f"The request body was cut off: {len(body)} of {declared} bytes arrived.")
        return body

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request body is larger than {self._limit} bytes (AGENTHALL_MAX_BODY_BYTES).")


def _refuse_encoded(headers: Mapping[str, str]) -> None:
    """Raises Encoded for a compressed body. Undoing that would let a small body fill the memory."""
    encoding = headers.get("content-encoding", "").strip()
    if encoding.lower() not in {"", "identity"}:
        raise Encoded(f"A body with the Content-Encoding {encoding[:32]!r} is not accepted here; send it as it is.")


def _is_form_with_files(raw: RawRequest, *, for_app: bool) -> bool:
    media_type = raw.headers.get("content-type", "")
    if for_app:
        return "multipart/form-data" in media_type  # where Robyn takes it apart: with capitals it does not
    return media_type.lower().startswith("multipart/")


def _content_length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length")
    return int(text) if text is not None and text.isdecimal() else 0
