"""The policy decides by the class of the address, and by the allow list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.egress.addresses import AddressClass, classify, read_address
from robyn_server.core.egress.allow_list import read_allow_list
from robyn_server.core.egress.policy import OPERATOR, EgressLevel, EgressPolicy

ADDRESSES = {
    AddressClass.PUBLIC: "8.8.8.8",
    AddressClass.PRIVATE: "10.0.0.1",
    AddressClass.LOOPBACK: "127.0.0.1",
    AddressClass.RESERVED: "192.0.2.1",
    AddressClass.UNSPECIFIED: "0.0.0.0",
    AddressClass.MULTICAST: "224.0.0.1",
    AddressClass.LINK_LOCAL: "fe80::1%eth0",
    AddressClass.METADATA: "169.254.169.254",
}
ALLOWED = {
    EgressLevel.LISTED: set(),
    EgressLevel.PUBLIC: {AddressClass.PUBLIC},
    EgressLevel.PRIVATE: {AddressClass.PUBLIC, AddressClass.PRIVATE},
    EgressLevel.LOOPBACK: {AddressClass.PUBLIC, AddressClass.PRIVATE, AddressClass.LOOPBACK},
}


def allows(address: str, *, allow: str = "", host: str = "", port: int = 80) -> bool:
    return EgressPolicy(EgressLevel.LISTED, read_allow_list(allow)).allows(address, port, host)


@pytest.mark.parametrize("level", EgressLevel)
@pytest.mark.parametrize("kind", AddressClass)
def test_a_level_allows_its_classes_and_no_others(level: EgressLevel, kind: AddressClass) -> None:
    assert EgressPolicy(level).allows(ADDRESSES[kind], 80) is (kind in ALLOWED[level])


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "2130706433"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert not OPERATOR.allows(text, 80)


@pytest.mark.parametrize(
    ("allow", "host", "address", "port"),
    [
        ("mcp.internal", "mcp.internal", "10.0.0.7", 80),
        ("mcp.internal", "MCP.Internal.", "10.0.0.7", 80),
        ("MCP.internal.", "mcp.internal", "127.0.0.1", 80),
        ("other, mcp.internal:8080", "mcp.internal", "10.0.0.7", 8080),
        ("*.internal", "a.b.internal", "10.0.0.7", 80),
        ("10.0.0.0/24", "any", "10.0.0.7", 80),
        ("10.0.0.0/24", "any", "::ffff:10.0.0.7", 80),
        ("127.0.0.1:9000", "localhost", "127.0.0.1", 9000),
        ("[fd12::7]:9000", "any", "fd12::7", 9000),
        ("fd12::/16", "any", "fd12::7", 9000),
        ("198.18.0.0/15", "any", "198.18.0.1", 80),
        ("8.8.8.8", "any", "8.8.8.8", 443),
    ],
)
def test_an_entry_allows_what_it_names(allow: str, host: str, address: str, port: int) -> None:
    assert allows(address, allow=allow, host=host, port=port)


@pytest.mark.parametrize(
    ("allow", "host", "address", "port"),
    [
        ("mcp.internal", "mcp.internal.evil.example", "10.0.0.7", 80),
        ("mcp.internal", "evil-mcp.internal", "10.0.0.7", 80),
        ("*.internal", "internal", "10.0.0.7", 80),
        ("*.internal", "evilinternal", "10.0.0.7", 80),
        ("mcp.internal:8080", "mcp.internal", "10.0.0.7", 80),
        ("10.0.0.0/24", "any", "10.0.1.7", 80),
        ("127.0.0.1:9000", "localhost", "127.0.0.1", 5432),
        ("10.0.0.7", "10.0.0.7", "10.0.0.8", 80),
    ],
)
def test_an_entry_allows_nothing_else(allow: str, host: str, address: str, port: int) -> None:
    assert not allows(address, allow=allow, host=host, port=port)


@given(
    st.one_of(
        st.ip_addresses(network="169.254.0.0/16"),
        st.ip_addresses(network="fe80::/10"),
        st.ip_addresses(network="224.0.0.0/4"),
        st.ip_addresses(network="0.0.0.0/8"),
        st.sampled_from(["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "255.255.255.255"]),
    ),
    st.sampled_from(EgressLevel),
)
def test_no_entry_opens_what_is_always_refused(address: object, level: EgressLevel) -> None:
    everything = read_allow_list(f"0.0.0.0/0, ::/0, metadata.internal, {str(address).partition('%')[0]}")
    assert not EgressPolicy(level, everything).allows(str(address), 80, "metadata.internal")


@given(st.ip_addresses())
def test_the_operator_may_name_everything_but_that(address: object) -> None:
    found = read_address(str(address))
    assert found is not None
    assert OPERATOR.allows(str(address), 443) is (classify(found) <= AddressClass.RESERVED)


@pytest.mark.parametrize(
    "entry",
    [
        "*",
        "http://mcp.internal",
        "mcp.internal/path",
        "user@mcp.internal",
        "2130706433",
        "0x7f.1",
        "mcp.internal:0",
        "mcp.internal:65536",
        "mcp.internal:http",
        "10.0.0.0/33",
        "a..b",
        "-a",
        "bücher.example",
        "10.0.0.0/8:80x",
    ],
)
def test_a_wrong_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host, address or network") as caught:
        read_allow_list(f"good.example, {entry}")
    assert repr(entry) in str(caught.value)


def test_a_network_with_bits_behind_its_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'10\.0\.0\.7/8' has bits behind its prefix; write 10\.0\.0\.0/8"):
        read_allow_list("10.0.0.7/8")
