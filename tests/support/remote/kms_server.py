"""AWS KMS on loopback: two operations of its JSON 1.1 protocol, with strict checks of form and signature.

https://docs.aws.amazon.com/kms/latest/APIReference/ and
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ACCESS_KEY, SECRET_KEY, REGION = "AKIAEXAMPLE", "the-secret-of-aws", "eu-central-1"
ALIAS = "alias/agenthall"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/kms/aws4_request,"
    r" SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


class Refusal(Exception):
    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class KmsServer:
    """`failure`: the error of all answers until it is None again. `asked`: the operations that were asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.failure: tuple[str, int] | None = None
        self.asked: list[str] = []
        self._master = AESGCM(secrets.token_bytes(32))

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which AWS's tools use this server."""
        return {
            "AWS_ENDPOINT_URL_KMS": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def seal(self, plaintext: bytes, context: dict[str, str]) -> str:
        nonce = secrets.token_bytes(12)
        return base64.b64encode(nonce + self._master.encrypt(nonce, plaintext, _bound(context))).decode()

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(operation)
        if self.failure is not None:
            raise Refusal(*self.failure)
        if operation == "Decrypt":
            sealed = base64.b64decode(given.pop("CiphertextBlob"), validate=True)
            context = given.pop("EncryptionContext", {})
            _expect_nothing(given)
            try:
                plaintext = self._master.decrypt(sealed[:12], sealed[12:], _bound(context))
            except (InvalidTag, ValueError):
                raise Refusal("InvalidCiphertextException") from None
            return {"KeyId": "arn", "Plaintext": base64.b64encode(plaintext).decode()}
        if operation == "GenerateDataKeyWithoutPlaintext":
            if given.pop("KeyId") != ALIAS:
                raise Refusal("NotFoundException")
            size, context = given.pop("NumberOfBytes"), given.pop("EncryptionContext", {})
            _expect_nothing(given)
            return {"KeyId": "arn", "CiphertextBlob": self.seal(secrets.token_bytes(size), context)}
        raise Refusal("UnknownOperationException")


def _bound(context: dict[str, str]) -> bytes:
    return json.dumps(context, sort_keys=True).encode()


def _expect_nothing(given: dict[str, Any]) -> None:
    if given:
        raise Refusal("ValidationException")


class _Handler(BaseHTTPRequestHandler):
    kms: ClassVar[KmsServer]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            self._check(body)
            service, _, operation = self.headers["x-amz-target"].partition(".")
            assert (self.path, service) == ("/", "TrentService")
            assert self.headers["content-type"] == "application/x-amz-json-1.1"
            status, answer = 200, self.kms.answer(operation, json.loads(body))
        except Refusal as refusal:
            status, answer = refusal.status, {"__type": refusal.code, "message": "the account 111122223333"}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _check(self, body: bytes) -> None:
        """Raises Refusal for a request whose signature is not that of SECRET_KEY."""
        found = _AUTHORIZATION.fullmatch(self.headers.get("authorization", ""))
        if found is None or (found["key"], found["region"]) != (ACCESS_KEY, REGION):
            raise Refusal("UnrecognizedClientException")
        names = found["names"].split(";")
        lines = "".join(f"{name}:{self.headers[name].strip()}\n" for name in names)
        request = f"POST\n/\n\n{lines}\n{found['names']}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{found['day']}/{REGION}/kms/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self.headers['x-amz-date']}\n{scope}\n{digest}"
        key = f"AWS4{SECRET_KEY}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        if not hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), found["signature"]):
            raise Refusal("InvalidSignatureException")

    def log_message(self, *_args: Any) -> None:
        """Print nothing."""


@contextlib.contextmanager
def kms_server() -> Iterator[KmsServer]:
    kms = KmsServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"kms": kms}))
    kms.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield kms
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
