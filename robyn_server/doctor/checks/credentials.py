"""Check of the keys that encrypt credentials: this server has every one that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robyn_server.core.errors import Misconfigured
from robyn_server.credentials.keys import VARIABLE, Keys
from robyn_server.doctor.check import Check, check_async
from robyn_server.doctor.database import connect_as_system
from robyn_server.settings import load_settings
from robyn_server.storage.mcp.credentials import McpCredentials


def credential_checks(dsn: str, data_dir: Path) -> Iterator[Check]:
    """Yield the check; none with settings that cannot be read, which is reported elsewhere."""
    try:
        given = load_settings(host="127.0.0.1").secret_key
    except Misconfigured:
        return
    yield check_async("credentials", _check(dsn, Keys(given, data_dir)))


async def _check(dsn: str, keys: Keys) -> str:
    """Raises Misconfigured if the ring cannot be used, or lacks a key."""
    async with connect_as_system(dsn, "agenthall.mcp_clients", "credentials") as connection:
        counts = {} if connection is None else await McpCredentials(connection).count_by_key()
    ring, total = keys.existing(), sum(counts.values())
    known = {key: count for key, count in counts.items() if ring is not None and ring.has(bytes.fromhex(key))}
    if unknown := sorted(counts.keys() - known.keys()):
        lost = total - sum(known.values())
        where = f"the file {keys.path}" if keys.are_in_file else VARIABLE
        raise Misconfigured(
            f"{lost} of {total} secrets were encrypted with keys that are not in {where} ({', '.join(unknown)}): "
            "put these keys behind the current one, or store the credentials again",
            field=VARIABLE,
        )
    if ring is None or not total:
        return "nothing is encrypted yet"
    older = total - known.get(ring.current.hex(), 0)
    return f"{total} encrypted" + (f", {older} with an older key: `agenthall credentials rotate`" if older else "")
