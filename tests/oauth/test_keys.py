"""Signing keys: what is published, what signs, and how they rest."""

import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import DatabaseError, connection

from accounts import clock
from oauth import keys
from oauth.errors import TemporarilyUnavailable
from oauth.models import SigningKey


@pytest.fixture
def jwks(client):
    return lambda **headers: client.get("/.well-known/jwks.json", **headers)


@pytest.fixture
def add_key(signing_key):
    """Another row of the schedule, its times relative to now in hours."""

    def add(sequence, *, published=-48, signs=-24, until=None, removed=None, revoked=None):
        def at(hours):
            return None if hours is None else clock.now() + timedelta(hours=hours)

        jwk = signing_key.public_jwk | {"kid": f"key-{sequence}"}
        return SigningKey.objects.create(
            sequence=sequence,
            kid=jwk["kid"],
            thumbprint=jwk["kid"],
            algorithm="RS256",
            public_jwk=jwk,
            private_key=signing_key.private_key,
            created_at=at(published),
            published_at=at(published),
            signs_from=at(signs),
            signs_until=at(until),
            removed_at=at(removed),
            revoked_at=at(revoked),
        )

    return add


@pytest.mark.checklist(87, 89)
def test_the_jwk_set_has_public_members_alone(jwks, signing_key):
    [key] = jwks().json()["keys"]

    assert list(key) == ["kty", "use", "alg", "kid", "n", "e"]
    assert (key["kty"], key["use"], key["alg"], key["e"]) == ("RSA", "sig", "RS256", "AQAB")
    assert key["kid"] == signing_key.kid
    assert len(key["n"]) == 342  # 2048 bits


@pytest.mark.spec("RFC 7638", "3.1", "the example of the thumbprint")
def test_the_kid_is_the_thumbprint_of_the_standards_example():
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    public_key = rsa.RSAPublicNumbers(n=keys._unb64(n), e=65537).public_key()

    assert keys.public_jwk(public_key)["kid"] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.checklist(94)
def test_the_set_may_be_cached_compared_and_read_from_any_origin(jwks, signing_key):
    first = jwks()

    assert first["Cache-Control"] == "public, max-age=3600"
    assert first["Access-Control-Allow-Origin"] == "*"
    assert first["Content-Type"] == "application/json"
    assert first.content == jwks().content
    for known in (first["ETag"], f"W/{first['ETag']}", f'"x", {first["ETag"]}', "*"):
        again = jwks(HTTP_IF_NONE_MATCH=known)
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert jwks(HTTP_IF_NONE_MATCH='"another"').status_code == 200


@pytest.mark.checklist(95)
def test_without_a_key_the_answer_is_503_and_never_an_empty_set(jwks, db):
    response = jwks()

    assert (response.status_code, response["Cache-Control"]) == (503, "no-store")
    assert response.json()["error"] == "temporarily_unavailable"


@pytest.mark.checklist(96)
def test_the_private_key_rests_encrypted(signing_key):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM oauth_signingkey")
        row = str(cursor.fetchall())

    assert "BEGIN" not in row
    assert '"d"' not in row
    assert signing_key.private_key.startswith("gAAAA")


@pytest.mark.checklist(95)
def test_a_key_that_does_not_open_is_a_503_and_never_another_algorithm(sign_in, jwks, settings):
    settings.KEY_ENCRYPTION_KEYS = ("another encryption key, of which nothing was encrypted",)
    keys._signer.cache_clear()

    assert sign_in().error == "temporarily_unavailable"
    assert jwks().status_code == 200, "verifiers need the public half alone"
    keys._signer.cache_clear()


def test_an_older_encryption_key_still_opens(sign_in, settings):
    settings.KEY_ENCRYPTION_KEYS = ("the new encryption key that encrypts from now on", *settings.KEY_ENCRYPTION_KEYS)
    keys._signer.cache_clear()

    assert sign_in().status == 200


def test_published_are_standby_active_and_retiring_keys_and_the_newest_active_one_signs(add_key, signing_key):
    standby = add_key(4, published=-1, signs=23)
    active = add_key(3)
    retiring = add_key(2, until=-1, removed=1)
    gone = add_key(5, until=-3, removed=-1)
    revoked = add_key(6, revoked=-1)
    to_come = add_key(7, published=1, signs=25)

    view = keys.KeySet.at(clock.now(), rows=SigningKey.objects.order_by("sequence"))

    published = {key["kid"] for key in json.loads(view.jwks)["keys"]}
    assert published == set(view.public_keys) == {signing_key.kid, standby.kid, active.kid, retiring.kid}
    assert published.isdisjoint({gone.kid, revoked.kid, to_come.kid})
    assert view.signing.kid == active.kid


def test_a_process_goes_on_with_the_keys_it_knows_when_the_database_is_away(signing_key, monkeypatch):
    before = keys.ring.view()

    def fail(*args):
        raise DatabaseError

    monkeypatch.setattr(SigningKey.objects, "order_by", fail)
    keys.ring.reload()

    assert keys.ring.view().jwks == before.jwks
    assert keys.ring.signer().kid == signing_key.kid


def test_the_poller_outlives_whatever_goes_wrong_and_a_silent_one_shows(signing_key, monkeypatch, client):
    ring = keys.KeyRing()
    monkeypatch.setattr(keys, "ring", ring)
    monkeypatch.setattr(keys.connection, "close", lambda: None)  # the test's own transaction
    ring._reload_or_report()
    ring._polls = True
    SigningKey.objects.update(public_jwk={"kty": "EC"})  # as a newer version might write

    ring._reload_or_report()

    assert ring.signer().kid == signing_key.kid
    assert client.get("/ready").json()["signing_key"] == "ok"
    ring._loaded_at -= keys.STALE_SECONDS + 1
    assert client.get("/ready").status_code == 503
    assert client.get("/ready").json()["signing_key"] == "stale"


def test_a_process_that_never_read_a_key_says_so(db):
    with pytest.raises(TemporarilyUnavailable):
        keys.ring.signer()


def test_the_first_key_is_made_once(signing_key):
    assert keys.ensure_first(now=clock.now()) == signing_key
    assert SigningKey.objects.count() == 1
