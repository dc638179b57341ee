"""The class of an address, whatever form it is written in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.egress.addresses import AddressClass, classify, read_address

CLASSES = {
    AddressClass.PUBLIC: [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "11.0.0.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
        "192.169.0.1",
        "223.255.255.255",
    ],
    AddressClass.PRIVATE: [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "fc00::1",
        "fd12:3456::1",
        "::ffff:10.0.0.1",
        "::ffff:c0a8:101",
        "64:ff9b::10.0.0.1",
    ],
    AddressClass.LOOPBACK: [
        "127.0.0.1",
        "127.255.255.254",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "64:ff9b::7f00:1",
    ],
    AddressClass.RESERVED: [
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.9",
        "198.18.0.1",
        "198.19.255.255",
        "240.0.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "2001:db8::1",
        "3fff::1",
        "2001:2::1",
        "100::1",
        "5f00::1",
        "fec0::1",
        "4000::1",
        "2002:808:808::1",
        "::808:808",
        "::127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b:1::10.0.0.1",
        "::ffff:0:127.0.0.1",
        "2001:0:808:808::f5ff:fffe",
    ],
    AddressClass.UNSPECIFIED: ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "2002::1", "64:ff9b::"],
    AddressClass.MULTICAST: [
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "ff02::1",
        "ff0e::1",
        "::ffff:224.0.0.1",
    ],
    AddressClass.LINK_LOCAL: [
        "169.254.0.1",
        "169.254.255.255",
        "fe80::1",
        "fe80::1%eth0",
        "febf::1",
        "::169.254.1.1",
        "::ffff:169.254.1.1",
        "2002:a9fe:101::",
        "2001:0:a9fe:101::",
    ],
    AddressClass.METADATA: [
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::a9fe:a9fe",
        "2001:0:a9fe:a9fe::",
        "2001::5601:5601",
        "2a00::5efe:a9fe:a9fe",
        "2a00::200:5efe:a9fe:a9fe",
    ],
}
EXAMPLES = [(text, found) for found, texts in CLASSES.items() for text in texts]


@pytest.mark.parametrize(("text", "found"), EXAMPLES)
def test_an_address_has_its_class_in_each_form(text: str, found: AddressClass) -> None:
    address = read_address(text)
    assert address is not None
    assert classify(address) is found


@pytest.mark.parametrize(
    "text", ["", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1:80", "[::1]"]
)
def test_only_the_form_of_a_socket_is_an_address(text: str) -> None:
    assert read_address(text) is None


@given(st.ip_addresses(v=4))
def test_what_python_calls_not_global_is_never_public(address: IPv4Address) -> None:
    if not address.is_global:
        assert classify(address) is not AddressClass.PUBLIC


@given(st.ip_addresses(v=6))
def test_what_python_calls_not_global_in_ipv6_is_never_public(address: IPv6Address) -> None:
    if not address.is_global:
        assert classify(address) is not AddressClass.PUBLIC or address.ipv4_mapped is not None


FORMS = [0xFFFF << 32, 0x64FF9B << 96, 0x64FF9B0001 << 80, 0, 0xFFFF << 48]


@given(st.ip_addresses(v=4), st.sampled_from(FORMS))
def test_an_ipv4_address_is_not_classified_milder_in_ipv6(address: IPv4Address, form: int) -> None:
    inside = IPv6Address(form | int(address))
    if int(inside) > 1:
        assert classify(inside) >= classify(address)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_an_ipv4_address_in_a_tunnel_is_not_classified_milder(one: IPv4Address, other: IPv4Address) -> None:
    six_to_four = IPv6Address(0x2002 << 112 | int(one) << 80)
    teredo = IPv6Address(0x20010000 << 96 | int(one) << 64 | (~int(other) & 0xFFFFFFFF))
    assert classify(six_to_four) >= classify(one)
    assert classify(teredo) >= max(classify(one), classify(other))


@given(st.ip_addresses())
def test_an_address_and_its_text_have_the_same_class(address: IPv4Address | IPv6Address) -> None:
    again = read_address(str(address))
    assert again is not None
    assert classify(again) is classify(address)
