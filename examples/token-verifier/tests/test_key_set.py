"""Which published keys are used."""

import json

import pytest
from authserver_verifier import key_set
from authserver_verifier.testing import ABSENT, SigningKey
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

KEY = SigningKey("good")


def parsed(*members):
    return key_set.parse(json.dumps({"keys": list(members)}).encode())


def with_changes(**changes):
    return {name: value for name, value in (KEY.public_jwk | changes).items() if value is not ABSENT}


@pytest.mark.parametrize("changes", [{}, {"use": ABSENT}, {"alg": ABSENT}, {"key_ops": ["verify"]}, {"x5t": "ignored"}], ids=str)
def test_a_key_for_verifying_is_used(changes):
    assert list(parsed(with_changes(**changes))) == ["good"]


def small_modulus():
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is the point
    return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)["n"]


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC"},
        {"kty": ABSENT},
        {"key_ops": ["sign"]},
        {"key_ops": None},
        {"key_ops": 7},
        {"kid": ABSENT},
        {"kid": 1},
        {"n": ABSENT},
        {"n": 5},
        {"n": "!"},
        {"n": ""},
        {"e": None},
        {"e": "AA"},
        {"n": small_modulus()},
        {"n": "_" * 4000},
        {"d": "AQAB"},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_key_for_something_else_is_left_out_and_the_others_stay(changes):
    assert list(parsed(with_changes(**changes) | {"note": "the odd one"}, SigningKey("other").public_jwk)) == ["other"]


def test_a_private_key_that_was_published_is_left_out():
    private = RSAAlgorithm.to_jwk(KEY.private_key, as_dict=True) | {"kid": "leaked", "use": "sig", "alg": "RS256"}

    assert list(parsed(private, KEY.public_jwk)) == ["good"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": []}',
        b'{"keys": {}}',
        b'{"keys": [1, null, "x"]}',
        b'{"keys": [], "keys": []}',
        b"[" * 60000,
    ],
    ids=lambda document: document[:20].decode(),
)
def test_a_document_without_a_key_is_none(document):
    with pytest.raises(ValueError):  # noqa: PT011 - the texts are for the log
        key_set.parse(document)
