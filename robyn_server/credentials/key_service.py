"""Keys that AWS KMS encrypted: `aws-kms:` and the ciphertext of a key in base64. Only the service decrypts them.

The client takes its credentials, region and endpoint as AWS's own tools do: from variables, a profile, or the role of
the machine or the pod. The encryption context keeps a ciphertext of another purpose from being a key here.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
"""

from __future__ import annotations

import base64
import binascii
import functools
import logging
from collections.abc import Callable
from typing import Any

from robyn_server.core.errors import AgenthallError, Misconfigured, Unavailable

from .key_ring import KEY_BYTES

PREFIX = "aws-kms:"
CONTEXT = {"agenthall": "secret-key"}
_SECONDS = 5.0
_ATTEMPTS = 3
_SERVER_ERROR = 500
_TEMPORARY = frozenset(
    {"DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException", "ThrottlingException"}
)
"""Errors of the service that a later attempt may not have."""


def is_wrapped(text: str) -> bool:
    return text.startswith(PREFIX)


@functools.cache
def unwrap(text: str, source: str) -> bytes:
    """Let the service decrypt a key. The first call takes some milliseconds, at most about 20 s.

    Raises Misconfigured where the service refuses, Unavailable where the service does not answer.
    """
    try:
        sealed = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise Misconfigured(f"{source}: a key after `{PREFIX}` is not base64", field=source) from None
    key: bytes = _ask(source, lambda kms: kms.decrypt(CiphertextBlob=sealed, EncryptionContext=CONTEXT))["Plaintext"]
    if len(key) != KEY_BYTES:
        raise Misconfigured(f"{source}: AWS KMS decrypted {len(key)} bytes, not a key of {KEY_BYTES}", field=source)
    return key


def new_wrapped_key(key_id: str) -> str:
    """Let the service make a key that it encrypts with its key `key_id`: an id, an ARN or `alias/name`.

    Nobody sees the plaintext. Raises as `unwrap` does.
    """
    answer = _ask(
        "--aws-kms",
        lambda kms: kms.generate_data_key_without_plaintext(
            KeyId=key_id, NumberOfBytes=KEY_BYTES, EncryptionContext=CONTEXT
        ),
    )
    return PREFIX + base64.b64encode(answer["CiphertextBlob"]).decode()


def _ask(source: str, call: Callable[[Any], Any]) -> Any:
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise Misconfigured(f"{source}: AWS KMS needs the extra: pip install 'agenthall[kms]'", field=source) from None
    try:
        return call(_client())
    except (BotoCoreError, ClientError) as error:
        raise _converted(error, source) from None


def _client() -> Any:
    from botocore.config import Config
    from botocore.session import get_session

    logging.getLogger("botocore").setLevel(logging.WARNING)  # else it tells where the credentials come from
    retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
    config = Config(connect_timeout=_SECONDS, read_timeout=_SECONDS, retries=retries)
    return get_session().create_client("kms", config=config)


def _converted(error: Exception, source: str) -> AgenthallError:
    """The error for the operator. The request, which is not secret, is left out, as is the account."""
    answer: dict[str, Any] = getattr(error, "response", {})
    code = str(answer.get("Error", {}).get("Code", type(error).__name__))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _TEMPORARY or status >= _SERVER_ERROR or _is_of_the_network(error):
        return Unavailable(f"{source}: AWS KMS does not answer now ({code})", code="key_service_unavailable")
    return Misconfigured(f"{source}: AWS KMS refuses the key ({code})", field=source)


def _is_of_the_network(error: Exception) -> bool:
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import HTTPClientError

    return isinstance(error, HTTPClientError | NoConnection)
