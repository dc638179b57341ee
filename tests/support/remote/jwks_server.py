"""An issuer of tokens that serves its JSON Web Key Set on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "agents"


class SigningPair:
    """A private key, and its public half as a JWK."""

    def __init__(self, algorithm: str, kid: str | None) -> None:
        self.algorithm, self.kid = algorithm, kid
        self.private, made = _made(algorithm)
        self.jwk: dict[str, Any] = {**made, "use": "sig"} | ({} if kid is None else {"kid": kid})

    def token(self, sub: str = "ada", *, kid: str | None = None, **claims: Any) -> str:
        payload = {"sub": sub, "exp": time.time() + 60, "aud": AUDIENCE} | claims
        name = kid or self.kid
        return jwt.encode(payload, self.private, self.algorithm, headers={"kid": name} if name else None)


def _made(algorithm: str) -> tuple[Any, dict[str, Any]]:
    if algorithm == "RS256":
        private: Any = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return private, RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    if algorithm == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
        return private, ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    private = ed25519.Ed25519PrivateKey.generate()
    return private, OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)


class JwksServer:
    """`status`, `body`, `location`: the next responses. `asked`: the number of requests."""

    def __init__(self) -> None:
        self.status, self.asked, self.url = 200, 0, ""
        self.body = b""
        self.location = "/"

    def publish(self, *pairs: SigningPair, also: tuple[dict[str, Any], ...] = ()) -> None:
        self.body = json.dumps({"keys": [*(pair.jwk for pair in pairs), *also]}).encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            head = f"HTTP/1.1 {self.status} X\r\nlocation: {self.location}\r\ncontent-length: {len(self.body)}\r\n"
            head += "connection: close\r\n\r\n"
            writer.write(head.encode() + self.body)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def jwks_server(*pairs: SigningPair) -> AsyncIterator[JwksServer]:
    served = JwksServer()
    served.publish(*pairs)
    server = await asyncio.start_server(served.answer, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/.well-known/jwks.json"
    try:
        yield served
    finally:
        server.close()
