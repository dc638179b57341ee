"""A strict authorization server on loopback. It refuses what the specifications do not allow, and notes why.

OAuth 2.1 with PKCE, dynamic registration, rotation of refresh tokens, revocation, and token exchange:
RFC 6749, 7009, 7591, 7636, 8414, 8693, 8707.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

import jwt
import uvicorn
from deadlines import DEADLINE
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from robyn_server.ports import hold_port

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


class AuthorizationServer:
    """`subject_secret`: signs the tokens that may be exchanged. `lifetime`: seconds of an access token.

    `user`: the one that approves in the browser; None denies. `secrets`: all that was issued. `refusals`: why a request
    was refused.
    """

    def __init__(self, subject_secret: str) -> None:
        self.secret, self.subject_secret = secrets.token_hex(32), subject_secret
        self.lifetime: float = 3600
        self.user: str | None = "user-at-the-server"
        self.url = ""
        self.clients: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.refreshes: dict[str, dict[str, str]] = {}
        self.secrets: list[str] = []
        self.refusals: list[str] = []
        self.counts: dict[str, int] = {}
        self.registers = True
        self.changed: dict[str, Any] = {}
        """Members of the metadata, of this server and of its resource, that are other than they should be."""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/oauth-authorization-server", self.metadata),
                Route("/register", self.register, methods=["POST"]),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/revoke", self.revoke, methods=["POST"]),
                Route("/mcp", self.challenge, methods=["POST"]),
                Route("/.well-known/oauth-protected-resource/mcp", self.resource),
            ]
        )

    def add_client(self, client_id: str, secret: str | None, *redirect_uris: str) -> None:
        method = "none" if secret is None else "client_secret_basic"
        self.clients[client_id] = {"redirect_uris": list(redirect_uris), "secret": secret, "method": method}

    async def metadata(self, _request: Request) -> Response:
        named = {"registration_endpoint": f"{self.url}/register"} if self.registers else {}
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "revocation_endpoint": f"{self.url}/revoke",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token", EXCHANGE],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
                "authorization_response_iss_parameter_supported": True,
                **named,
                **self.changed,
            }
        )

    async def challenge(self, _request: Request) -> Response:
        """A protected MCP server on the same port, which answers nothing else."""
        metadata = f"{self.url}/.well-known/oauth-protected-resource/mcp"
        return Response(status_code=401, headers={"www-authenticate": f'Bearer resource_metadata="{metadata}"'})

    async def resource(self, _request: Request) -> Response:
        named = {"resource": f"{self.url}/mcp", "authorization_servers": [self.url], "scopes_supported": ["tools"]}
        return JSONResponse({**named, **self.changed})

    async def register(self, request: Request) -> Response:
        self.count("register")
        asked = await request.json()
        uris = asked.get("redirect_uris")
        if not uris or asked.get("token_endpoint_auth_method") not in ("none", "client_secret_basic"):
            return self.refuse("registration: redirect_uris or token_endpoint_auth_method", "invalid_client_metadata")
        client_id = f"client-{secrets.token_hex(4)}"
        self.clients[client_id] = {"redirect_uris": uris, "secret": None, "method": "none"}
        return JSONResponse({**asked, "client_id": client_id, "token_endpoint_auth_method": "none"}, 201)

    async def authorize(self, request: Request) -> Response:
        """Approve at once, as a user with a session would."""
        asked = dict(request.query_params)
        client = self.clients.get(asked.get("client_id", ""))
        if client is None or asked.get("redirect_uri") not in client["redirect_uris"]:
            return self.refuse("authorize: client or redirect_uri")
        if asked.get("response_type") != "code" or asked.get("code_challenge_method") != "S256":
            return self.refuse("authorize: response_type or PKCE")
        if len(asked.get("code_challenge", "")) != 43 or len(asked.get("state", "")) < 32:
            return self.refuse("authorize: code_challenge or state")
        if not asked.get("resource"):
            return self.refuse("authorize: resource")
        if self.user is None:
            return self.back(asked, error="access_denied")
        code = self.issued(secrets.token_urlsafe(24))
        self.codes[code] = {**asked, "user": self.user}
        return self.back(asked, code=code)

    def back(self, asked: dict[str, str], **answer: str) -> Response:
        query = urlencode({**answer, "state": asked["state"], "iss": self.url})
        return RedirectResponse(f"{asked['redirect_uri']}?{query}", 302)

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if (client_id := self.client_of(request, form)) is None:
            return self.refuse("token: client", "invalid_client", 401)
        self.count(form.get("grant_type", ""))
        match form.get("grant_type"):
            case "authorization_code":
                return self.by_code(form, client_id)
            case "refresh_token":
                return self.by_refresh(form, client_id)
            case grant if grant == EXCHANGE:
                return self.by_exchange(form)
        return self.refuse("token: grant_type", "unsupported_grant_type")

    def client_of(self, request: Request, form: dict[str, str]) -> str | None:
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            client_id, _, secret = base64.b64decode(credentials).decode().partition(":")
            client_id, secret = unquote(client_id), unquote(secret)
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret") or None
        client = self.clients.get(client_id)
        return client_id if client is not None and client["secret"] == secret else None

    def by_code(self, form: dict[str, str], client_id: str) -> Response:
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["client_id"] != client_id or asked["redirect_uri"] != form.get("redirect_uri"):
            return self.refuse("token: code, client or redirect_uri", "invalid_grant")
        if challenge != asked["code_challenge"]:
            return self.refuse("token: code_verifier", "invalid_grant")
        if form.get("resource") != asked["resource"]:
            return self.refuse("token: resource", "invalid_target")
        return self.answer(asked["user"], asked["resource"], client_id)

    def by_refresh(self, form: dict[str, str], client_id: str) -> Response:
        """Each refresh token is used once; a second use is a theft."""
        kept = self.refreshes.pop(form.get("refresh_token", ""), None)
        if kept is None or kept["client_id"] != client_id:
            return self.refuse("token: refresh_token", "invalid_grant")
        if form.get("resource", kept["resource"]) != kept["resource"]:
            return self.refuse("token: resource", "invalid_target")
        return self.answer(kept["user"], kept["resource"], client_id)

    def by_exchange(self, form: dict[str, str]) -> Response:
        if form.get("subject_token_type") != ACCESS or not form.get("resource"):
            return self.refuse("exchange: subject_token_type or resource", "invalid_request")
        try:
            claims = jwt.decode(
                form.get("subject_token", ""), self.subject_secret, ["HS256"], options={"verify_aud": False}
            )
        except jwt.InvalidTokenError:
            return self.refuse("exchange: subject_token", "invalid_grant")
        token = self.access_token(claims["sub"], form["resource"])
        return JSONResponse(
            {"access_token": token, "issued_token_type": ACCESS, "token_type": "Bearer", "expires_in": self.lifetime}
        )

    async def revoke(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if self.client_of(request, form) is None:
            return self.refuse("revoke: client", "invalid_client", 401)
        self.count("revoke")
        self.refreshes.pop(form.get("token", ""), None)
        return Response(status_code=200)

    def answer(self, user: str, resource: str, client_id: str) -> Response:
        refresh = self.issued(secrets.token_urlsafe(32))
        self.refreshes[refresh] = {"user": user, "resource": resource, "client_id": client_id}
        return JSONResponse(
            {
                "access_token": self.access_token(user, resource),
                "token_type": "Bearer",
                "expires_in": self.lifetime,
                "refresh_token": refresh,
                "scope": "tools",
            },
            headers={"cache-control": "no-store"},
        )

    def access_token(self, user: str, resource: str) -> str:
        claims = {"sub": user, "aud": resource, "iss": self.url, "exp": time.time() + self.lifetime}
        return self.issued(jwt.encode({**claims, "jti": secrets.token_hex(8)}, self.secret, "HS256"))

    def issued(self, secret: str) -> str:
        self.secrets.append(secret)
        return secret

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def refuse(self, why: str, error: str = "invalid_request", status: int = 400) -> Response:
        self.refusals.append(why)
        return JSONResponse({"error": error}, status)


@contextlib.contextmanager
def authorization_server(subject_secret: str) -> Iterator[AuthorizationServer]:
    made = AuthorizationServer(subject_secret)
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
    made.url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(made.app(), host="127.0.0.1", port=port, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + DEADLINE
    while not server.started:
        assert thread.is_alive() and time.monotonic() < end, "the authorization server does not start"
        time.sleep(0.02)
    try:
        yield made
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
