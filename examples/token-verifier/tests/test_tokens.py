"""Which tokens are taken, and which are not."""

import hmac
import json
import time
from dataclasses import replace

import jwt
import pytest
from authserver_verifier import InvalidToken
from authserver_verifier.checking import check, read_header
from authserver_verifier.testing import ABSENT, SigningKey, b64, encode
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MALLORYS = SigningKey()


@pytest.fixture
def verifier(issuer):
    return issuer.verifier()


@pytest.fixture
def refused(verifier):
    """The reason for which a token is refused; the log says it, and holds nothing of the token."""

    def reason(token):
        with pytest.raises(InvalidToken) as raised:
            verifier.verify(token)
        return str(raised.value)

    return reason


def test_a_token_is_read(issuer, verifier):
    token = verifier.verify(issuer.mint(sub="alice", client_id="editor", scope="api:read api:write", sid="s1"))

    assert (token.subject, token.client_id, token.scopes) == ("alice", "editor", {"api:read", "api:write"})
    assert token.claims["sid"] == "s1"
    assert 890 < verifier.seconds_left(token) <= 900


@pytest.mark.parametrize(
    "change",
    [
        {"aud": ["billing", "codelab-api"]},
        {"scope": ABSENT},
        {"nbf": ABSENT},
        {"type": ABSENT},
        {"header": {"typ": "AT+JWT"}},
        {"header": {"typ": "application/at+jwt"}},
        {"lifetime": -50},
        {"iat": int(time.time()) + 30},
    ],
    ids=str,
)
def test_what_may_differ_may_differ(issuer, verifier, change):
    assert verifier.verify(issuer.mint(sub="alice", **change)).subject == "alice"


WRONG = {
    "no iss": {"iss": ABSENT},
    "another iss": {"iss": "https://mallory.example"},
    "an iss list": {"iss": ["https://auth.example"]},
    "no sub": {"sub": ABSENT},
    "an empty sub": {"sub": ""},
    "a sub that is a number": {"sub": 1},
    "no aud": {"aud": ABSENT},
    "another aud": {"aud": "billing-api"},
    "an aud that begins as ours": {"aud": "codelab-api-admin"},
    "an aud list without ours": {"aud": ["billing-api", ["codelab-api"]]},
    "an aud object with ours": {"aud": {"codelab-api": True}},
    "no client_id": {"client_id": ABSENT},
    "no jti": {"jti": ABSENT},
    "no iat": {"iat": ABSENT},
    "no exp": {"exp": ABSENT},
    "exp null": {"exp": None},
    "exp text": {"exp": "99999999999"},
    "exp true": {"exp": True},
    "exp infinite": {"exp": float("inf")},
    "exp past": {"lifetime": -61},
    "nbf in the future": {"nbf": int(time.time()) + 86400},
    "nbf text": {"nbf": "1"},
    "iat in the future": {"iat": int(time.time()) + 86400},
    "a scope list": {"scope": ["api:read"]},
    "type refresh": {"type": "refresh"},
    "type id": {"type": "id"},
    "type null": {"type": None},
    "no typ": {"header": {"typ": ABSENT}},
    "typ JWT": {"header": {"typ": "JWT"}},
    "typ logout+jwt": {"header": {"typ": "logout+jwt"}},
    "no kid": {"header": {"kid": ABSENT}},
    "a kid list": {"header": {"kid": ["1"]}},
    "another kid": {"header": {"kid": "another"}},
    "a kid that is a path": {"header": {"kid": "../../dev/null"}},
    "no alg": {"header": {"alg": ABSENT}},
    "alg null": {"header": {"alg": None}},
    "alg none": {"header": {"alg": "none"}},
    "alg RS384": {"header": {"alg": "RS384"}},
    "alg PS256": {"header": {"alg": "PS256"}},
    "alg HS256": {"header": {"alg": "HS256"}},
    "a crit": {"header": {"crit": ["urgent"], "urgent": True}},
    "an empty crit": {"header": {"crit": []}},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_token_that_our_own_key_signed_is_refused_when_it_says_something_else(issuer, refused, change):
    assert refused(issuer.mint(**change))


def forged_with_hmac(issuer, secret):
    signed = f"{encode({'alg': 'HS256', 'typ': 'at+jwt', 'kid': issuer.keys[0].kid})}.{issuer.mint().split('.')[1]}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def public_pem(issuer):
    return issuer.keys[0].private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed_with_eddsa(issuer):
    header = {"typ": "at+jwt", "kid": issuer.keys[0].kid}
    return jwt.encode({"sub": "mallory"}, ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=header)


def twice(issuer):
    """A claim that is there twice: which of the two counts is nobody's guess."""
    payload = issuer.mint(sub="alice").split(".")[1]
    claims = jwt.utils.base64url_decode(payload)[:-1] + b',"sub":"mallory"}'
    key = issuer.keys[0]
    signed = f"{encode({'alg': 'RS256', 'typ': 'at+jwt', 'kid': key.kid})}.{b64(claims)}"
    return f"{signed}.{b64(jwt.get_algorithm_by_name('RS256').sign(signed.encode(), key.private_key))}"


FORGED = {
    "mallory's key under our kid": lambda i: i.mint(key=MALLORYS, header={"kid": i.keys[0].kid}),
    "mallory's key under its own kid": lambda i: i.mint(key=MALLORYS),
    "mallory's key in the header": lambda i: i.mint(key=MALLORYS, header={"jwk": MALLORYS.public_jwk, "kid": i.keys[0].kid}),
    "a jku of mallory's": lambda i: i.mint(key=MALLORYS, header={"jku": "https://mallory.example/jwks.json"}),
    "no signature": lambda i: i.mint().rpartition(".")[0] + ".",
    "no signature and no dot": lambda i: i.mint().rpartition(".")[0],
    "the signature cut short": lambda i: i.mint()[:-8],
    "the signature of another token": lambda i: f"{i.mint().rpartition('.')[0]}.{i.mint().rpartition('.')[2]}",
    "alg none, unsigned": lambda i: f"{encode({'alg': 'none', 'typ': 'at+jwt', 'kid': i.keys[0].kid})}.{i.mint().split('.')[1]}.",
    "HS256 with the public key for a secret": lambda i: forged_with_hmac(i, public_pem(i)),
    "HS256 with the key set for a secret": lambda i: forged_with_hmac(i, i.document()),
    "EdDSA": signed_with_eddsa,
    "a claim twice": twice,
    "a header twice": lambda i: b64(b'{"alg":"RS256","alg":"none","typ":"at+jwt","kid":"1"}') + ".e30.AA",
    "brackets without end": lambda i: f"{b64(b'[' * 5000)}.e30.AA",
    "a header that is a list": lambda i: f"{b64(b'[]')}.e30.AA",
    "a header with NaN": lambda i: b64(b'{"alg":NaN}') + ".e30.AA",
    "a header that is no UTF-8": lambda i: f"{b64(bytes([255, 254]))}.e30.AA",
    "no base64": lambda i: "!!!.???.***",
    "nothing": lambda i: "",
    "two dots": lambda i: "..",
    "five parts": lambda i: f"{i.mint()}.a.b",
    "not ASCII": lambda i: i.mint() + "é",
    "a lone surrogate": lambda i: "\ud800.a.b",
    "too long": lambda i: i.mint(padding="x" * 8192),
}


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(issuer, refused, make):
    assert refused(make(issuer))


def test_a_refused_token_asks_for_no_keys_before_it_looks_like_one_of_ours(issuer, refused):
    for make in (FORGED["alg none, unsigned"], FORGED["EdDSA"], FORGED["too long"]):
        refused(make(issuer))

    assert issuer.requests == []


@pytest.mark.parametrize(("seconds", "good"), [(-31, True), (899, True), (959, True), (960, False)])
def test_the_clocks_may_differ_by_the_leeway_and_no_more(issuer, seconds, good):
    token, rules, minted_at = issuer.mint(), issuer.rules, int(time.time())
    header, key = read_header(token, rules=rules), issuer.keys[0].private_key.public_key()
    expires_at = json.loads(jwt.utils.base64url_decode(token.split(".")[1]))["exp"]
    now = expires_at - 900 + seconds

    def checked(leeway):
        return check(token, header=header, key=key, rules=replace(rules, leeway_seconds=leeway), now=now)

    if good:
        assert checked(60).expires_at - minted_at <= 901
    else:
        with pytest.raises(InvalidToken):
            checked(60)
    if not 0 <= seconds < 900:
        with pytest.raises(InvalidToken):
            checked(0)


def test_tokens_of_the_service_before_are_taken_only_when_that_is_asked_for(issuer, refused):
    older = issuer.mint(sub="alice", header={"typ": "JWT"})
    moving = issuer.verifier(accept_older_tokens=True)

    assert "typ" in refused(older)
    assert moving.verify(older).subject == "alice"
    assert moving.verify(issuer.mint(sub="bob")).subject == "bob"


@pytest.mark.parametrize("claims", [{"type": "refresh"}, {"type": "id"}, {"type": ABSENT}, {"aud": "editor"}])
def test_no_other_token_of_the_service_before_passes_for_one(issuer, claims):
    moving = issuer.verifier(accept_older_tokens=True)

    with pytest.raises(InvalidToken):
        moving.verify(issuer.mint(header={"typ": "JWT"}, **claims))


def test_the_log_says_why_and_holds_nothing_of_the_token(issuer, refused, caplog):
    caplog.set_level("DEBUG")
    tokens = [issuer.mint(**change) for change in WRONG.values()]

    reasons = [refused(token) for token in tokens]

    assert {f"An access token was refused: {reason}." for reason in reasons} <= set(caplog.messages)
    parts = {part for token in tokens for part in token.split(".")}
    assert [part for part in parts if part in caplog.text] == []
