"""Access tokens: what they say, and what is not taken for one."""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from oauth import access_tokens
from oauth.access_tokens import SessionClaims, Signer, VerificationKey
from oauth.errors import InvalidToken
from tests.conftest import public_pem

NOW = datetime(2026, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)
ISSUER, AUDIENCE = "https://auth.example.com", "codelab-api"
SESSION = SessionClaims(sid=uuid.UUID(int=7), roles=("author",), auth_time=NOW - timedelta(hours=1), amr=("pwd",))


@pytest.fixture
def mint(key_pair):
    def make(session=SESSION, now=NOW, **fields):
        return access_tokens.mint(
            signer=Signer("kid-1", "RS256", key_pair),
            **{
                "issuer": ISSUER,
                "audience": AUDIENCE,
                "subject": "sub-1",
                "client_id": "editor",
                "scope": "api:read",
                "lifetime": timedelta(minutes=15),
            }
            | fields,
            now=now,
            session=session,
        )

    return make


@pytest.fixture
def verify(key_pair):
    def check(value, *, now=NOW, leeway=timedelta(0), audience=AUDIENCE):
        return access_tokens.verify(
            value,
            keys={"kid-1": VerificationKey("RS256", key_pair.public_key())},
            issuer=ISSUER,
            audience=audience,
            leeway=leeway,
            now=now,
        )

    return check


@pytest.fixture
def forge(key_pair, mint):
    """A token signed by our own key, with header and claims as the test wants them."""

    def make(header=None, **changes):
        claims = jwt.decode(mint(), options={"verify_signature": False}) | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"typ": "at+jwt", "kid": "kid-1"} | (header or {})
        return jwt.encode(claims, key_pair, algorithm="RS256", headers=headers)

    return make


def parts(value):
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in value.split(".")[:2]]


@pytest.mark.checklist(80)
@pytest.mark.spec("RFC 9068", "2.1", "typ at+jwt")
def test_the_header_names_algorithm_type_and_key_and_nothing_else(mint):
    assert parts(mint())[0] == {"alg": "RS256", "typ": "at+jwt", "kid": "kid-1"}


@pytest.mark.checklist(81, 84, 85)
@pytest.mark.spec("RFC 9068", "2.2", "the claims of an access token")
def test_the_claims_are_exactly_the_documented_ones(mint):
    claims = parts(mint())[1]

    jti = claims.pop("jti")
    assert len(base64.urlsafe_b64decode(jti + "==")) == 16
    assert claims == {
        "iss": ISSUER,
        "sub": "sub-1",
        "aud": AUDIENCE,
        "client_id": "editor",
        "scope": "api:read",
        "iat": 1777636800,
        "exp": 1777637700,
        "nbf": 1777636770,
        "type": "access",
        "sid": str(uuid.UUID(int=7)),
        "roles": ["author"],
        "auth_time": 1777633200,
        "amr": ["pwd"],
    }


def test_a_clients_own_token_says_nothing_of_a_session(mint):
    claims = parts(mint(session=None))[1]

    assert claims.keys().isdisjoint({"sid", "roles", "auth_time", "amr"})


@pytest.mark.checklist(81)
def test_no_two_tokens_have_one_jti(mint):
    assert len({parts(mint())[1]["jti"] for _ in range(200)}) == 200


def test_a_token_of_ours_is_accepted_from_its_first_to_its_last_second(mint, verify):
    token = mint()

    assert verify(token)["sub"] == "sub-1"
    assert verify(token, now=NOW - timedelta(seconds=0.5))
    assert verify(token, now=NOW + timedelta(seconds=899))
    with pytest.raises(InvalidToken):
        verify(token, now=NOW + timedelta(seconds=900))


@pytest.mark.checklist(83)
def test_the_leeway_bounds_clocks_that_differ(mint, verify):
    token, leeway = mint(), timedelta(seconds=60)

    assert verify(token, now=NOW + timedelta(seconds=950), leeway=leeway)
    with pytest.raises(InvalidToken):
        verify(token, now=NOW + timedelta(seconds=961), leeway=leeway)
    with pytest.raises(InvalidToken):
        verify(token, now=NOW - timedelta(seconds=120), leeway=leeway)


@pytest.mark.checklist(83)
@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://auth.example.com.evil.example"},
        {"iss": "https://auth.example"},
        {"aud": "another-api"},
        {"aud": ["codelab-api"]},
        {"type": "refresh"},
        {"type": None},
        {"exp": 1777636000},
        {"exp": "1777637700"},
        {"exp": None},
        {"nbf": 1777640000},
        {"iat": 1777640000},
        {"sub": None},
        {"scope": None},
        {"jti": None},
        {"client_id": 7},
    ],
    ids=str,
)
def test_a_well_signed_token_with_a_wrong_claim_is_refused(forge, verify, change):
    verify(forge())

    with pytest.raises(InvalidToken):
        verify(forge(**change))


@pytest.mark.checklist(83)
def test_the_audience_is_left_to_the_caller_by_none_alone(mint, forge, verify):
    token = mint(audience="billing-api")

    assert verify(token, audience=None)["aud"] == "billing-api"
    for audience in ("", "billing", AUDIENCE):
        with pytest.raises(InvalidToken):
            verify(token, audience=audience)
    for change in ({"aud": None}, {"aud": ["billing-api"]}, {"iss": "https://mallory.example"}, {"type": "id"}, {"exp": 1777636000}):
        with pytest.raises(InvalidToken):
            verify(forge(**change), audience=None)


@pytest.mark.checklist(83)
@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "id+jwt"},
        {"kid": "kid-2"},
        {"crit": ["exp"]},
        {"jku": "https://evil.example/jwks"},
        {"jwk": {"kty": "RSA"}},
        {"x5u": "https://evil.example/x"},
    ],
    ids=str,
)
def test_a_header_that_is_not_that_of_an_access_token_is_refused(forge, verify, header):
    with pytest.raises(InvalidToken):
        verify(forge(header))


def b64(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@pytest.mark.checklist(83)
@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
def test_a_token_signed_with_the_public_key_as_hmac_secret_is_refused(mint, verify, key_pair, form):
    import hashlib
    import hmac

    der = key_pair.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    secret = {"pem": public_pem(key_pair), "der": der, "jwk": json.dumps({"kty": "RSA", "n": "…"}).encode()}[form]
    payload = mint().split(".")[1]
    signed = f"{b64(json.dumps({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'kid-1'}).encode())}.{payload}"
    forged = f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"

    with pytest.raises(InvalidToken):
        verify(forged)


@pytest.mark.checklist(83)
@pytest.mark.parametrize("algorithm", ["none", "None", "", None, "RS384", "HS256", 7])
def test_an_algorithm_that_is_not_ours_is_refused(mint, verify, algorithm):
    _, payload, signature = mint().split(".")
    forged_header = b64(json.dumps({"alg": algorithm, "typ": "at+jwt", "kid": "kid-1"}).encode())

    for forged in (f"{forged_header}.{payload}.{signature}", f"{forged_header}.{payload}."):
        with pytest.raises(InvalidToken):
            verify(forged)


@pytest.mark.checklist(83)
def test_stripped_changed_or_shapeless_tokens_are_refused(mint, verify):
    header, payload, signature = mint().split(".")
    other_payload = mint(subject="mallory").split(".")[1]

    for value in (
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{other_payload}.{signature}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.{signature}.{signature}",
        "",
        "..",
        "a.b.c",
        "é.é.é",
        f"{b64(b'[]')}.{payload}.{signature}",
        f"{b64(b'{}')}.{payload}.{signature}",
    ):
        with pytest.raises(InvalidToken):
            verify(value)


@pytest.mark.checklist(83)
def test_a_claim_that_is_there_twice_is_refused(key_pair, verify, mint):
    from jwt.api_jws import PyJWS

    claims = json.dumps(parts(mint())[1])
    doubled = claims[:-1] + ', "sub": "mallory"}'
    token = PyJWS().encode(doubled.encode(), key_pair, algorithm="RS256", headers={"typ": "at+jwt", "kid": "kid-1"})

    with pytest.raises(InvalidToken):
        verify(token)
