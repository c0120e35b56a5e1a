"""Moving in from the older service: what comes in, what is refused, and what its tokens and secrets are good for afterwards."""

import io
import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial

import bcrypt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from accounts import clock
from accounts.models import AuditEvent, User
from oauth import clients, foreign_secrets, key_rows, keys
from oauth.models import Client, Session, SigningKey
from oauth.older_service import database
from tests import secrecy
from tests.e2e.servers import new_database
from tests.older_service import AUDIENCE, ISSUER, KID, PASSWORD, OlderService

APP = "codelab-flutter-app"
SERVICE_SECRET = "the secret of a service, 256 bits of it"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _as_before(settings):
    settings.JWT_ISSUER, settings.JWT_AUDIENCE = ISSUER, AUDIENCE
    foreign_secrets.turns.forget()


@pytest.fixture(scope="module")
def older_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def older(tmp_path, older_key):
    if not os.environ.get("TEST_DB_URL"):
        service = OlderService(f"sqlite:///{tmp_path}/older.db", private_key=older_key)
        yield service
        service.close()
    else:
        with new_database(os.environ["TEST_DB_URL"]) as url:
            service = OlderService(url, private_key=older_key)
            yield service
            service.close()


@pytest.fixture
def ada(older):
    return older.add_user("ada")


@pytest.fixture
def app(older):
    older.add_client(APP)
    return APP


@pytest.fixture
def move_in(older, tmp_path):
    pem = tmp_path / "older.pem"
    pem.write_bytes(older.pem)

    def run(*arguments, key=pem, db=older.url):
        printed, errors = io.StringIO(), io.StringIO()
        try:
            call_command("import_older_service", "--db", db, "--key", str(key), *arguments, stdout=printed, stderr=errors)
        except CommandError as error:
            raise CommandError(f"{errors.getvalue()}{error}") from error
        finally:
            keys.ring.forget()
            clients.cache.forget()
        return printed.getvalue()

    return run


@pytest.fixture
def present(refresh):
    return partial(refresh, client_id=APP)


# --- What comes in ---------------------------------------------------------------------------------


def test_a_user_keeps_id_and_password(older, move_in, post, app):
    user_id = older.add_user("Ada", email="Ada@Example.com", password="ada and her older horse")

    move_in()

    user = User.objects.get(pk=user_id)
    assert (user.username, user.email, user.is_active, user.is_staff) == ("Ada", "Ada@Example.com", True, False)
    answer = post({"grant_type": "password", "username": "ada@example.com", "password": "ada and her older horse", "client_id": app})
    assert answer.status == 200


def test_who_had_an_address_for_a_name_is_known_by_it_still(older, move_in, post, app):
    user_id = older.add_user("ada@example.com", email="Ada@example.com")

    move_in()

    assert User.objects.get(pk=user_id).username == f"ada-{user_id[:8]}"
    assert post({"grant_type": "password", "username": "ada@example.com", "password": PASSWORD, "client_id": app}).status == 200


def test_a_client_keeps_its_rights(older, move_in):
    older.add_client("reporter", scopes=["api:read", "api:admin"], grants=["password", "implicit"], lifetimes=(3600, 7776000))

    move_in()

    client = Client.objects.get(client_id="reporter")
    assert (client.is_public, client.grant_types, client.allowed_scopes) == (True, ["password"], "api:admin api:read")
    assert (client.access_token_lifetime, client.refresh_token_lifetime) == (3600, 7776000)


def test_lifetimes_that_are_the_servers_own_stay_open(older, move_in, app):
    move_in()

    client = Client.objects.get(client_id=app)
    assert (client.access_token_lifetime, client.refresh_token_lifetime) == (None, None)


def test_a_client_that_bootstrap_made_gets_what_it_had_there_as_well(older, move_in, make_client):
    made = make_client(
        "codelab-internal", is_public=False, grant_types=("client_credentials",), allowed_scopes="api:read", default_scopes="api:read"
    ).client
    older.add_client("codelab-internal", secret=SERVICE_SECRET, scopes=["api:admin", "api:read"], grants=["password", "refresh_token"])

    said = move_in()

    made.refresh_from_db()
    assert made.grant_types == ["client_credentials", "password", "refresh_token"]
    assert made.allowed_scopes == "api:admin api:read"
    assert "client codelab-internal: was here already; taken over: grant_types, allowed_scopes, secret" in said


def test_a_second_run_gives_no_client_back_what_staff_took(older, move_in, app, ada):
    move_in()
    Client.objects.filter(client_id=app).update(allowed_scopes="api:read")
    older.add_user("bob")

    move_in()

    assert Client.objects.get(client_id=app).allowed_scopes == "api:read"


def test_its_key_signs_at_once_where_none_did(older, move_in):
    said = move_in()

    assert keys.ring.view().signing.kid == KID
    assert f"key {KID}: signs." in said


def test_where_nobody_has_signed_in_its_key_signs_as_soon_as_every_process_knows(older, move_in, signing_key):
    move_in()

    key = SigningKey.objects.get(kid=KID)
    assert timedelta(seconds=50) < key.signs_from - key.published_at < timedelta(seconds=70)


def test_where_tokens_are_in_use_its_key_is_published_a_day_before_it_signs(older, move_in, signed_in):
    said = move_in()

    key = SigningKey.objects.get(kid=KID)
    assert key.signs_from - key.published_at >= timedelta(days=1)
    assert f"signs from {key.signs_from:%Y-%m-%d %H:%M:%S} UTC" in said


# --- Its refresh tokens ------------------------------------------------------------------------------


def test_a_refresh_token_is_exchanged_for_a_session_here(older, move_in, present, claims_of, refresh, ada, app):
    _, token = older.issue(ada, app, lived=timedelta(days=2))
    move_in()

    answer = present(token)

    assert answer.status == 200
    claims = claims_of(answer)
    assert (claims["sub"], claims["client_id"], claims["scope"], claims["amr"]) == (ada, app, "api:read api:write", ["pwd"])
    assert abs(claims["auth_time"] - (time.time() - 2 * 86400)) < 60
    assert refresh(answer.body["refresh_token"], client_id=app).status == 200


def test_the_sign_in_is_as_old_as_the_first_token_of_the_line(older, move_in, ada, app):
    _, first = older.issue(ada, app, lived=timedelta(days=9))
    _, second = older.refresh(first, app)
    older.refresh(second, app)

    move_in()

    session = Session.objects.get()
    assert abs(session.auth_time - (datetime.now(UTC) - timedelta(days=9))) < timedelta(minutes=1)


def test_a_refresh_token_is_accepted_once(older, move_in, present, refresh, ada, app):
    _, token = older.issue(ada, app)
    move_in()
    successor = present(token).body["refresh_token"]

    assert present(token).error == "invalid_grant"

    assert refresh(successor, client_id=app).error == "invalid_grant"  # the session has ended: one of the two was a thief
    assert AuditEvent.objects.filter(event="session:refresh_token:reused").count() == 1


def test_a_lost_answer_is_given_again(older, move_in, present, ada, app):
    _, token = older.issue(ada, app)
    move_in()

    answers = [present(token, key="the-first-key-after-the-move") for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body["refresh_token"] == answers[1].body["refresh_token"]


def test_it_expires_when_it_would_have(older, move_in, present, later, ada, app):
    _, token = older.issue(ada, app, lifetime=timedelta(days=2))
    move_in()

    later(days=2, seconds=1)

    assert present(token).error == "invalid_grant"


def test_from_the_exchange_on_it_slides_as_ours_do(older, move_in, present, ada, app):
    _, token = older.issue(ada, app, lifetime=timedelta(days=2))
    move_in()

    present(token)

    assert Session.objects.get().expires_at - datetime.now(UTC) > timedelta(days=29)


@pytest.mark.parametrize("column", ["iss", "aud", "type", "kid", "key", "unknown"])
def test_what_the_older_service_did_not_issue_is_refused(older, move_in, present, ada, app, column):
    _, token = older.issue(ada, app)
    move_in()
    claims = older.claims(token)
    facts = {"user_id": ada, "client_id": app, "scope": claims["scope"], "now": datetime.now(UTC), "lifetime": timedelta(days=1)}
    forged = older.token(
        "access" if column == "type" else "refresh",
        jti=str(uuid.uuid4()) if column == "unknown" else claims["jti"],
        issuer="https://elsewhere.example" if column == "iss" else ISSUER,
        audience="another" if column == "aud" else AUDIENCE,
        kid="another" if column == "kid" else KID,
        key=rsa.generate_private_key(public_exponent=65537, key_size=2048) if column == "key" else None,
        **facts,
    )

    assert present(forged).error == "invalid_grant"

    assert present(token).status == 200  # nothing was spent


@pytest.mark.parametrize("token", ["a.b.c", "..", "eyJhbGciOiJub25lIn0.e30.", "eyJraWQiOlsxXX0.e30.e30", f"{'a' * 5000}.b.c"])
def test_garbage_in_its_form_is_refused(older, move_in, present, app, token):
    move_in()

    assert present(token).error == "invalid_grant"


def test_another_client_cannot_use_it(older, move_in, present, make_client, ada, app):
    _, token = older.issue(ada, app)
    move_in()
    make_client("mallorys")

    assert present(token, client_id="mallorys").error == "invalid_grant"
    assert present(token).status == 200


def test_it_works_when_its_key_has_left_the_key_set(older, move_in, present, ada, app, later):
    _, token = older.issue(ada, app)
    move_in()
    later(minutes=5)
    key_rows.insert(key_rows.generate(), sequence=90, now=clock.now(), signs_from=clock.now(), event="created")
    later(days=1)
    keys.ring.forget()
    assert KID not in keys.ring.view().verification_keys

    assert present(token).status == 200


def test_it_works_no_more_when_its_key_was_revoked(older, move_in, present, ada, app):
    _, token = older.issue(ada, app)
    move_in()
    SigningKey.objects.filter(kid=KID).update(revoked_at=datetime.now(UTC))
    keys.ring.forget()
    call_command("bootstrap", stdout=io.StringIO())
    keys.ring.forget()

    assert present(token).error == "invalid_grant"


def test_its_client_ends_the_session_with_it(older, move_in, present, post, ada, app):
    _, token = older.issue(ada, app)
    move_in()

    assert post({"token": token, "client_id": app}, path="/oauth/revoke").status == 200

    assert present(token).error == "invalid_grant"


def test_what_was_spent_or_revoked_there_is_refused(older, move_in, present, ada, app):
    _, spent = older.issue(ada, app)
    older.refresh(spent, app)
    _, revoked = older.issue(ada, app)
    older.revoke(revoked)

    move_in()

    assert Session.objects.count() == 1
    assert [present(token).error for token in (spent, revoked)] == ["invalid_grant"] * 2


def test_the_scope_of_administrators_does_not_come_along(older, move_in, ada):
    older.add_client(APP, scopes=["api:read", "auth:admin"])
    older.issue(ada, APP, scope="api:read  auth:admin")

    move_in()

    assert Session.objects.get().scope == "api:read"


def test_a_token_whose_scope_is_none_is_left_out(older, move_in, ada, app):
    older.issue(ada, app, scope='api:"read"')
    older.issue(ada, app)

    said = move_in()

    assert line(said, "left out, with a scope that is none (RFC 6749 §3.3)") == "1"
    assert Session.objects.count() == 1


@pytest.mark.parametrize("column", ["jti_hash", "user_id"])
def test_a_row_that_is_none_of_the_older_services_is_told(older, move_in, ada, app, column):
    older.issue(ada, app)
    older._execute(f"UPDATE refresh_tokens SET {column} = 'no hex'")

    with pytest.raises(CommandError, match="a row of its table refresh_tokens holds what none"):
        move_in()

    assert not User.objects.exists()


def test_a_refresh_of_one_takes_one_statement(older, move_in, present, ada, app, count_statements):
    tokens = [older.issue(ada, app)[1] for _ in range(2)]
    move_in()
    present(tokens[0])

    with count_statements() as counted:
        assert present(tokens[1]).status == 200

    assert len(counted) == 1


# --- The secrets of its clients ----------------------------------------------------------------------


@pytest.fixture
def service(older):
    older.add_client("reporter", secret=SERVICE_SECRET, grants=["client_credentials"])
    secrecy.remember("a client's secret", SERVICE_SECRET)
    return "reporter"


@pytest.fixture
def ask(post):
    def send(secret, client_id="reporter"):
        return post({"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret})

    return send


def test_a_clients_secret_works_and_is_kept_as_ours_are_from_then_on(older, move_in, service, ask):
    move_in()

    assert ask(SERVICE_SECRET).status == 200

    client = Client.objects.get(client_id=service)
    assert (client.foreign_secret_hash, bytes(client.secret_digest)) == ("", clients.digest(SERVICE_SECRET))
    assert [ask(secret).status for secret in (SERVICE_SECRET, "a wrong one")] == [200, 401]


def test_other_requests_of_the_same_second_are_answered_too(older, move_in, service, ask):
    move_in()

    assert [ask(SERVICE_SECRET).status for _ in range(3)] == [200] * 3


def test_wrong_secrets_cannot_hold_the_cores(older, move_in, service, ask):
    move_in()

    answers = [ask(f"guess {number}") for number in range(3)]

    assert [(answer.status, answer.error) for answer in answers] == [
        (401, "invalid_client"),
        (503, "temporarily_unavailable"),
        (503, "temporarily_unavailable"),
    ]


def test_the_secret_that_was_here_works_beside_it(older, move_in, make_client, ask, service):
    here = make_client(service, is_public=False, grant_types=("client_credentials",)).secret_value
    move_in()

    assert [ask(secret).status for secret in (here, SERVICE_SECRET, here)] == [200] * 3


def test_after_a_rotation_it_works_as_long_as_the_one_before(older, move_in, service, ask, later):
    move_in()
    client = Client.objects.get(client_id=service)
    new = clients.rotate_secret(client, keep_old_for=timedelta(hours=1)).secret_value

    assert [ask(secret).status for secret in (new, SERVICE_SECRET)] == [200, 200]
    later(hours=2)
    clients.cache.forget()
    assert [ask(secret).status for secret in (new, SERVICE_SECRET)] == [200, 401]


def test_a_secret_that_staff_gave_meanwhile_is_not_undone(older, move_in, service):
    move_in()
    as_read_before = Client.objects.get(client_id=service)
    clients.rotate_secret(as_read_before, keep_old_for=timedelta(0))
    of_staff = Client.objects.get(client_id=service)

    foreign_secrets.is_that_of(as_read_before, SERVICE_SECRET, digest=clients.digest(SERVICE_SECRET), now=clock.now())

    assert Client.objects.get(client_id=service).secret_digest == of_staff.secret_digest


@pytest.mark.parametrize("keep_old_for", [timedelta(0), timedelta(hours=1)])
def test_no_later_rotation_revives_it(older, move_in, service, ask, keep_old_for):
    move_in()
    for keep in (keep_old_for, timedelta(hours=1)):
        clients.rotate_secret(Client.objects.get(client_id=service), keep_old_for=keep)

    assert ask(SERVICE_SECRET).status == 401


# --- Again, and in vain ------------------------------------------------------------------------------


def test_a_dry_run_says_it_and_changes_nothing(older, move_in, ada, app):
    older.issue(ada, app)

    said = move_in("--dry-run")

    assert "This is what would be done; nothing was." in said
    assert line(said, "users brought in") == line(said, "sessions opened") == "1"
    for model in (User, Client, Session, SigningKey):
        assert not model.objects.exists()


def test_a_second_run_finds_nothing_to_do(older, move_in, ada, app):
    older.issue(ada, app)
    move_in()
    before = everything()

    said = move_in()

    assert "There was nothing to do." in said
    assert everything() == before


def test_a_second_run_takes_what_has_changed_there(older, move_in, present, post, ada, app):
    _, token = older.issue(ada, app)
    move_in()
    bob = older.add_user("bob", password="bob and his older horse")
    _, of_bob = older.issue(bob, app)
    _, successor = older.refresh(token, app)
    older.change_user(ada, password_hash=older_hash("another older horse"))

    said = move_in()

    assert [line(said, name) for name in ("users brought in", "passwords renewed", "sessions opened", "sessions ended")] == [
        "1",
        "1",
        "2",
        "1",
    ]
    assert [present(each).status for each in (successor, of_bob, token)] == [200, 200, 400]
    assert post({"grant_type": "password", "username": "ada", "password": "another older horse", "client_id": app}).status == 200


def test_what_was_used_here_is_not_ended_by_a_second_run(older, move_in, present, refresh, ada, app):
    _, token = older.issue(ada, app)
    move_in()
    successor = present(token).body["refresh_token"]
    older.revoke(token)

    move_in()

    assert refresh(successor, client_id=app).status == 200


def test_who_was_disabled_there_is_disabled_here(older, move_in, present, ada, app):
    _, token = older.issue(ada, app)
    move_in()
    older.change_user(ada, is_active=False)

    move_in()

    assert not User.objects.get(pk=ada).is_active
    assert present(token).error == "invalid_grant"
    User.objects.filter(pk=ada).update(is_active=True)
    assert present(token).error == "invalid_grant"  # as after staff disabled them


def test_a_password_set_here_is_not_undone(older, move_in, post, ada, app):
    move_in()
    user = User.objects.get(pk=ada)
    user.set_password("a horse of this server")
    user.save()
    older.change_user(ada, password_hash=older_hash("a horse that changed there"))

    move_in()

    assert post({"grant_type": "password", "username": "ada", "password": "a horse of this server", "client_id": app}).status == 200


def test_staff_are_left_as_they_are(older, move_in, make_user, app):
    root = make_user("root", is_staff=True, is_superuser=True)
    older.add_user("root", email="root@example.com", user_id=str(root.pk))
    move_in()
    older.add_user("bob")
    move_in()
    older.change_user(str(root.pk), is_active=False)

    move_in()

    root.refresh_from_db()
    assert root.is_active


def test_a_user_who_cannot_come_in_stops_all_of_it(older, move_in, app):
    older.add_user("ada")
    twin = older.add_user("ADA", email="other@example.com")

    with pytest.raises(CommandError) as stopped:
        move_in()

    assert f"user {twin}: the user name is also in line 1" in str(stopped.value)
    assert not User.objects.exists()
    assert not Client.objects.exists()
    assert not SigningKey.objects.exists()


def test_who_is_left_out_stops_nothing(older, move_in, app, ada):
    twin = older.add_user("ADA", email="other@example.com")
    older.issue(twin, app)
    older.issue(ada, app)

    said = move_in("--without-user", twin)

    assert line(said, "left out, of users who are disabled or not here") == "1"
    assert [str(user.pk) for user in User.objects.all()] == [ada]


def test_a_client_of_another_kind_stops_all_of_it(older, move_in, make_client, ada):
    make_client("reporter")
    older.add_client("reporter", secret=SERVICE_SECRET)

    with pytest.raises(CommandError, match="the client reporter is confidential there and public here"):
        move_in()

    assert not User.objects.exists()
    assert line(move_in("--without-client", "reporter"), "users brought in") == "1"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root:hunter2@localhost/older", "and only SQLite and PostgreSQL are read"),
        ("nonsense", "its URL must look like"),
        ("sqlite:////nowhere/at/all.db", "it cannot be opened"),
        ("postgresql://mallory:hunter2@127.0.0.1:1/older", "it cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_read_is_told_without_its_password(older, move_in, url, said):
    with pytest.raises(CommandError) as stopped:
        move_in(db=url)

    assert said in str(stopped.value)
    assert "hunter2" not in str(stopped.value)


def test_another_database_is_not_taken_for_it(older, move_in, tmp_path):
    (tmp_path / "empty.db").touch()

    with pytest.raises(CommandError, match="it has no table users"):
        move_in(db=f"sqlite:///{tmp_path}/empty.db")


def test_a_key_that_is_none_stops_all_of_it(older, move_in, tmp_path, ada):
    (tmp_path / "none.pem").write_text("no key")

    with pytest.raises(CommandError, match="it is not a private key in PEM form"):
        move_in(key=tmp_path / "none.pem")

    assert not User.objects.exists()


def test_the_older_database_is_only_read(older):
    with (
        database.opened(older.url) as opened,
        opened._connection.cursor() as cursor,
        pytest.raises(DatabaseError, match=r"read-?only"),
    ):
        cursor.execute("DELETE FROM users")


def line(said, name):
    [value] = [row.removeprefix(name).strip() for row in said.splitlines() if row.startswith(f"{name} ")]
    return value


def everything():
    tables = ("accounts_user", "oauth_client", "oauth_session", "oauth_signingkey", "accounts_auditevent")
    with connection.cursor() as cursor:
        return [rows_of(table, cursor) for table in tables]


def rows_of(table, cursor):
    cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
    return cursor.fetchall()


def older_hash(password):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
