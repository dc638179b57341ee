"""Keys that AWS KMS encrypted, with a server that speaks its protocol."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from remote.kms_server import ALIAS, KmsServer, kms_server

from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.credentials.key_ring import new_key
from robyn_server.credentials.key_service import CONTEXT, PREFIX, new_wrapped_key, unwrap
from robyn_server.credentials.keys import VARIABLE, Keys


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[KmsServer]:
    with kms_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        unwrap.cache_clear()
        yield server


def test_a_key_that_the_service_made_encrypts_and_is_never_seen(kms: KmsServer, tmp_path: Path) -> None:
    made = new_wrapped_key(ALIAS)
    assert made.startswith(PREFIX)
    sealed = Keys(SecretStr(made), tmp_path).seal("s3cret", b"row")
    assert Keys(SecretStr(made), tmp_path).open(sealed, b"row") == "s3cret"
    assert kms.asked == ["GenerateDataKeyWithoutPlaintext", "Decrypt"], "once for a process"
    assert list(tmp_path.iterdir()) == []


def test_a_ring_may_have_keys_of_both_kinds(kms: KmsServer, tmp_path: Path) -> None:
    plain, wrapped = new_key(), new_wrapped_key(ALIAS)
    before = Keys(SecretStr(plain), tmp_path).seal("s3cret", b"row")
    keys = Keys(SecretStr(f"{wrapped},{plain}"), tmp_path)
    assert keys.open(before, b"row") == "s3cret"
    assert Keys(SecretStr(wrapped), tmp_path).open(keys.seal("new", b"row"), b"row") == "new"


def test_in_the_file_one_is_refused_with_the_alternative(kms: KmsServer, tmp_path: Path) -> None:
    file = tmp_path / "secret-key"
    file.touch(mode=0o600)
    file.write_text(new_wrapped_key(ALIAS))
    with pytest.raises(Misconfigured, match=f"belongs into {VARIABLE}"):
        Keys(None, tmp_path).ring()
    assert kms.asked == ["GenerateDataKeyWithoutPlaintext"]


@pytest.mark.parametrize("context", [{}, {"agenthall": "another purpose"}])
def test_a_ciphertext_of_another_purpose_is_no_key(kms: KmsServer, tmp_path: Path, context: dict[str, str]) -> None:
    keys = Keys(SecretStr(PREFIX + kms.seal(b"k" * 32, context)), tmp_path)
    with pytest.raises(Misconfigured, match="InvalidCiphertextException") as refused:
        keys.ring()
    assert refused.value.field == VARIABLE


@pytest.mark.parametrize(("text", "reason"), [("!", "not base64"), ("", "InvalidCiphertext|refuses")])
def test_what_is_no_ciphertext_is_refused(kms: KmsServer, tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason):
        Keys(SecretStr(PREFIX + text), tmp_path).ring()


def test_a_plaintext_of_another_length_is_no_key(kms: KmsServer, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="16 bytes, not a key of 32"):
        Keys(SecretStr(PREFIX + kms.seal(b"k" * 16, CONTEXT)), tmp_path).ring()


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "IncorrectKeyException"])
def test_a_service_that_refuses_is_told_by_its_code_without_the_account(
    kms: KmsServer, tmp_path: Path, code: str
) -> None:
    made = new_wrapped_key(ALIAS)
    kms.failure = (code, 400)
    with pytest.raises(Misconfigured) as refused:
        Keys(SecretStr(made), tmp_path).ring()
    assert refused.value.detail == f"{VARIABLE}: AWS KMS refuses the key ({code})"


@pytest.mark.parametrize(
    ("code", "status"), [("KMSInternalException", 500), ("ThrottlingException", 400), ("Unknown", 503)]
)
def test_a_service_that_cannot_now_is_asked_again_and_then_a_temporary_fault(
    kms: KmsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    made = new_wrapped_key(ALIAS)
    kms.failure = (code, status)
    with pytest.raises(Unavailable, match=code) as away:
        Keys(SecretStr(made), tmp_path).ring()
    assert (away.value.code, kms.asked.count("Decrypt")) == ("key_service_unavailable", 3)
    kms.failure = None
    assert Keys(SecretStr(made), tmp_path).ring(), "a failure is not remembered"


def test_a_service_that_is_not_there_is_a_temporary_fault(
    kms: KmsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    made = new_wrapped_key(ALIAS)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        Keys(SecretStr(made), tmp_path).ring()


@pytest.mark.parametrize(
    ("name", "code"),
    [("AWS_SECRET_ACCESS_KEY", "InvalidSignatureException"), ("AWS_ACCESS_KEY_ID", "UnrecognizedClientException")],
)
def test_credentials_that_aws_does_not_take_are_wrong_settings(
    kms: KmsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    made = new_wrapped_key(ALIAS)
    monkeypatch.setenv(name, "another")
    with pytest.raises(Misconfigured, match=code):
        Keys(SecretStr(made), tmp_path).ring()


def test_no_credentials_at_all_are_wrong_settings(
    kms: KmsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = new_wrapped_key(ALIAS)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(Misconfigured, match="NoCredentialsError"):
        Keys(SecretStr(made), tmp_path).ring()


def test_an_unknown_key_of_the_service_is_named(kms: KmsServer) -> None:
    with pytest.raises(Misconfigured, match=r"--aws-kms: AWS KMS refuses the key \(NotFoundException\)"):
        new_wrapped_key("alias/unknown")


def test_without_the_extra_the_error_says_how_to_install_it(
    kms: KmsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(Misconfigured, match=r"pip install 'agenthall\[kms\]'"):
        Keys(SecretStr(PREFIX + kms.seal(b"k" * 32, CONTEXT)), tmp_path).ring()
