"""Readers and the event log see the fields of an instance without secrets, and nothing else is redacted."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from registry_database import RegistryDatabase

from robyn_server.core.access.secret_names import is_secret_name

_SECRETS = (
    "pwd auth x-auth bearer jwt accesskey PASSPHRASE signature PGPASSWORD token access_tokens X-API-Key api_key_2 "
    "pass PASS db_pass userPass dbpass smtp-pass pass2 pass_phrase passkey "
    "key KEY keys key1 KEY_2 ssh_key ssh-key ssh.key account_key accountKey AccountKey encryption_key SSHKey sshkey ssh_keys "
    "pat PAT github_pat githubPat smtp_pw sig creds"
)
_NO_SECRETS = (
    "public_key publicKey public-key ssh_public_key publishable_key primary_key foreign_key partition_key sort_keys "
    "key_id keyId key_name keyboard monkey hotkey turkey author authority path pattern compat pass_through passthrough bypass "
    "compass max_tokens maxOutputTokens total_tokens token_limit tokenizer signal config url host"
)
SECRETS, NO_SECRETS = _SECRETS.split(), _NO_SECRETS.split()
LINES = {
    "Authorization: Bearer abc": "Authorization: [secret]",
    "X-Api-Key:abc": "X-Api-Key: [secret]",
    "Accept: text/plain": "Accept: text/plain",
    "curl -H 'authorization: Basic eDp5'": "curl -H 'authorization: [secret]",
    "Bearer abc": "Bearer [secret]",
    "http://u:p@ss@host": "http://[secret]@host",
    "http://u:p@ss:80@host:1/x@y?z=@#@": "http://[secret]@host:1/x@y?z=@#@",
    "amqp://u:p@one,u:p@two/v": "amqp://[secret]@two/v",
    "http://host:80/path": "http://host:80/path",
    "https://host/x?access_token=abc&page=2&sig=def#part": "https://host/x?access_token=[secret]&page=2&sig=[secret]#part",
    "https://host/?public_key=1&key=2&pass=3": "https://host/?public_key=1&key=[secret]&pass=[secret]",
    "https://host/#access_token=abc": "https://host/#access_token=[secret]",
    "host=db password='a b#c' user=x": "host=db password=[secret] user=x",
    "AccountName=x;AccountKey=abc==;Suffix=y": "AccountName=x;AccountKey=[secret];Suffix=y",
    "one:6380,password=a,b,ssl=True": "one:6380,password=[secret],ssl=True",
    "--token=abc": "--token=[secret]",
    "-----BEGIN RSA PRIVATE KEY-----\nabc": "[secret]",
    "a&b?c#d e=f": "a&b?c#d e=f",
    "": "",
}


async def _without(registry: RegistryDatabase, document: Any) -> Any:
    return orjson.loads(await registry.owner.fetchval("select mcp.redact_secrets($1::jsonb)", _text(document)))


async def _public(registry: RegistryDatabase, document: Any) -> Any:
    """As events and readers have it: a cheap look decides whether it is gone through."""
    instance = {"version_key": "1", "connection_details": document, "runtime_config": {"nested": [document]}}
    return orjson.loads(await registry.owner.fetchval("select mcp.public_instance($1::jsonb)", _text(instance)))


def _text(document: Any) -> str:
    return orjson.dumps(document).decode()


@pytest.mark.parametrize(("names", "are"), [(SECRETS, True), (NO_SECRETS, False)])
async def test_members_named_like_a_secret_are_redacted(
    registry: RegistryDatabase, names: list[str], are: bool
) -> None:
    rows = await registry.owner.fetch("select n, mcp.is_secret_name(n) from unnest($1::text[]) n", names)
    assert [name for name, found in rows if found is not are] == []


async def test_secrets_within_strings_are_redacted_and_nothing_else(registry: RegistryDatabase) -> None:
    assert dict(zip(LINES, await _without(registry, list(LINES)), strict=True)) == LINES


async def test_a_secret_value_of_any_type_is_redacted(registry: RegistryDatabase) -> None:
    given = {"password": 12345, "auth": {"type": "basic", "user": "u"}, "keys": ["a"], "author": "Ada", "port": 1}
    gone = "[secret]"
    assert await _without(registry, given) == {"password": gone, "auth": gone, "keys": gone, "author": "Ada", "port": 1}


async def test_lists_of_named_values_are_redacted_by_name(registry: RegistryDatabase) -> None:
    given = {"env": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "ZONE", "value": "eu"}]}
    assert await _without(registry, given) == {
        "env": [{"name": "DB_PASSWORD", "value": "[secret]"}, {"name": "ZONE", "value": "eu"}]
    }
    assert await _without(registry, {"key": "DB_PASSWORD", "value": "x"}) == {"key": "[secret]", "value": "[secret]"}


async def test_the_cheap_check_finds_everything_that_is_redacted(registry: RegistryDatabase) -> None:
    """Each alone, for one would make it look at its neighbours."""
    documents = [{name: "x"} for name in SECRETS] + [[line] for line in LINES] + [{"name": name} for name in SECRETS]
    documents += [{"line": f"{name}{sign}x"} for name in SECRETS for sign in ("=", ":", " = ")]
    for document in documents:
        shown = await _without(registry, document)
        assert await _public(registry, document) == {"connection_details": shown, "runtime_config": {"nested": [shown]}}


async def test_what_a_run_may_not_be_configured_with_is_redacted(registry: RegistryDatabase) -> None:
    """The rule for configurations is the narrower one."""
    names = [name for name in (*SECRETS, *NO_SECRETS) if is_secret_name(name)]
    assert names and await registry.owner.fetchval(
        "select bool_and(mcp.is_secret_name(n)) from unnest($1::text[]) n", names
    )
