"""The key ring: which ciphertexts open, and which do not."""

from __future__ import annotations

import base64

import pytest

from robyn_server.core.errors import Misconfigured
from robyn_server.credentials.key_ring import (
    KeyRing,
    SecretUnreadable,
    key_id,
    new_key,
    read_key,
    sealing_key,
    split_keys,
)

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_a_secret_opens_where_it_was_sealed():
    ring = KeyRing([NEW])
    assert ring.open(ring.seal("s3cret", b"row 1"), b"row 1") == "s3cret"


def test_a_ciphertext_of_another_row_does_not_open():
    ring = KeyRing([NEW])
    with pytest.raises(SecretUnreadable, match="another row"):
        ring.open(ring.seal("s3cret", b"row 1"), b"row 2")


@pytest.mark.parametrize("at", [1, 9, 21, -1])
def test_a_changed_byte_makes_a_ciphertext_unreadable(at: int):
    ring = KeyRing([NEW])
    sealed = bytearray(ring.seal("s3cret", b"row"))
    sealed[at] ^= 1
    with pytest.raises(SecretUnreadable):
        ring.open(bytes(sealed), b"row")


def test_an_older_key_of_the_ring_still_opens_and_the_newest_seals():
    sealed = KeyRing([OLD]).seal("s3cret", b"row")
    ring = KeyRing([NEW, OLD])
    assert ring.open(sealed, b"row") == "s3cret"
    assert sealing_key(ring.seal("s3cret", b"row")) == ring.current == key_id(NEW)


def test_a_ciphertext_of_a_key_that_is_gone_names_the_key():
    with pytest.raises(SecretUnreadable, match=key_id(OLD).hex()):
        KeyRing([NEW]).open(KeyRing([OLD]).seal("s3cret", b"row"), b"row")


def test_the_id_of_a_key_does_not_tell_the_key():
    assert key_id(NEW) not in NEW and len(key_id(NEW)) == 8


def test_two_ciphertexts_of_one_secret_differ():
    ring = KeyRing([NEW])
    assert ring.seal("s3cret", b"row") != ring.seal("s3cret", b"row")


def test_keys_are_read_in_their_order():
    first, second = new_key(), new_key()
    assert split_keys(f"{first}, {second}\n", "X") == [first, second]
    assert read_key(first, "X") == base64.b64decode(first)


@pytest.mark.parametrize("text", ["", "short", "c2hvcnQ=", "not base64 at all, but it is long enough for a key"])
def test_what_is_no_key_is_refused_without_its_text(text: str):
    with pytest.raises(Misconfigured) as refused:
        [read_key(each, "AGENTHALL_SECRET_KEY") for each in split_keys(text, "AGENTHALL_SECRET_KEY")]
    assert "AGENTHALL_SECRET_KEY" in str(refused.value) and not (text and text in str(refused.value))
