"""An id_token that comes back as a hint."""

import uuid
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from oauth import id_tokens
from oauth.access_tokens import SessionClaims, Signer, VerificationKey
from oauth.errors import InvalidToken

ISSUER = "https://auth.example.com"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = SessionClaims(sid=uuid.UUID(int=7), roles=("author",), auth_time=NOW, amr=("pwd",))
ALICE = uuid.UUID(int=8)


@pytest.fixture
def keys(key_pair):
    return {"1": VerificationKey("RS256", key_pair.public_key())}


def mint(private_key, *, algorithm="RS256", **changes):
    fields = {
        "signer": Signer("1", algorithm, private_key),
        "issuer": ISSUER,
        "client_id": "portal",
        "user_id": ALICE,
        "session": SESSION,
        "nonce": "",
        "access_token": "a.b.c",
        "lifetime": timedelta(minutes=15),
        "now": NOW,
    }
    return id_tokens.mint(**fields | changes)


def test_one_of_ours_is_read_however_old(key_pair, keys):
    hint = id_tokens.read_hint(mint(key_pair), keys=keys, issuer=ISSUER)

    assert hint == id_tokens.IdentityClaims(ALICE, "portal", uuid.UUID(int=7))


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_the_half_hash_is_of_the_signatures_own_hash(algorithm):
    private_key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()

    claims = jwt.decode(mint(private_key, algorithm=algorithm), options={"verify_signature": False})

    assert len(claims["at_hash"]) == {"ES256": 22, "EdDSA": 43}[algorithm]


def test_nothing_else_is(key_pair, keys, key_pairs_of_the_run):
    claims = jwt.decode(mint(key_pair), options={"verify_signature": False})
    forged = [
        "",
        "a.b.c",
        mint(key_pairs_of_the_run[1]),
        mint(key_pair, issuer="https://other.example"),
        mint(key_pair, signer=Signer("2", "RS256", key_pair)),
        jwt.encode(claims, "", algorithm="none", headers={"kid": "1", "typ": "JWT"}),
        jwt.encode(claims, key_pair, algorithm="RS256", headers={"kid": "1", "typ": "at+jwt"}),
        jwt.encode(claims | {"type": "access"}, key_pair, algorithm="RS256", headers={"kid": "1"}),
        jwt.encode(claims | {"sub": "alice"}, key_pair, algorithm="RS256", headers={"kid": "1"}),
        jwt.encode({"iss": ISSUER, "type": "id"}, key_pair, algorithm="RS256", headers={"kid": "1"}),
        jwt.encode(claims, key_pair, algorithm="RS384", headers={"kid": "1"}),
    ]

    for value in forged:
        with pytest.raises(InvalidToken):
            id_tokens.read_hint(value, keys=keys, issuer=ISSUER)
