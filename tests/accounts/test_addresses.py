"""Where a request came from, whatever its sender claims (accounts/addresses.py)."""

import ipaddress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from accounts.addresses import client_address, is_trusted_proxy, network_of

for_any = settings(deadline=None)

PROXIES = tuple(map(ipaddress.ip_network, ["10.0.0.0/8", "fd00::/8", "192.0.2.7/32"]))
PROXY = "10.0.0.1"
ALICE = "198.51.100.23"
MALLORY = "203.0.113.66"

ADDRESSES = st.ip_addresses()
STRANGERS = ADDRESSES.filter(
    lambda address: not is_trusted_proxy(str(address), trusted=PROXIES) and getattr(address, "ipv4_mapped", None) is None
)
HEADERS = st.text(st.characters(codec="latin-1")) | st.lists(ADDRESSES.map(str)).map(", ".join)


def through_proxies(forwarded_for, peer=PROXY):
    return client_address(peer=peer, forwarded_for=forwarded_for, trusted=PROXIES)


# --- Without a trusted proxy -------------------------------------------------------------------


@pytest.mark.checklist(45)
@for_any
@given(peer=STRANGERS, header=HEADERS)
def test_who_is_no_trusted_proxy_is_known_by_the_connection_whatever_it_claims(peer, header):
    assert through_proxies(header, peer=str(peer)) == str(peer)


@for_any
@given(header=HEADERS)
def test_where_no_proxy_is_trusted_the_header_says_nothing(header):
    assert client_address(peer=ALICE, forwarded_for=header, trusted=()) == ALICE


@pytest.mark.parametrize("peer", ["", "unix:", "@", "not an address", "10.0.0", "%eth0", "10.0.0.1:443"])
@pytest.mark.parametrize("header", ["", MALLORY])
def test_a_connection_without_an_address_has_none_and_no_trust(peer, header):
    assert through_proxies(header, peer=peer) is None
    assert not is_trusted_proxy(peer, trusted=PROXIES)


# --- Behind trusted proxies --------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", " ", ",", " , ,"])
def test_a_proxy_that_names_nobody_is_the_client_itself(header):
    assert through_proxies(header) == PROXY


@pytest.mark.parametrize(
    "header",
    [
        ALICE,
        f" {ALICE} ",
        f"{ALICE},10.0.0.2",
        f"{ALICE}, 10.0.0.2, 10.200.0.3",
        f"{ALICE},192.0.2.7",
        f"{ALICE},fd00::1",
        f"{ALICE},,10.0.0.2,",
    ],
)
def test_the_right_most_address_that_is_no_trusted_proxy_is_the_client(header):
    assert through_proxies(header) == ALICE


@pytest.mark.checklist(45)
@for_any
@example(claim="10.0.0.1")
@example(claim=f"{MALLORY}, {MALLORY}")
@example(claim="for=203.0.113.66;proto=https")
@example(claim="\x00")
@given(claim=HEADERS)
def test_what_the_client_wrote_further_left_changes_nothing(claim):
    assert through_proxies(f"{claim},{ALICE}") == ALICE
    assert through_proxies(f"{claim},{ALICE},10.0.0.2") == ALICE


def test_a_neighbour_of_the_trusted_proxy_is_a_client():
    assert through_proxies(f"{ALICE}, 192.0.2.8") == "192.0.2.8"


def test_a_chain_of_trusted_proxies_alone_ends_at_the_first_of_them():
    assert through_proxies("10.9.9.9, 10.0.0.2") == "10.9.9.9"


@pytest.mark.parametrize(
    "hop", ["unknown", "_hidden", "198.51.100.23:5000", "[2001:db8::1]:443", '"198.51.100.23"', "198.51.100", "x" * 5000]
)
def test_a_hop_that_cannot_be_read_ends_the_walk_at_the_proxy_that_wrote_it(hop):
    assert through_proxies(f"{MALLORY}, {hop}") == PROXY
    assert through_proxies(f"{MALLORY}, {hop}, 10.0.0.2") == "10.0.0.2"


@for_any
@given(peer=st.text(max_size=60) | ADDRESSES.map(str), header=st.text() | HEADERS)
def test_the_client_is_an_address_or_nobody_and_no_header_is_a_failure(peer, header):
    address = through_proxies(header, peer=peer)

    assert address is None or str(ipaddress.ip_address(address)) == address


# --- Spellings of addresses --------------------------------------------------------------------


@pytest.mark.checklist(46)
def test_an_ipv4_address_in_ipv6_clothes_is_the_ipv4_address():
    assert through_proxies(f"::ffff:{ALICE}") == ALICE
    assert client_address(peer=f"::ffff:{ALICE}", forwarded_for="", trusted=()) == ALICE


def test_a_proxy_that_connects_by_mapped_ipv4_is_trusted_as_ipv4():
    assert is_trusted_proxy(f"::ffff:{PROXY}", trusted=PROXIES)
    assert through_proxies(ALICE, peer=f"::ffff:{PROXY}") == ALICE
    assert through_proxies(f"{ALICE}, ::ffff:10.0.0.2") == ALICE


def test_the_zone_of_an_ipv6_address_does_not_count():
    assert client_address(peer="fe80::1%eth0", forwarded_for="", trusted=()) == "fe80::1"
    assert through_proxies("2001:db8::1%25eth0") == "2001:db8::1"
    assert is_trusted_proxy("fd00::1%eth0", trusted=PROXIES)


@pytest.mark.parametrize("spelling", ["2001:DB8::1", "2001:db8:0:0:0:0:0:1", "2001:0db8:0000:0000:0000:0000:0000:0001"])
def test_an_ipv6_address_has_one_spelling(spelling):
    assert through_proxies(spelling) == "2001:db8::1"


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("10.0.0.1", True), ("10.255.255.255", True), ("192.0.2.7", True), ("192.0.2.8", False), ("fdff::1", True), ("fe80::1", False)],
)
def test_a_proxy_is_trusted_by_its_network(peer, trusted):
    assert is_trusted_proxy(peer, trusted=PROXIES) is trusted


# --- Networks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.23", "198.51.100.0/24"),
        ("198.51.100.255", "198.51.100.0/24"),
        ("::ffff:198.51.100.23", "198.51.100.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_network_is_what_a_household_shares(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize("address", [None, "", "not an address", "198.51.100.0/24"])
def test_what_is_no_address_has_no_network(address):
    assert network_of(address) is None


@for_any
@given(address=STRANGERS)
def test_an_address_lies_in_its_network(address):
    network = ipaddress.ip_network(network_of(str(address)))

    assert address in network
    assert network.prefixlen == (24 if address.version == 4 else 64)


@for_any
@given(address=STRANGERS, bit=st.integers(0, 127))
def test_only_a_neighbour_has_the_same_network(address, bit):
    bits, shared = (32, 24) if address.version == 4 else (128, 64)
    bit %= bits
    other = type(address)(int(address) ^ (1 << bit))

    assert (network_of(str(other)) == network_of(str(address))) is (bit < bits - shared)
