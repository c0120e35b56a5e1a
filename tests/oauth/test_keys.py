"""This process's view of the signing keys: what verifiers get, what signs, and what goes on when something is wrong."""

import json
import logging
import threading
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from django.db import DatabaseError, connection

from accounts import clock
from oauth import key_pairs, key_rotation, key_set_use, keys
from oauth.errors import TemporarilyUnavailable
from oauth.models import KeySetUse, SigningKey

MINUTES_15 = timedelta(minutes=15)


@pytest.fixture
def jwks(client):
    return lambda **headers: client.get("/.well-known/jwks.json", **headers)


@pytest.fixture
def ring(monkeypatch):
    """As in a server process, whose poller goes round when the test says so."""
    monkeypatch.setattr(keys.connection, "close", lambda: None)  # the test's own transaction
    made = keys.KeyRing()
    monkeypatch.setattr(keys, "ring", made)
    made._go_round()
    made._polls = True
    return made


@pytest.mark.checklist(87, 89)
def test_the_jwk_set_has_public_members_alone(jwks, signing_key):
    [key] = jwks().json()["keys"]

    assert list(key) == ["kty", "use", "alg", "kid", "n", "e"]
    assert (key["kty"], key["use"], key["alg"], key["e"]) == ("RSA", "sig", "RS256", "AQAB")
    assert key["kid"] == signing_key.kid
    assert len(key["n"]) == 342  # 2048 bits


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


@pytest.mark.checklist(94)
def test_the_bytes_of_the_set_are_the_same_in_every_process_and_head_has_none(client, signing_key, ring):
    another = keys.KeyRing()
    another._go_round()

    head = client.head("/.well-known/jwks.json")

    assert another.view().jwks == ring.view().jwks
    assert another.view().etag == ring.view().etag == head["ETag"]
    assert (head.status_code, head.content) == (200, b"")


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
def test_a_key_that_does_not_open_is_a_503_and_never_another_algorithm(sign_in, jwks, client, settings):
    settings.KEY_ENCRYPTION_KEYS = ("another encryption key, of which nothing was encrypted",)

    assert sign_in().error == "temporarily_unavailable"
    assert jwks().status_code == 200, "verifiers need the public half alone"
    assert (client.get("/ready").status_code, client.get("/ready").json()["signing_key"]) == (503, "unreadable")


def test_a_ciphertext_of_another_key_is_not_signed_with(sign_in, signing_key):
    key_rotation.ensure_standby()
    other = SigningKey.objects.exclude(pk=signing_key.pk).get()
    SigningKey.objects.filter(pk=signing_key.pk).update(private_key=other.private_key)

    assert sign_in().error == "temporarily_unavailable"


def test_an_older_encryption_key_still_opens(sign_in, settings):
    settings.KEY_ENCRYPTION_KEYS = ("the new encryption key that encrypts from now on", *settings.KEY_ENCRYPTION_KEYS)

    assert sign_in().status == 200


def test_a_process_goes_on_with_the_keys_it_knows_when_the_database_is_away(signing_key, monkeypatch, ring):
    before = ring.view()

    def fail(*args):
        raise DatabaseError

    monkeypatch.setattr(SigningKey.objects, "order_by", fail)
    ring._go_round()

    assert ring.view().jwks == before.jwks
    assert ring.signer(MINUTES_15).kid == signing_key.kid


def test_a_process_that_has_no_database_still_lets_the_standby_take_over(signing_key, monkeypatch, ring, later, settings):
    later(days=2)
    ring._go_round()
    next_one = key_rotation.rotate(signer=signing_key.kid, actor=key_rotation.NOBODY, reason="").kid
    ring._go_round()

    def fail(*args):
        raise DatabaseError

    monkeypatch.setattr(SigningKey.objects, "order_by", fail)
    later(seconds=63)
    ring._go_round()

    assert ring.signer(MINUTES_15).kid == next_one


def test_the_poller_outlives_whatever_goes_wrong_and_a_silent_one_shows(signing_key, client, ring):
    SigningKey.objects.update(public_jwk={"kty": "none of ours"})  # as a newer version might write

    ring._go_round()

    assert ring.signer(MINUTES_15).kid == signing_key.kid
    assert client.get("/ready").json()["signing_key"] == "ok"
    ring._loaded_at -= keys.STALE_SECONDS + 1
    assert client.get("/ready").status_code == 503
    assert client.get("/ready").json()["signing_key"] == "stale"


def test_what_is_wrong_for_long_is_said_once(signing_key, settings, caplog, ring):
    settings.KEY_ENCRYPTION_KEYS = ("another encryption key, of which nothing was encrypted",)
    SigningKey.objects.exclude(pk=signing_key.pk).delete()  # so that there is something to make

    for _ in range(5):
        ring._go_round()

    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == 1
    assert signing_key.kid in lines[0]
    assert "AUTH_SERVICE__KEY_ENCRYPTION_KEYS" in lines[0]
    assert SigningKey.objects.count() == 1, "nothing is made that the other processes could not open"


def test_a_process_that_never_read_a_key_says_so(db):
    with pytest.raises(TemporarilyUnavailable):
        keys.ring.signer(MINUTES_15)


def test_a_key_is_parsed_once_and_forgotten_when_it_is_revoked(signing_key, ring):
    first = ring.signer(MINUTES_15)

    ring._go_round()
    again = ring.signer(MINUTES_15)
    key_rotation.revoke(signing_key.kid, actor=key_rotation.NOBODY, reason="leaked")
    ring._go_round()

    assert again is first
    assert ring.signer(MINUTES_15).kid != signing_key.kid
    assert signing_key.kid not in ring._signers


# --- What lives how long ---------------------------------------------------------------------------


def test_a_token_that_lives_longer_keeps_its_key_published_for_as_long(sign_in, editor, signing_key, jwks, later, settings):
    settings.KEY_PUBLISH_LEAD = timedelta(0)
    key_rotation.ensure_standby()
    editor.access_token_lifetime = 7200
    editor.save()
    keys.ring.forget()

    answer = sign_in()
    key_rotation.rotate(signer=signing_key.kid, actor=key_rotation.NOBODY, reason="")
    later(seconds=7200 + 62)
    keys.ring.forget()

    assert answer.body["expires_in"] == 7200
    assert SigningKey.objects.get(pk=signing_key.pk).longest_lifetime == 7200
    assert signing_key.kid in {key["kid"] for key in jwks().json()["keys"]}
    later(seconds=61)
    keys.ring.forget()
    assert signing_key.kid not in {key["kid"] for key in jwks().json()["keys"]}


def test_a_lifetime_that_the_key_knows_costs_no_statement(sign_in, editor, count_statements):
    editor.access_token_lifetime = 7200
    editor.save()
    sign_in()

    with count_statements() as statements:
        sign_in()

    assert not [query for query in statements.captured_queries if "longest_lifetime" in query["sql"] and "UPDATE" in query["sql"]]


# --- Algorithms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "members"),
    [("ES256", ["kty", "use", "alg", "kid", "crv", "x", "y"]), ("EdDSA", ["kty", "use", "alg", "kid", "crv", "x"])],
)
def test_a_new_server_may_sign_with_an_elliptic_curve(sign_in, client, settings, jwks, signing_key, algorithm, members):
    SigningKey.objects.all().delete()
    settings.KEY_ALGORITHM = algorithm
    key_rotation.maintain()
    keys.ring.forget()

    answer = sign_in()

    published = jwks().json()["keys"]
    assert [list(key) for key in published] == [members] * 2
    assert {key["alg"] for key in published} == {algorithm}
    me = client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {answer.body['access_token']}")
    assert me.status_code == 200
    assert client.get("/.well-known/oauth-authorization-server").json()["access_token_signing_alg_values_supported"] == [algorithm]


def test_while_the_algorithm_changes_tokens_of_both_are_taken(sign_in, client, settings, signing_key, later):
    settings.KEY_ALGORITHM, settings.KEY_PUBLISH_LEAD = "ES256", timedelta(0)
    old = sign_in().body["access_token"]
    key_rotation.ensure_standby()
    key_rotation.rotate(signer=signing_key.kid, actor=key_rotation.NOBODY, reason="")
    later(seconds=63)
    keys.ring.forget()

    new = sign_in().body["access_token"]

    for token in (old, new):
        assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 200
    metadata = client.get("/.well-known/oauth-authorization-server").json()
    assert metadata["access_token_signing_alg_values_supported"] == ["ES256", "RS256"]


@pytest.mark.parametrize("bits", [3072, 4096])
def test_rsa_keys_may_be_longer(db, settings, bits):
    settings.KEY_RSA_BITS = bits

    key_rotation.ensure_first()

    [key] = keys.ring.view().verification_keys.values()
    assert key.public_key.key_size == bits


@pytest.mark.spec("RFC 7638", "3.1", "the example of the thumbprint")
def test_the_thumbprint_is_that_of_the_standards_example():
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )

    assert key_pairs.thumbprint_of({"kty": "RSA", "n": n, "e": "AQAB"}) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.spec("RFC 8037", "A.3", "the thumbprint of an Ed25519 key")
def test_the_thumbprint_of_an_okp_key_is_that_of_its_standards_example():
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

    assert key_pairs.thumbprint_of(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_key_pair_shows_nothing_of_itself():
    for private_key in (ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()):
        assert "private" not in repr(key_pairs.pair(private_key))


# --- Who asks for the keys -------------------------------------------------------------------------


@pytest.fixture
def tally(monkeypatch):
    fresh = key_set_use.Tally()
    monkeypatch.setattr(key_set_use, "tally", fresh)
    return fresh


def test_answers_are_counted_by_the_hour_over_all_processes(jwks, signing_key, tally):
    etag = jwks()["ETag"]
    jwks(HTTP_IF_NONE_MATCH=etag)
    jwks(HTTP_IF_NONE_MATCH=etag)
    another_process = key_set_use.Tally()
    another_process.note(200)

    tally.flush()
    another_process.flush()
    tally.flush()

    [hour] = key_set_use.recent(hours=1)
    assert (hour.answered_200, hour.answered_304) == (2, 2)
    assert KeySetUse.objects.count() == 1


def test_what_the_database_does_not_take_is_counted_later(tally, db, monkeypatch):
    tally.note(200)

    def fail(answered):
        raise DatabaseError

    with monkeypatch.context() as broken:
        broken.setattr(key_set_use, "_add", fail)
        with pytest.raises(DatabaseError):
            tally.flush()
    tally.flush()

    assert KeySetUse.objects.get().answered_200 == 1


def test_counting_by_many_threads_loses_none(tally, db):
    threads = [threading.Thread(target=lambda: [tally.note(304) for _ in range(1000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    tally.flush()

    assert KeySetUse.objects.get().answered_304 == 8000


def test_old_counts_are_pruned(db):
    KeySetUse.objects.create(hour=clock.now() - timedelta(days=15), answered_200=1, answered_304=1)
    recent = KeySetUse.objects.create(hour=clock.now() - timedelta(days=13), answered_200=1, answered_304=1)

    assert key_set_use.prune() == 1

    assert [row.pk for row in KeySetUse.objects.all()] == [recent.pk]


def test_published_are_the_keys_that_tokens_may_be_signed_with(signing_key, settings, later):
    settings.KEY_PUBLISH_LEAD = timedelta(0)
    key_rotation.ensure_standby()
    second = key_rotation.rotate(signer=signing_key.kid, actor=key_rotation.NOBODY, reason="").kid
    later(seconds=63)
    key_rotation.maintain()

    view = keys.ring.view()

    assert [key["kid"] for key in json.loads(view.jwks)["keys"]] == list(SigningKey.objects.values_list("kid", flat=True))
    assert list(view.verification_keys) == list(SigningKey.objects.values_list("kid", flat=True))
    assert len(view.verification_keys) == 3
    assert view.signing.kid == second


def test_no_kid_begins_as_an_option_of_a_command_does(monkeypatch):
    made = [key_pairs.pair(ec.generate_private_key(ec.SECP256R1())) for _ in range(400)]
    dashed = next(pair for pair in made if pair.kid.startswith("-"))
    plain = next(pair for pair in made if not pair.kid.startswith("-"))
    drawn = iter([dashed.private_key, plain.private_key])
    monkeypatch.setattr(key_pairs.ec, "generate_private_key", lambda curve: next(drawn))

    assert key_pairs.generate("ES256", rsa_bits=2048).kid == plain.kid
