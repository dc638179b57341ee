"""Names of secrets that a run's configuration may not have."""

from __future__ import annotations

import pytest

from robyn_server.core.access.secret_names import find_secret, is_secret_name

_SECRETS = (
    "user_token userToken usertoken authorization Authorization X-Api-Key api_key apiKey apiKeys api_keys_2 API_KEY apikey "
    "OPENAI_API_KEY password PGPASSWORD db_password client_secret clientSecret secret jwt bearer x-supabase-access-token "
    "accessToken refresh_token cookie credentials private_key ssh_key signing_key token"
)
_NO_SECRETS = (
    "max_tokens maxOutputTokens total_tokens token_limit tokenizer tokens token_count key keys cache_key key_id keyboard "
    "public_key primary_key author authority auth_mode pattern path bypass model_name secret_name token_type user_id "
    "thread_id api_url monkey apikey_id access private"
)


@pytest.mark.parametrize("name", _SECRETS.split())
def test_a_name_of_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", [*_NO_SECRETS.split(), "", "ключ", "2"])
def test_a_harmless_name(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"user_token": "x"}, "context.user_token"),
        ({"headers": {"Authorization": "Bearer x"}}, "context.headers.Authorization"),
        ({"servers": [{"url": "u"}, {"headers": {"cookie": "x"}}]}, "context.servers.headers.cookie"),
        ({"apiKeys": {"OPENAI": "x"}}, "context.apiKeys"),
        ({"tokens": {"access_token": ["x"]}}, "context.tokens.access_token"),
        ({"use_token": True, "token": None, "secret": "", "password": 0, "credentials": {}}, None),
        ({"style": "short", "max_tokens": 5}, None),
    ],
)
def test_the_first_secret_is_found_at_any_depth(value: object, path: str | None) -> None:
    assert find_secret(value, "context") == path
