"""Which address an answer may be sent to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth import redirect_uris

REGISTERED = "https://app.example/cb"
LOOPBACK = "http://127.0.0.1/cb"

# Each of them has made some server send a code to somebody else.
VECTORS = [
    "https://app.example/cb?extra=1",
    "https://app.example/cb;x",
    "https://app.example/cb/",
    "https://app.example/cb/../other",
    "https://app.example/cb%2f..%2fother",
    "https://app.example/cb%252f",
    "https://app.example/cb#fragment",
    "https://app.example/cb#",
    "https://user@app.example/cb",
    "https://app.example@evil.example/cb",
    "https://app.example.evil.example/cb",
    "https://evil.example/cb",
    "https://evil.example\\@app.example/cb",
    "https://app.example\\cb",
    "https://app.example/\tcb",
    "https://APP.example/cb",
    "HTTPS://app.example/cb",
    "http://app.example/cb",
    "https://app.example:443/cb",
    "https://app.example:8443/cb",
    "//app.example/cb",
    "javascript:alert(1)//https://app.example/cb",
    " https://app.example/cb",
    "https://app.example/cb ",
    "",
]


@pytest.mark.checklist(114)
@pytest.mark.spec("RFC 9700", "2.1", "exact string matching of redirect URIs")
@pytest.mark.parametrize("uri", VECTORS)
def test_only_the_very_same_characters_are_the_registered_uri(uri):
    assert redirect_uris.is_among(REGISTERED, registered=[REGISTERED])
    assert not redirect_uris.is_among(uri, registered=[REGISTERED])


@pytest.mark.spec("RFC 8252", "7.3", "any port of a loopback redirect URI")
@pytest.mark.parametrize("sent", ["http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:49152/cb", "http://127.0.0.1:65535/cb"])
def test_of_a_loopback_address_the_port_is_free(sent):
    assert redirect_uris.is_among(sent, registered=[LOOPBACK])


@pytest.mark.checklist(114)
@pytest.mark.parametrize(
    "sent",
    [
        "http://localhost:49152/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:49152/other",
        "http://127.0.0.1:49152/cb?x=1",
        "http://127.0.0.1:49152@evil.example/cb",
        "http://127.0.0.1:49152\\@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.2:49152/cb",
        "http://[::1]:49152/cb",
        "https://127.0.0.1:49152/cb",
        "http://127.0.0.1:٤/cb",
        "http://127.1:49152/cb",
        "http://2130706433:49152/cb",
    ],
)
def test_nothing_else_of_a_loopback_address_is(sent):
    assert not redirect_uris.is_among(sent, registered=[LOOPBACK])


def test_localhost_is_a_name_and_its_port_is_not_free():
    assert not redirect_uris.is_among("http://localhost:2/cb", registered=["http://localhost:1/cb"])
    assert redirect_uris.is_among("http://[::1]:2/cb", registered=["http://[::1]:1/cb"])


@given(
    registered=st.sampled_from([REGISTERED, LOOPBACK]),
    at=st.integers(0, 30),
    length=st.integers(0, 4),
    put=st.text(st.sampled_from("htps:/.[]@\\?#%;127.0app.example cb"), max_size=8),
)
def test_whatever_is_accepted_differs_in_the_port_of_a_loopback_address_alone(registered, at, length, put):
    sent = registered[:at] + put + registered[at + length :]

    if redirect_uris.is_among(sent, registered=[registered]):
        assert sent == registered or (sent.startswith("http://127.0.0.1:") and sent.endswith("/cb") and sent[17:-3].isdecimal())


@given(st.integers(1, 65535))
def test_every_port_is_accepted(port):
    assert redirect_uris.is_among(f"http://127.0.0.1:{port}/cb", registered=[LOOPBACK])


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb",
        "https://app.example/cb?tenant=1",
        "http://127.0.0.1/cb",
        "http://[::1]:8000/cb",
        "http://localhost:8000/cb",
        "com.example.app:/cb",
        "codelab://callback",
    ],
)
def test_such_an_address_may_be_registered(uri):
    assert redirect_uris.is_registrable(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/cb",
        "app.example/cb",
        "https://",
        "https:///cb",
        "https://app.example/cb#here",
        "https://user:pass@app.example/cb",
        "https://*.app.example/cb",
        "https://app.example/../cb",
        "https://app.example/%2e%2e/cb",
        "https://app.example/a\\..\\cb",
        "https://app.example:0/cb",
        "https://app.example:99999/cb",
        "https://приложение.example/cb",
        "https://app.example/c b",
        "https://app.example/\x00",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "HTTPS://app.example/cb",
        "codelab:",
        "https://[::1/cb",
    ],
)
def test_such_an_address_may_not(uri):
    assert not redirect_uris.is_registrable(uri)


def test_the_answer_is_added_to_what_the_address_has():
    assert redirect_uris.with_parameters("https://a.example/cb", {"code": "x y"}) == "https://a.example/cb?code=x+y"
    assert redirect_uris.with_parameters("https://a.example/cb?t=1", {"code": "x"}) == "https://a.example/cb?t=1&code=x"
    assert redirect_uris.with_parameters("codelab://callback", {}) == "codelab://callback"


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://app.example/cb", "https://app.example"),
        ("http://127.0.0.1:8000/cb", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/cb", "http:"),
        ("com.example.app:/cb", "com.example.app:"),
        ("https://app.example;script-src/cb", "https:"),
    ],
)
def test_a_policy_names_the_origin_or_the_scheme_and_nothing_more(uri, source):
    assert redirect_uris.source_of(uri) == source
