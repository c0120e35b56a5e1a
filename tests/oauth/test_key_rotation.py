"""Keys take turns: by themselves, by hand, at once; whatever two people or ten processes do together."""

import json
import stat
import time
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import clock, encryption
from accounts.actors import NOBODY
from accounts.models import AuditEvent
from oauth import key_pairs, key_report, key_rotation, key_rows, keys
from oauth.key_schedule import State
from oauth.models import SigningKey
from tests.staff import enrol
from tests.threads import at_once

DAY = timedelta(days=1)
ANOTHER_KEY = "another encryption key, of which nothing was encrypted"


@pytest.fixture
def two_keys(signing_key):
    """The key that signs, and the standby."""
    key_rotation.maintain()
    return SigningKey.objects.order_by("sequence")


def states():
    now = clock.database_now()
    return [place.state(now).value for place in key_rows.current().places]


def signing():
    return key_rows.current().signer(clock.database_now()).key.kid


def events(event):
    return AuditEvent.objects.filter(event=event)


def rotate(**fields):
    return key_rotation.rotate(**{"signer": signing(), "actor": NOBODY, "reason": "by hand"} | fields)


def revoke(kid, **fields):
    key_rotation.revoke(kid, **{"actor": NOBODY, "reason": "leaked"} | fields)


# --- By themselves -----------------------------------------------------------------------------------


def test_keys_appear_by_themselves_one_that_signs_and_one_behind_it(db):
    key_rotation.maintain()

    assert states() == ["active", "standby"]
    assert events("signing_key:schedule:created").count() == 2
    key_rotation.maintain()
    assert SigningKey.objects.count() == 2


@pytest.mark.checklist(90)
def test_a_rotation_begins_when_it_is_due_and_not_before(two_keys, later):
    _, second = two_keys
    later(days=90, minutes=-1)
    key_rotation.maintain()
    assert SigningKey.objects.get(pk=second.pk).signs_from is None

    later(minutes=1, seconds=1)
    key_rotation.maintain()
    later(seconds=63)
    key_rotation.maintain()

    assert states() == ["retiring", "active", "standby"]
    assert signing() == second.kid
    [event] = events("signing_key:schedule:rotated")
    assert (event.target, event.detail["reason"], event.actor_id) == (second.kid, "due", None)


def test_a_rotation_that_was_due_while_no_server_ran_waits_until_verifiers_know_the_standby(two_keys, later, settings):
    _, second = two_keys
    second.delete()
    later(days=200)

    key_rotation.maintain()

    assert states() == ["active", "standby"]
    later(hours=24, seconds=1)
    key_rotation.maintain()
    later(seconds=63)
    assert states() == ["retiring", "active"]


def test_with_rotation_by_hand_alone_nothing_is_ever_due(two_keys, later, settings):
    settings.KEY_ROTATION_PERIOD = None
    later(days=3000)

    key_rotation.maintain()

    assert states() == ["active", "standby"]


def test_a_shorter_period_counts_for_the_key_that_signs_now(two_keys, later, settings):
    later(days=40)
    key_rotation.maintain()
    assert states() == ["active", "standby"]

    settings.KEY_ROTATION_PERIOD = 30 * DAY
    key_rotation.maintain()
    later(seconds=63)

    assert states() == ["retiring", "active"]


@pytest.mark.checklist(91)
def test_a_key_leaves_a_minute_after_its_last_token_has_expired_and_its_private_half_with_it(two_keys, later):
    first, _ = two_keys
    later(days=2)
    rotate()
    later(seconds=62 + 900 + 59)
    key_rotation.maintain()
    assert states() == ["retiring", "active", "standby"]
    assert SigningKey.objects.get(pk=first.pk).private_key

    later(seconds=2)
    key_rotation.maintain()

    assert states() == ["retired", "active", "standby"]
    assert SigningKey.objects.get(pk=first.pk).private_key == ""
    assert [event.target for event in events("signing_key:private_key:erased")] == [first.kid]
    assert first.kid not in keys.ring.view().verification_keys


def test_a_process_whose_clock_is_a_year_ahead_erases_and_makes_nothing(two_keys, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no clock of its own: the process's stands in")
    monkeypatch.setattr(clock, "now", lambda: clock.database_now() + 365 * DAY)

    key_rotation.maintain()

    assert states() == ["active", "standby"]
    assert all(SigningKey.objects.values_list("private_key", flat=True))


def test_a_process_with_the_wrong_encryption_key_makes_no_key(signing_key, settings):
    settings.KEY_ENCRYPTION_KEYS = (ANOTHER_KEY,)

    with pytest.raises(encryption.Undecryptable, match=signing_key.kid):
        key_rotation.maintain()

    assert SigningKey.objects.count() == 1


# --- By hand ---------------------------------------------------------------------------------------


def test_the_standby_signs_as_soon_as_every_verifier_knows_it(two_keys, later):
    first, second = two_keys
    later(hours=23)

    made = rotate(reason="quarterly")

    assert (made.kid, made.decided_now) == (second.kid, True)
    assert made.signs_from == second.published_at + DAY
    assert signing() == first.kid
    [event] = events("signing_key:schedule:rotated")
    assert (event.target, event.detail["reason"]) == (second.kid, "quarterly")
    later(hours=1, seconds=1)
    assert signing() == second.kid


def test_a_standby_that_is_known_signs_within_about_a_minute(two_keys, later):
    later(days=2)

    made = rotate()

    assert timedelta(seconds=60) < made.signs_from - clock.database_now() < timedelta(seconds=63)


def test_what_is_decided_already_is_not_decided_again(two_keys, later):
    later(days=2)
    first = rotate()

    second = rotate()

    assert (second.kid, second.signs_from, second.decided_now) == (first.kid, first.signs_from, False)
    assert events("signing_key:schedule:rotated").count() == 1


def test_who_looked_before_another_rotated_is_told(two_keys, later):
    seen = signing()
    later(days=2)
    rotate()
    later(seconds=63)
    key_rotation.maintain()

    with pytest.raises(key_rotation.Conflict, match="does not sign any more"):
        rotate(signer=seen)

    assert states() == ["retiring", "active", "standby"]


def test_a_standby_that_does_not_open_here_is_not_rotated_to(two_keys, later):
    first, second = two_keys
    SigningKey.objects.filter(pk=second.pk).update(private_key=first.private_key)
    later(days=2)

    with pytest.raises(encryption.Undecryptable, match=second.kid):
        rotate()

    assert SigningKey.objects.get(pk=second.pk).signs_from is None


# --- A key has leaked ------------------------------------------------------------------------------


@pytest.mark.checklist(93)
def test_a_key_that_leaked_is_gone_at_once_and_the_standby_signs(two_keys, sign_in, client):
    first, _ = two_keys
    token = sign_in().body["access_token"]

    revoke(first.kid, reason="found on a paste site")
    keys.ring.forget()

    assert states() == ["revoked", "active", "standby"]
    assert [key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]] == list(
        SigningKey.objects.exclude(pk=first.pk).values_list("kid", flat=True)
    )
    assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 401
    fresh = sign_in().body["access_token"]
    assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {fresh}").status_code == 200
    row = SigningKey.objects.get(pk=first.pk)
    assert (row.private_key, row.revoked_reason) == ("", "found on a paste site")
    [event] = events("signing_key:schedule:revoked")
    assert (event.target, event.detail) == (first.kid, {"reason": "found on a paste site"})


def test_nobody_is_signed_out_by_it(two_keys, signed_in, refresh):
    revoke(signing())
    keys.ring.forget()

    assert refresh(signed_in.body["refresh_token"]).status == 200


def test_a_standby_that_leaked_is_replaced_and_the_other_goes_on(two_keys):
    first, second = two_keys

    revoke(second.kid)

    assert states() == ["active", "revoked", "standby"]
    assert signing() == first.kid


def test_a_retiring_key_that_leaked_is_gone_and_nothing_else_changes(two_keys, later):
    first, _ = two_keys
    later(days=2)
    rotate()
    later(seconds=63)
    key_rotation.maintain()

    revoke(first.kid)

    assert states() == ["revoked", "active", "standby"]
    assert SigningKey.objects.count() == 3


def test_a_rotation_that_was_decided_is_overtaken_by_an_emergency(two_keys, later):
    first, second = two_keys
    later(days=2)
    rotate()

    revoke(first.kid)

    assert signing() == second.kid
    assert states() == ["revoked", "active", "standby"]


def test_without_a_standby_a_new_key_signs_at_once_and_the_log_says_what_that_means(signing_key, caplog):
    revoke(signing_key.kid)

    assert states() == ["revoked", "active"]
    assert "there was no standby" in caplog.text
    key_rotation.maintain()
    assert states() == ["revoked", "active", "standby"]


def test_what_is_out_of_use_is_not_revoked_again_and_what_is_unknown_is_said(two_keys):
    first, _ = two_keys
    revoke(first.kid)

    with pytest.raises(key_rotation.Conflict, match="is revoked already"):
        revoke(first.kid)
    with pytest.raises(key_rotation.Conflict, match="There is no key nobodys"):
        revoke("nobodys")

    assert events("signing_key:schedule:revoked").count() == 1


def test_a_server_whose_encryption_keys_are_lost_gets_new_keys(two_keys, settings, sign_in):
    settings.KEY_ENCRYPTION_KEYS = (ANOTHER_KEY,)
    first, second = two_keys
    with pytest.raises(encryption.Undecryptable):
        revoke(first.kid)

    revoke(first.kid, encryption_keys_are_lost=True)
    revoke(second.kid, encryption_keys_are_lost=True)
    keys.ring.forget()

    assert states() == ["revoked", "revoked", "active", "standby"]
    assert sign_in().status == 200


# --- Many at once ------------------------------------------------------------------------------------


@pytest.mark.checklist(97)
@pytest.mark.django_db(transaction=True)
def test_ten_people_who_rotate_at_once_rotate_once(two_keys, later):
    later(days=2)
    seen = signing()

    made = at_once(*[lambda: rotate(signer=seen)] * 10, refusals=(key_rotation.Conflict,))

    assert sum(result.decided_now for result in made) == 1
    assert len({(result.kid, result.signs_from) for result in made}) == 1
    assert states() == ["active", "standby"]
    later(seconds=63)
    assert states() == ["retiring", "active"]


@pytest.mark.checklist(97)
@pytest.mark.django_db(transaction=True)
def test_ten_processes_that_find_no_key_make_one_that_signs_and_one_standby(transactional_db, settings):
    settings.KEY_ALGORITHM = "EdDSA"

    at_once(*[key_rotation.maintain] * 10)

    assert states() == ["active", "standby"]
    assert events("signing_key:schedule:created").count() == 2


@pytest.mark.django_db(transaction=True)
def test_ten_processes_that_find_a_rotation_due_begin_it_once(two_keys, later):
    later(days=91)

    at_once(*[key_rotation.maintain] * 10)

    assert events("signing_key:schedule:rotated").count() == 1
    later(seconds=63)
    at_once(*[key_rotation.maintain] * 10)
    assert states() == ["retiring", "active", "standby"]


@pytest.mark.django_db(transaction=True)
def test_an_emergency_and_a_rotation_at_once_leave_one_key_that_signs(two_keys, later):
    later(days=2)
    first = signing()

    at_once(
        lambda: revoke(first), lambda: revoke(first), lambda: rotate(signer=first), key_rotation.maintain, refusals=(key_rotation.Conflict,)
    )

    later(seconds=63)
    key_rotation.maintain()
    assert states().count("active") == 1
    assert states().count("standby") == 1
    assert events("signing_key:schedule:revoked").count() == 1


# --- A key that comes from elsewhere -----------------------------------------------------------------


@pytest.fixture
def pem(tmp_path, key_pairs_of_the_run):
    def write(private_key=None, password=None):
        protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        path = tmp_path / f"private-{len(list(tmp_path.iterdir()))}.pem"
        path.write_bytes(
            (private_key or key_pairs_of_the_run[-1]).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, protection
            )
            if not isinstance(private_key, ed25519.Ed25519PrivateKey)
            else private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
        )
        path.chmod(stat.S_IRUSR)
        return path

    return write


def test_an_existing_key_signs_from_the_start_under_its_old_kid(db, pem, settings):
    settings.PRIVATE_KEY_PATH, settings.PRIVATE_KEY_ID = str(pem()), "2024-01-key-1"

    key_rotation.prepare()

    assert signing() == "2024-01-key-1"
    assert states() == ["active", "standby"]
    [event] = events("signing_key:schedule:imported")
    assert event.target == "2024-01-key-1"
    jwk = json.loads(keys.ring.view().jwks)["keys"][0]
    assert jwk["kid"] == "2024-01-key-1"
    assert SigningKey.objects.get(kid="2024-01-key-1").thumbprint == key_pairs.thumbprint_of(jwk)


def test_it_is_imported_once_and_does_not_come_back_when_it_was_revoked(db, pem, settings):
    settings.PRIVATE_KEY_PATH, settings.PRIVATE_KEY_ID = str(pem()), "old"
    key_rotation.prepare()
    revoke("old")

    key_rotation.prepare()

    assert states() == ["revoked", "active", "standby"]
    assert events("signing_key:schedule:imported").count() == 1


def test_beside_keys_that_exist_it_signs_after_a_minute_and_they_retire(two_keys, pem, later):
    key_rotation.import_pem(pem(), kid="old")
    later(seconds=63)

    assert states() == ["retiring", "standby", "active"]
    assert signing() == "old"


@pytest.mark.parametrize(
    ("private_key", "algorithm"),
    [(ec.generate_private_key(ec.SECP256R1()), "ES256"), (ed25519.Ed25519PrivateKey.generate(), "EdDSA")],
)
def test_keys_of_elliptic_curves_may_come_in_too(db, pem, private_key, algorithm):
    made = key_rotation.import_pem(pem(private_key), kid="")

    assert (made.algorithm, made.kid) == (algorithm, made.thumbprint)


@pytest.mark.parametrize(
    ("private_key", "why"),
    [
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), "2048 bits"),  # noqa: S505 - refused
        (rsa.generate_private_key(public_exponent=3, key_size=2048), "exponent 65537"),
        (ec.generate_private_key(ec.SECP384R1()), "P-256"),
        (dsa.generate_private_key(key_size=2048), "neither an RSA"),
    ],
)
def test_a_key_that_is_too_weak_or_of_another_kind_is_refused(db, pem, private_key, why):
    with pytest.raises(key_pairs.NotUsable, match=why):
        key_rotation.import_pem(pem(private_key), kid="")

    assert not SigningKey.objects.exists()


def test_an_rsa_key_whose_numbers_do_not_belong_together_is_refused(db, pem, key_pair):
    numbers = key_pair.private_numbers()
    changed = rsa.RSAPrivateNumbers(numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers)

    with pytest.raises(key_pairs.NotUsable):
        key_rotation.import_pem(pem(changed.private_key(unsafe_skip_rsa_key_validation=True)), kid="")

    assert not SigningKey.objects.exists()


def test_a_key_that_was_sealed_here_is_opened_without_proving_it_anew(key_pair):
    sealed = key_pairs.pair(key_pair)
    began_at = time.thread_time()
    opened = [key_pairs.unseal(key_pairs.seal(sealed), thumbprint=sealed.thumbprint) for _ in range(10)]
    taken = time.thread_time() - began_at

    began_at = time.thread_time()
    key_pair.private_numbers().private_key()
    assert taken < time.thread_time() - began_at
    assert {key.private_numbers() for key in opened} == {key_pair.private_numbers()}


def test_what_is_no_private_key_is_refused_with_a_reason(db, pem, tmp_path, signing_key):
    (tmp_path / "public.pem").write_bytes(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")

    for path, kid, why in [
        (tmp_path / "nowhere.pem", "", "cannot be read: No such file"),
        (tmp_path / "public.pem", "", "not a private key in PEM form"),
        (pem(password=b"secret"), "", "passphrase"),
        (pem(), "with space", "visible ASCII"),
        (pem(), signing_key.kid, "has the kid"),
    ]:
        with pytest.raises(key_pairs.NotUsable, match=why):
            key_rotation.import_pem(path, kid=kid)


# --- Under another encryption key -------------------------------------------------------------------


@pytest.mark.checklist(96)
def test_after_a_change_of_the_encryption_key_the_old_one_is_not_needed(two_keys, settings, sign_in, bob, capsys):
    seed = enrol(bob)
    old = settings.KEY_ENCRYPTION_KEYS
    settings.KEY_ENCRYPTION_KEYS = (ANOTHER_KEY, *old)

    call_command("reencrypt_signing_keys")
    call_command("reencrypt_signing_keys")

    settings.KEY_ENCRYPTION_KEYS = (ANOTHER_KEY,)
    keys.ring.forget()
    assert sign_in().status == 200
    assert enrol(bob) == seed
    said = capsys.readouterr().out
    assert "2 of 2 private keys encrypted anew, and 2 of 2 seeds" in said
    assert "0 of 2 private keys encrypted anew, and 0 of 2 seeds" in said
    assert events("signing_key:private_key:reencrypted").count() == 2


def test_when_one_key_does_not_open_none_is_changed(two_keys, settings):
    before = list(SigningKey.objects.values_list("private_key", flat=True))
    SigningKey.objects.filter(sequence=2).update(private_key="gAAAAA")
    settings.KEY_ENCRYPTION_KEYS = (ANOTHER_KEY, *settings.KEY_ENCRYPTION_KEYS)

    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("reencrypt_signing_keys")

    assert SigningKey.objects.get(sequence=1).private_key == before[0]


# --- Commands ----------------------------------------------------------------------------------------


def test_the_schedule_is_shown_as_a_table_with_what_comes_next(two_keys, capsys):
    first, second = two_keys

    call_command("signing_keys")

    said = capsys.readouterr().out
    table = said.split("\n\n")[0].splitlines()
    assert table[0].split() == [
        *("kid", "algorithm", "state", "published"),
        *("signs", "from", "signs", "until", "leaves", "key", "set", "last", "token", "expires"),
    ]
    assert [line.split()[:3] for line in table[1:]] == [[first.kid, "RS256", "active"], [second.kid, "RS256", "standby"]]
    due = first.signs_from + 90 * DAY
    assert f"{due:%Y-%m-%d}" in table[1]
    assert f"{due:%Y-%m-%d}" in table[2]
    assert "signs; a new standby is published" in said
    assert "Answers of the key set, at least" in said


def test_the_schedule_is_there_for_programs_too(two_keys, capsys):
    call_command("signing_keys", "--json")

    [active, standby] = json.loads(capsys.readouterr().out)
    assert (active["state"], standby["state"]) == ("active", "standby")
    assert active["signs_until"] == standby["signs_from"]
    assert "private" not in json.dumps([active, standby])


def test_where_there_is_no_key_both_commands_say_what_makes_one(db, capsys):
    call_command("signing_keys")
    assert "manage.py bootstrap" in capsys.readouterr().out

    with pytest.raises(CommandError, match="bootstrap"):
        call_command("rotate_signing_key")


def test_the_command_shows_the_plan_and_rotates(two_keys, later, capsys):
    _, second = two_keys
    later(days=2)

    call_command("rotate_signing_key", "--dry-run")
    assert "Nothing was changed." in capsys.readouterr().out
    assert SigningKey.objects.get(pk=second.pk).signs_from is None
    call_command("rotate_signing_key", "--reason", "quarterly")

    said = capsys.readouterr().out
    assert f"Plan: {second.kid} signs from" in said
    assert f"Done. {second.kid} signs from" in said
    [event] = events("signing_key:schedule:rotated")
    assert event.detail["reason"] == "quarterly"
    assert event.user_agent.startswith("manage.py, by ")
    call_command("rotate_signing_key")
    assert "That is decided already" in capsys.readouterr().out


@pytest.mark.checklist(93)
def test_the_command_revokes_a_key_and_says_what_that_does_not_do(two_keys, capsys):
    first, _ = two_keys

    with pytest.raises(CommandError, match="--reason"):
        call_command("rotate_signing_key", "--emergency", first.kid)
    with pytest.raises(CommandError, match="There is no key nobodys"):
        call_command("rotate_signing_key", "--emergency", "nobodys", "--reason", "leaked")
    call_command("rotate_signing_key", "--emergency", first.kid, "--reason", "leaked", "--dry-run")
    assert states() == ["active", "standby"]
    call_command("rotate_signing_key", "--emergency", first.kid, "--reason", "leaked")

    said = capsys.readouterr().out
    assert "until they fetch the key set anew" in said
    assert "nobody has to sign in anew" in said
    assert states() == ["revoked", "active", "standby"]
    [event] = events("signing_key:schedule:revoked")
    assert event.user_agent.startswith("manage.py, by ")
    with pytest.raises(CommandError, match="revoked already"):
        call_command("rotate_signing_key", "--emergency", first.kid, "--reason", "leaked")


def test_the_steps_to_come_are_in_the_order_of_time(two_keys, later):
    first, second = two_keys
    later(days=2)
    rotate()

    steps = key_report.steps(key_rows.current(), now=clock.database_now())

    assert [step.kid for step in steps] == [second.kid, first.kid]
    assert steps[1].at - steps[0].at == timedelta(seconds=960)


def test_a_report_of_every_state(two_keys, later):
    first, _ = two_keys
    later(days=2)
    rotate()
    later(seconds=63)
    key_rotation.maintain()
    revoke(first.kid)

    lines = key_report.lines(key_rows.current(), now=clock.database_now())

    assert [line.state for line in lines] == [State.REVOKED, State.ACTIVE, State.STANDBY]
    assert lines[0].leaves_at is not None
    assert lines[0].revoked_reason == "leaked"
