"""The password grant: who gets in, by which name, and what is told to whom."""

import pytest

from accounts import lockout
from accounts.models import AuditEvent, User
from oauth.models import Client, Session
from tests.conftest import PASSWORD


@pytest.mark.checklist(42)
@pytest.mark.parametrize(
    "identifier", ["alice", "ALICE", "  alice ", "ａlice", "alice@example.com", "Alice@Example.COM", "alice＠example.com"]
)
def test_a_user_signs_in_by_either_identifier_in_any_spelling(sign_in, claims_of, alice, identifier):
    answer = sign_in(identifier)

    assert answer.status == 200
    assert claims_of(answer)["sub"] == str(alice.pk)


def test_the_claims_name_user_session_roles_and_way_of_sign_in(signed_in, claims_of, alice, signing_key):
    claims = claims_of(signed_in)

    session = Session.objects.get()
    assert claims["sub"] == str(alice.pk)
    assert claims["sid"] == str(session.pk)
    assert claims["client_id"] == "editor"
    assert claims["roles"] == ["author", "reviewer"]
    assert claims["amr"] == ["pwd"]
    assert claims["auth_time"] == claims["iat"]
    assert claims["aud"] == "codelab-api"
    assert claims["iss"] == "http://localhost:8003"
    assert claims["exp"] - claims["iat"] == signed_in.body["expires_in"]


@pytest.mark.checklist(34)
def test_wrong_password_unknown_disabled_and_passwordless_users_get_one_answer(sign_in, make_user):
    make_user("bob", is_active=False)
    make_user("carol").set_unusable_password()
    User.objects.filter(username="carol").update(password="!")
    User.objects.create(username="dave", email="", password="")

    answers = [sign_in("alice", "wrong"), sign_in("nobody"), sign_in("bob"), sign_in("carol"), sign_in("dave"), sign_in("\u200balice")]

    assert {answer.status for answer in answers} == {400}
    assert {answer.body["error"] for answer in answers} == {"invalid_grant"}
    # Two ids are drawn anew for each, of one length.
    headers = [{**answer.response.headers, "X-Request-ID": len(answer.response["X-Request-ID"])} for answer in answers]
    assert all(each == headers[0] for each in headers)
    assert len({(answer.body["error_description"], len(answer.response.content)) for answer in answers}) == 1
    assert Session.objects.count() == 0


def test_a_sign_in_is_stamped_and_audited(signed_in, alice):
    alice.refresh_from_db()
    event = AuditEvent.objects.get(event="user:sign_in:succeeded")

    assert alice.last_sign_in_at is not None
    assert (event.actor_id, event.target) == (alice.pk, str(Session.objects.get().pk))
    assert (event.client_id, event.address) == ("editor", "127.0.0.1")


@pytest.mark.checklist(54)
def test_a_failed_sign_in_is_audited_without_what_was_typed(sign_in, alice):
    sign_in("alice", "a wrong password")
    sign_in("somebody-else", "a wrong password")

    known, unknown = AuditEvent.objects.filter(event="user:sign_in:failed").order_by("id")
    assert (known.target, known.detail) == (str(alice.pk), {"reason": "wrong password", "count": 1})
    name_digest = lockout.digest_of("somebody-else").hex()[:16]
    assert (unknown.target, unknown.detail) == ("", {"reason": "unknown user", "count": 1, "name_digest": name_digest})
    everything = str(list(AuditEvent.objects.values()))
    assert "a wrong password" not in everything
    assert "somebody-else" not in everything


@pytest.mark.checklist(54)
def test_a_name_that_is_locked_at_once_makes_one_row_of_failures_and_one_of_the_lock(sign_in, alice):
    for _ in range(20):
        sign_in("alice", "a wrong password")

    failed, locked = AuditEvent.objects.filter(event__startswith="user:").order_by("id")
    assert (failed.event, failed.detail) == ("user:sign_in:failed", {"reason": "wrong password", "count": 1})
    assert (locked.event, locked.target, locked.detail["count"]) == ("user:lockout:started", str(alice.pk), 4)


@pytest.mark.parametrize(
    ("asked", "given"), [("", "api:read api:write"), ("api:read", "api:read"), ("api:write api:read api:read", "api:read api:write")]
)
def test_the_scope_is_what_was_asked_for_or_the_clients_default(sign_in, claims_of, asked, given):
    answer = sign_in(scope=asked)

    assert answer.body["scope"] == given
    assert claims_of(answer)["scope"] == given
    assert Session.objects.get().scope == given


@pytest.mark.parametrize("scope", ["admin", "api:read admin", "api:read  api:write", " api:read", 'quo"te'])
def test_a_scope_beyond_the_clients_or_malformed_is_refused(sign_in, scope):
    answer = sign_in(scope=scope)

    assert (answer.status, answer.error) == (400, "invalid_scope")
    assert Session.objects.count() == 0


def test_a_client_without_default_scopes_must_be_asked_for_some(sign_in, make_client):
    make_client("strict", default_scopes="")

    assert sign_in(client_id="strict").error == "invalid_scope"
    assert sign_in(client_id="strict", scope="api:read").status == 200


def test_auth_admin_is_never_granted_for_a_password(sign_in, make_client):
    make_client("console", allowed_scopes="api:read auth:admin", default_scopes="api:read")

    assert sign_in(client_id="console", scope="auth:admin").error == "invalid_scope"


def test_staff_need_more_than_a_password_outside_development(sign_in, make_user, settings):
    make_user("root", is_staff=True)
    assert sign_in("root").status == 200
    settings.DEVELOPMENT = False

    right, wrong = sign_in("root"), sign_in("root", "wrong")

    assert (right.status, right.error) == (400, "mfa_required")
    assert wrong.error == "invalid_grant"
    assert AuditEvent.objects.filter(event="user:sign_in:failed", detail={"reason": "staff account", "count": 1}).count() == 1


def test_a_client_without_the_refresh_grant_gets_no_refresh_token(sign_in, make_client):
    make_client("kiosk", grant_types=("password",))

    answer = sign_in(client_id="kiosk")

    assert answer.status == 200
    assert "refresh_token" not in answer.body


def test_lifetimes_and_audience_may_be_the_clients_own(sign_in, claims_of, editor, settings):
    Client.objects.update(access_token_lifetime=60, refresh_token_lifetime=3600, audience="billing-api")
    settings.JWT_AUDIENCE = "billing-api"  # for the verification by `claims_of`

    answer = sign_in()

    claims, session = claims_of(answer), Session.objects.get()
    assert answer.body["expires_in"] == 60
    assert claims["aud"] == "billing-api"
    assert claims["exp"] - claims["iat"] == 60
    assert 3595 < (session.expires_at - session.created_at).total_seconds() <= 3600.5


def test_a_session_may_have_a_cap_that_no_refresh_moves(sign_in, settings):
    from datetime import timedelta

    settings.SESSION_MAX_AGE = timedelta(days=1)

    sign_in()

    session = Session.objects.get()
    assert abs((session.ends_at - session.created_at).total_seconds() - 86400) < 1
    assert abs((session.expires_at - session.ends_at).total_seconds()) < 1


@pytest.mark.parametrize("change", [{"session_epoch": 99}, {"is_active": False}], ids=str)
def test_a_user_disabled_or_signed_out_while_the_password_was_verified_gets_no_session(sign_in, alice, monkeypatch, change):
    from accounts import authentication

    real = authentication.authenticate

    def authenticate_slowly(identifier, **keywords):
        found = real(identifier, **keywords)
        User.objects.filter(pk=alice.pk).update(**change)
        return found

    monkeypatch.setattr(authentication, "authenticate", authenticate_slowly)

    answer = sign_in()

    assert answer.error == "invalid_grant"
    assert Session.objects.count() == 0


def test_the_password_is_not_trimmed(sign_in):
    assert sign_in("alice", f" {PASSWORD}").error == "invalid_grant"
    assert sign_in("alice", f"{PASSWORD} ").error == "invalid_grant"
