"""The administrators' API: who gets in, and what each call does, on record and with its reason."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client as Browser

from accounts import account_changes, users
from accounts.clock import Instant
from accounts.models import AuditEvent, LoginCounter, Outbox, Role, User
from oauth import admin_api, client_changes, clients, key_rotation, keys
from oauth.admin_api import clients as clients_api
from oauth.admin_api import gates
from oauth.admin_api.urls import urlpatterns
from oauth.client_admin import ClientAdmin
from oauth.errors import NotPermitted
from oauth.models import Client, Session, SigningKey
from tests import secrecy
from tests.admin_tokens import token_of

VIEW_USER, CHANGE_USER = "accounts.view_user", "accounts.change_user"
WHY = {"reason": "ticket 4711"}

# method, path, body, the permissions it needs, the answer to who has them. Names in braces are of the cast below.
CALLS = {
    "list_users": ("GET", "users", None, {VIEW_USER}, 200),
    "create_user": ("POST", "users", {"username": "carol"}, {VIEW_USER, "accounts.add_user", CHANGE_USER}, 201),
    "read_user": ("GET", "users/{bob}", None, {VIEW_USER}, 200),
    "change_user": ("PATCH", "users/{bob}", {"name": "Bob"}, {VIEW_USER, CHANGE_USER}, 200),
    "read_user_roles": ("GET", "users/{bob}/roles", None, {VIEW_USER}, 200),
    "set_user_roles": ("PUT", "users/{bob}/roles", {"roles": ["author"]}, {VIEW_USER, CHANGE_USER, "accounts.change_role"}, 200),
    "lock_user": ("POST", "users/{bob}/lock", {}, {VIEW_USER, "accounts.disable_user"}, 204),
    "unlock_user": ("POST", "users/{bob}/unlock", {}, {VIEW_USER, "accounts.unlock_user"}, 204),
    "send_password_reset": ("POST", "users/{bob}/password-reset", {}, {VIEW_USER, "accounts.send_password_reset"}, 202),
    "list_user_sessions": ("GET", "users/{bob}/sessions", None, {VIEW_USER, "oauth.view_session"}, 200),
    "end_user_sessions": ("DELETE", "users/{bob}/sessions", None, {VIEW_USER, "accounts.sign_out_user"}, 204),
    "end_user_session": ("DELETE", "users/{bob}/sessions/{session}", None, {VIEW_USER, "oauth.revoke_session"}, 204),
    "list_clients": ("GET", "clients", None, {"oauth.view_client"}, 200),
    "create_client": (
        "POST",
        "clients",
        {"client_id": "billing", "client_type": "confidential", "grant_types": ["client_credentials"], "allowed_scopes": "api:read"},
        {"oauth.view_client", "oauth.add_client"},
        201,
    ),
    "read_client": ("GET", "clients/robot", None, {"oauth.view_client"}, 200),
    "change_client": ("PATCH", "clients/robot", {"name": "Robot"}, {"oauth.view_client", "oauth.change_client"}, 200),
    "disable_client": ("POST", "clients/robot/disable", WHY, {"oauth.view_client", "oauth.disable_client"}, 204),
    "enable_client": ("POST", "clients/robot/enable", WHY, {"oauth.view_client", "oauth.disable_client"}, 204),
    "rotate_client_secret": ("POST", "clients/robot/rotate-secret", WHY, {"oauth.view_client", "oauth.rotate_client_secret"}, 200),
    "end_client_sessions": ("POST", "clients/console/end-sessions", WHY, {"oauth.view_client", "oauth.end_all_sessions"}, 200),
    "list_lockouts": ("GET", "lockouts", None, {"accounts.view_logincounter"}, 200),
    "lift_lockout": ("POST", "lockouts/{lockout}/unlock", {}, {"accounts.view_logincounter", "accounts.unlock_user"}, 204),
    "list_signing_keys": ("GET", "signing-keys", None, {"oauth.view_signingkey"}, 200),
    "rotate_signing_key": (
        "POST",
        "signing-keys/rotate",
        {"kid": "{kid}"} | WHY,
        {"oauth.view_signingkey", "oauth.rotate_signing_key"},
        200,
    ),
    "revoke_signing_key": ("POST", "signing-keys/{kid}/revoke", WHY, {"oauth.view_signingkey", "oauth.revoke_signing_key"}, 204),
    "list_audit_events": ("GET", "audit", None, {"accounts.view_auditevent"}, 200),
    "list_roles": ("GET", "roles", None, {"accounts.view_role"}, 200),
    "create_role": ("POST", "roles", {"name": "curator"}, {"accounts.view_role", "accounts.add_role"}, 201),
    "delete_role": ("DELETE", "roles/author", None, {"accounts.view_role", "accounts.delete_role"}, 204),
}
WRITES = [name for name, (method, *_) in CALLS.items() if method != "GET"]


@pytest.fixture
def console(make_client):
    """The staff's own app."""
    return make_client("console", allowed_scopes="api:read auth:account auth:admin", default_scopes="api:read").client


@pytest.fixture
def staff(make_user):
    return make_user("sam", is_staff=True)


@pytest.fixture
def owner(make_user):
    return make_user("olga", is_staff=True, is_superuser=True)


@pytest.fixture
def cast(bob, robot, console, signing_key):
    """What the calls are about, by name."""
    key_rotation.ensure_standby()
    keys.ring.forget()
    Role.objects.create(name="author")
    token_of(bob, client=console, scope="api:read")
    locked = {"failures": 5, "lane_failures": 5, "locked_until": Instant(plus=timedelta(minutes=10)), "used_at": Instant()}
    counter = LoginCounter.objects.create(digest=b"d" * 32, source="192.0.2.7", user_id=bob.pk, **locked)
    return {"bob": str(bob.pk), "session": str(Session.objects.get(user=bob).pk), "lockout": str(counter.pk), "kid": signing_key.kid}


@pytest.fixture
def call(cast, console, settings):
    """Send one of CALLS, or another request, for a member of staff."""
    settings.EMAIL_URL = "console:"
    browser = Browser(raise_request_exception=False, enforce_csrf_checks=True)

    def send(name, *, by=None, body=..., token=None, **how):
        method, path, usual, *_ = CALLS[name] if name in CALLS else (*name.split(" ", 1), None)
        usual = json.loads(json.dumps(usual).replace("{kid}", cast["kid"]))
        if by is not None:
            token = token_of(by, client=console, **how)
        headers = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        content = usual if body is ... else body
        text = b"" if content is None else json.dumps(content).encode()
        return browser.generic(method, f"/api/v1/admin/{path.format(**cast)}", text, content_type="application/json", **headers)

    return send


def permit(user, *names):
    """These permissions and no others."""
    wanted = [Permission.objects.get(content_type__app_label=name.split(".")[0], codename=name.split(".")[1]) for name in names]
    user.user_permissions.set(wanted)
    return User.objects.get(pk=user.pk)


def outcome(response):
    return response.status_code, response.json()["error"] if response.content else None


def latest():
    event = AuditEvent.objects.latest()
    return event.event, event.target or event.client_id, event.actor_id, event.detail


# --- The gates -----------------------------------------------------------------------------------


def test_the_walk_goes_everywhere():
    known = {(method, path.split("/")[0]) for method, path, *_ in CALLS.values()}
    described = {(method, str(each.pattern).split("/")[0]) for each in urlpatterns for method in each.callback.view_class.permissions}

    assert known == described
    assert len(CALLS) == sum(len(each.callback.view_class.permissions) for each in urlpatterns)


@pytest.mark.parametrize("name", CALLS)
def test_without_a_token_nobody_gets_in(call, name):
    response = call(name)

    assert outcome(response) == (401, "invalid_token")
    assert response["WWW-Authenticate"].startswith('Bearer realm="authserver", resource_metadata=')


@pytest.mark.parametrize("name", CALLS)
def test_the_scope_is_asked_for_first(call, owner, name):
    response = call(name, by=owner, scope="api:read auth:account")

    assert outcome(response) == (403, "insufficient_scope")
    assert response["WWW-Authenticate"] == 'Bearer realm="authserver", error="insufficient_scope", scope="auth:admin"'


@pytest.mark.parametrize("name", CALLS)
def test_who_is_no_staff_gets_in_nowhere_whatever_permissions_they_have(call, make_user, name):
    left = make_user("lena", is_superuser=True)

    assert outcome(call(name, by=left)) == (403, "permission_denied")


@pytest.mark.checklist(101)
@pytest.mark.parametrize("name", CALLS)
def test_each_permission_is_needed_and_all_of_them_suffice(call, staff, name):
    *_, needed, code = CALLS[name]
    for missing in needed:
        assert outcome(call(name, by=permit(staff, *(needed - {missing})))) == (403, "permission_denied"), missing
    before = AuditEvent.objects.count()

    response = call(name, by=permit(staff, *needed))

    assert response.status_code == code, response.content
    assert response["Cache-Control"] == "no-store"
    assert AuditEvent.objects.count() >= before


@pytest.mark.parametrize("name", CALLS)
def test_a_password_alone_opens_nothing(call, owner, name):
    response = call(name, by=owner, amr="pwd")

    assert outcome(response) == (401, "insufficient_user_authentication")
    assert response["WWW-Authenticate"] == 'Bearer realm="authserver", error="insufficient_user_authentication", acr_values="2"'


@pytest.mark.checklist(104)
@pytest.mark.spec("RFC 9470", "3", "insufficient_user_authentication")
@pytest.mark.parametrize("name", CALLS)
def test_who_changes_something_signed_in_just_now(call, owner, name):
    old, recent = call(name, by=owner, ago=timedelta(minutes=15)), call(name, by=owner, ago=timedelta(minutes=14))

    assert recent.status_code == CALLS[name][4]
    if name not in WRITES:
        assert old.status_code == 200
        return
    assert outcome(old) == (401, "insufficient_user_authentication")
    assert old["WWW-Authenticate"] == 'Bearer realm="authserver", error="insufficient_user_authentication", max_age=900'
    assert set(old.json()) == {"error", "error_description", "error_id"}


@pytest.mark.parametrize("nothing", [None, ()])
def test_a_view_that_names_no_permission_opens_to_nobody(owner, nothing):
    with pytest.raises(NotPermitted):
        gates.ensure_permitted(owner, nothing)


def test_a_passkey_is_two_factors(call, owner):
    assert call("list_users", by=owner, amr="hwk user").status_code == 200


def test_the_scope_is_not_given_to_a_password(sign_in, console, owner):
    assert sign_in("olga", client_id="console", scope="auth:admin").error == "invalid_scope"


def test_a_member_of_staff_who_is_disabled_is_out_at_once(call, owner, console):
    token = token_of(owner, client=console)
    assert call("list_users", token=token).status_code == 200

    User.objects.filter(pk=owner.pk).update(is_active=False)

    assert outcome(call("list_users", token=token)) == (401, "invalid_token")


@pytest.mark.parametrize("name", [name for name in CALLS if "{bob}" in CALLS[name][1] and name in WRITES] + ["lift_lockout"])
def test_staff_do_nothing_to_staff_unless_they_are_owners(call, staff, owner, bob, name):
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    permitted = permit(staff, *CALLS[name][3])

    assert outcome(call(name, by=permitted)) == (403, "permission_denied")
    assert call(name, by=owner).status_code == CALLS[name][4]


def test_no_method_but_those_named_is_answered(call, owner):
    for path in ("users", "clients", "roles", "audit", "lockouts", "signing-keys", "signing-keys/rotate"):
        assert call(f"TRACE {path}", by=owner).status_code == 405


UNKNOWN = "8ad819d7-7095-82c4-a6f1-4e89175048ce"


OF_A_USER = (
    *(("GET", "", None), ("PATCH", "", {"name": "x"}), ("GET", "/roles", None), ("PUT", "/roles", {"roles": []})),
    *(("POST", "/lock", {}), ("POST", "/unlock", {}), ("POST", "/password-reset", {})),
    *(("GET", "/sessions", None), ("DELETE", "/sessions", None), ("DELETE", f"/sessions/{UNKNOWN}", None)),
)
OF_A_CLIENT = (
    *(("GET", "", None), ("PATCH", "", {"name": "x"})),
    *(("POST", "/disable", WHY), ("POST", "/enable", WHY), ("POST", "/rotate-secret", WHY), ("POST", "/end-sessions", WHY)),
)
NOWHERE = (
    *((f"{method} users/{id}{rest}", body) for id in (UNKNOWN, "x", "%00") for method, rest, body in OF_A_USER),
    *((f"{method} clients/{id}{rest}", body) for id in ("nobody", "a/b", "%C3%A9", "%00") for method, rest, body in OF_A_CLIENT),
    *((f"POST lockouts/{id}/unlock", {}) for id in ("0", "x", "-1", "9" * 19, "9" * 40, "\u0663")),
    *((f"POST signing-keys/{kid}/revoke", WHY) for kid in ("nothing", "a/b", "%00")),
    (f"DELETE users/{{bob}}/sessions/{UNKNOWN}", None),
)


@pytest.mark.parametrize(("request_line", "body"), NOWHERE)
def test_what_does_not_exist_is_not_found(call, owner, request_line, body):
    assert outcome(call(request_line, by=owner, body=body)) == (404, "not_found")


@pytest.mark.parametrize("name", [name for name in WRITES if CALLS[name][2] is not None])
def test_a_member_that_nobody_reads_is_refused(call, owner, name):
    body = json.loads(json.dumps(CALLS[name][2]))

    assert outcome(call(name, by=owner, body=body | {"surprise": 1})) == (400, "invalid_request")


@pytest.mark.parametrize(
    "name", ["disable_client", "enable_client", "end_client_sessions", "rotate_client_secret", "rotate_signing_key", "revoke_signing_key"]
)
def test_what_the_pages_ask_a_reason_for_asks_for_one_here(call, owner, cast, name):
    for reason in ({}, {"reason": ""}, {"reason": "x" * 201}, {"reason": None}, {"reason": "a\x00"}):
        response = call(name, by=owner, body={"kid": cast["kid"]} | reason if name == "rotate_signing_key" else reason)
        assert outcome(response) == (400, "invalid_request")


# --- Users ---------------------------------------------------------------------------------------


def test_a_user_as_the_list_tells_them(call, owner, bob):
    User.objects.filter(pk=bob.pk).update(name="Bob")
    bob.roles.set(Role.objects.all())

    body = call("list_users", by=owner).json()
    [told] = [row for row in body["results"] if row["username"] == "bob"]

    assert [row["username"] for row in body["results"]] == ["bob", "olga"]
    assert (body["next"], body["previous"]) == (None, None)
    assert told == {
        "id": str(bob.pk),
        "username": "bob",
        "email": "bob@example.com",
        "name": "Bob",
        "is_active": True,
        "is_locked": True,
        "is_staff": False,
        "is_superuser": False,
        "awaits_confirmation": False,
        "second_factor": False,
        "roles": ["author"],
        "last_sign_in_at": None,
        "created_at": told["created_at"],
    }
    assert call("read_user", by=owner).json() == told


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=BO", ["bob"]),
        ("q=olga@", ["olga"]),
        ("q={bob}", ["bob"]),
        ("q=nobody", []),
        ("state=active", ["bob", "olga"]),
        ("state=locked", ["bob"]),
        ("state=disabled", []),
        ("q=bob&state=disabled", []),
    ],
)
def test_users_are_searched(call, owner, query, found):
    body = call(f"GET users?{query}", by=owner).json()

    assert [row["username"] for row in body["results"]] == found


@pytest.mark.parametrize(
    "query", ["users?state=x", "users?q=%00", "users?q=" + "x" * 300, "lockouts?address=%00", "audit?event=x", "audit?when=ever"]
)
def test_a_question_that_cannot_be_asked_is_refused(call, owner, query):
    assert outcome(call(f"GET {query}", by=owner)) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["users", "clients", "lockouts", "audit", "roles", "users/{bob}/sessions"])
@pytest.mark.parametrize("cursor", ["cD1ub3RoaW5nJTAw", "x", "cD0wMDAwLTAwLTAw", "cD0lMDA%3D"])
def test_a_cursor_that_is_none_is_not_found_or_a_place(call, owner, path, cursor):
    assert call(f"GET {path}?cursor={cursor}", by=owner).status_code in {200, 404}


def test_a_long_list_comes_in_pages(call, owner, make_user, monkeypatch):
    monkeypatch.setattr(admin_api.users.ByUsername, "page_size", 2)
    for name in ("Anna", "zoe", "Mia"):
        make_user(name)

    first = call("GET users", by=owner).json()
    second = call("GET " + first["next"].split("/admin/")[1], by=owner).json()
    third = call("GET " + second["next"].split("/admin/")[1], by=owner).json()

    assert [row["username"] for page in (first, second, third) for row in page["results"]] == ["Anna", "bob", "Mia", "olga", "zoe"]
    assert third["next"] is None
    assert call("GET " + second["previous"].split("/admin/")[1], by=owner).json()["results"] == first["results"]


@pytest.mark.parametrize(
    ("name", "most"),
    [("list_users", 3), ("list_clients", 3), ("list_lockouts", 3), ("list_audit_events", 3), ("list_roles", 3), ("list_user_sessions", 4)],
)
def test_a_list_is_few_statements_however_long(call, owner, make_user, make_client, console, count_statements, name, most):
    for number in range(5):
        make_client(f"app{number}")
        Role.objects.create(name=f"role {number}")
        token_of(make_user(f"user{number}", roles=("author",)), client=console, scope="api:read")
    token = token_of(owner, client=console)
    keys.ring.view()

    with count_statements() as statements:
        response = call(name, token=token)

    assert response.status_code == 200
    assert len(statements) <= most, statements.captured_queries


def test_permissions_cost_two_statements(call, staff, console, count_statements):
    token = token_of(permit(staff, VIEW_USER), client=console)
    keys.ring.view()

    with count_statements() as statements:
        call("list_users", token=token)

    assert len(statements) <= 5


def test_a_user_is_made_without_a_password(call, owner):
    response = call("create_user", by=owner, body={"username": "Carol", "email": "carol@example.com", "name": "Carol", "reason": "starts"})

    carol = User.objects.get(username_canonical="carol")
    assert response.json()["id"] == str(carol.pk)
    assert (carol.name, carol.email, carol.has_usable_password(), carol.is_staff) == ("Carol", "carol@example.com", False, False)
    assert latest() == ("user:account:created", str(carol.pk), owner.pk, {"by": "staff", "reason": "starts"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": ""},
        {"username": "BOB"},
        {"username": "a b"},
        {"username": "a@b"},
        {"username": "carol", "email": "bob@EXAMPLE.com"},
        {"username": "carol", "email": "x"},
        {"username": "carol", "is_staff": True},
        {"username": 7},
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_is_written(call, owner, body):
    assert outcome(call("create_user", by=owner, body=body)) == (400, "invalid_request")
    assert User.objects.count() == 2
    assert not AuditEvent.objects.filter(event="user:account:created").exists()


def test_a_change_is_on_record_with_what_was_before(call, owner, bob):
    response = call("change_user", by=owner, body={"email": "bob@example.org", "name": "Bob", "reason": "married"})

    assert (response.json()["email"], response.json()["username"]) == ("bob@example.org", "bob")
    assert User.objects.get(pk=bob.pk).email_canonical == "bob@example.org"
    changes = {"email": {"before": "bob@example.com", "after": "bob@example.org"}, "name": {"before": "", "after": "Bob"}}
    assert latest() == ("user:account:changed", str(bob.pk), owner.pk, {"by": "staff", "reason": "married", "changes": changes})


def test_a_change_of_nothing_is_no_event(call, owner):
    call("change_user", by=owner, body={"username": "bob"})
    call("change_user", by=owner, body={})

    assert not AuditEvent.objects.filter(event="user:account:changed").exists()


def test_another_address_voids_the_codes_that_were_sent(call, owner, bob):
    call("send_password_reset", by=owner)

    call("change_user", by=owner, body={"email": "bob@example.org"})

    assert not Outbox.objects.exists()


@pytest.mark.parametrize(
    "body", [{"username": "olga"}, {"username": ""}, {"email": "x"}, {"email": "olga@example.com"}, {"is_active": False}]
)
def test_a_change_that_cannot_be_is_refused(call, owner, bob, body):
    assert outcome(call("change_user", by=owner, body=body)) == (400, "invalid_request")
    assert User.objects.get(pk=bob.pk).username == "bob"


def test_who_became_staff_meanwhile_is_out_of_reach(staff, bob):
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    how = {"staff": staff, "actor": {"actor_id": staff.pk, "address": None, "user_agent": ""}, "reason": ""}

    with pytest.raises(users.OutOfReach):
        account_changes.change(bob, fields={"email": "mallory@example.com"}, **how)
    with pytest.raises(users.OutOfReach):
        account_changes.set_roles(bob, role_names=(), **how)


def test_roles_are_replaced_on_record(call, owner, bob):
    Role.objects.create(name="chief, of all")
    bob.roles.set(Role.objects.filter(name="author"))

    response = call("set_user_roles", by=owner, body={"roles": ["chief, of all"], "reason": "promoted"})

    assert response.json() == {"roles": ["chief, of all"]} == call("read_user_roles", by=owner).json()
    changes = {"roles": {"before": ["author"], "after": ["chief, of all"]}}
    assert latest() == ("user:account:changed", str(bob.pk), owner.pk, {"by": "staff", "reason": "promoted", "changes": changes})


@pytest.mark.parametrize("roles", [["nothing"], ["author", "nothing"], "author", [7], None])
def test_a_role_that_is_none_is_refused(call, owner, bob, roles):
    assert outcome(call("set_user_roles", by=owner, body={"roles": roles})) == (400, "invalid_request")
    assert not bob.roles.exists()


def test_a_user_is_shut_out_and_let_in_again(call, owner, bob):
    call("lock_user", by=owner, body={"reason": "stolen laptop"})

    assert not User.objects.get(pk=bob.pk).is_active
    assert call("list_user_sessions", by=owner).json()["results"] == []
    assert latest() == ("user:account:disabled", str(bob.pk), owner.pk, {"by": "staff", "reason": "stolen laptop"})
    assert call("lock_user", by=owner).status_code == 204

    call("unlock_user", by=owner, body={"reason": "found it"})

    assert User.objects.get(pk=bob.pk).is_active
    assert AuditEvent.objects.get(event="user:account:enabled").detail == {"by": "staff", "reason": "found it"}
    assert AuditEvent.objects.filter(event="user:account:disabled").count() == 1


def test_support_lifts_locks_and_lets_in_nobody_who_was_shut_out(call, staff, bob):
    support = permit(staff, VIEW_USER, "accounts.unlock_user")
    User.objects.filter(pk=bob.pk).update(is_active=False)

    assert outcome(call("unlock_user", by=support)) == (403, "permission_denied")
    assert not User.objects.get(pk=bob.pk).is_active


def test_unlocking_lifts_the_locks_of_failed_attempts(call, owner, bob, sign_in, console):
    for _ in range(5):
        sign_in("bob", "wrong", REMOTE_ADDR="198.51.100.9")
    assert sign_in("bob", REMOTE_ADDR="198.51.100.9").error == "account_locked"

    call("unlock_user", by=owner, body=WHY)

    assert sign_in("bob", REMOTE_ADDR="198.51.100.9").status == 200
    assert AuditEvent.objects.get(event="user:lockout:lifted").detail == {"lanes": 1, "reason": "ticket 4711"}


def test_the_last_owner_is_not_shut_out(call, owner):
    assert outcome(call(f"POST users/{owner.pk}/lock", by=owner, body={})) == (409, "conflict")
    assert User.objects.get(pk=owner.pk).is_active


def test_a_password_reset_is_sent(call, owner, bob):
    call("send_password_reset", by=owner, body=WHY)

    assert Outbox.objects.get().user == bob
    assert latest() == ("user:password:reset_requested", str(bob.pk), owner.pk, {"by": "staff", "reason": "ticket 4711"})


def test_a_password_reset_that_cannot_arrive_is_refused(call, owner, bob):
    User.objects.filter(pk=bob.pk).update(email="", email_canonical=None)

    assert outcome(call("send_password_reset", by=owner)) == (409, "conflict")


def test_sessions_are_listed_and_ended(call, owner, bob, cast):
    [row] = call("list_user_sessions", by=owner).json()["results"]

    assert row["id"] == cast["session"]
    assert set(row) == {"id", "client", "client_name", "scope", "amr", "created_at", "last_used_at", "expires_at", "address", "user_agent"}
    assert call("DELETE users/{bob}/sessions/{session}?reason=stolen", by=owner).status_code == 204
    assert AuditEvent.objects.latest().detail == {"by": "staff", "user": str(bob.pk), "reason": "stolen"}
    assert call("end_user_session", by=owner).status_code == 204
    assert AuditEvent.objects.filter(event="session:revocation:succeeded").count() == 1


def test_a_user_is_signed_out_everywhere(call, owner, bob):
    epoch = User.objects.get(pk=bob.pk).session_epoch

    assert call("DELETE users/{bob}/sessions?reason=stolen%20laptop", by=owner).status_code == 204

    assert User.objects.get(pk=bob.pk).session_epoch == epoch + 1
    assert latest() == ("user:sessions:revoked", str(bob.pk), owner.pk, {"by": "staff", "reason": "stolen laptop"})
    assert outcome(call("DELETE users/{bob}/sessions?reason=" + "x" * 201, by=owner)) == (400, "invalid_request")


# --- Clients -------------------------------------------------------------------------------------


def test_a_client_is_registered_and_its_secret_told_once(call, owner, post):
    made = call("create_client", by=owner, body=CALLS["create_client"][2] | WHY).json()
    secrecy.remember("a client's secret", made["client_secret"])

    credentials = {"grant_type": "client_credentials", "client_id": "billing", "client_secret": made["client_secret"]}
    assert post(credentials).status == 200
    assert (made["name"], made["default_scopes"], made["is_active"]) == ("billing", "api:read", True)
    shown = call("GET clients/billing", by=owner)
    assert made["client_secret"] not in shown.content.decode()
    assert shown.json() == {name: value for name, value in made.items() if name != "client_secret"}
    assert latest() == ("client:registration:created", "billing", owner.pk, WHY)


def test_a_public_client_has_no_secret(call, owner):
    body = {"client_id": "app", "client_type": "public", "grant_types": ["refresh_token"], "allowed_scopes": "api:read auth:admin"}

    made = call("create_client", by=owner, body=body).json()

    assert made["client_secret"] is None
    assert made["default_scopes"] == "api:read"
    assert outcome(call("POST clients/app/rotate-secret", by=owner, body=WHY)) == (409, "conflict")


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "robot"},
        {"client_id": ""},
        {"client_id": "a b"},
        {"client_id": UNKNOWN},
        {"client_type": "secret"},
        {"grant_types": ["implicit"]},
        {"grant_types": "client_credentials"},
        {"client_type": "public"},
        {"allowed_scopes": 'a"b'},
        {"default_scopes": "api:write"},
        {"default_scopes": "auth:admin", "allowed_scopes": "auth:admin"},
        {"may_introspect": "yes"},
        {"may_introspect": 1},
        {"refresh_overlap_seconds": "5"},
        {"refresh_overlap_seconds": True},
        {"refresh_overlap_seconds": 61},
    ],
)
def test_a_client_that_cannot_be_is_refused(call, owner, change):
    assert outcome(call("create_client", by=owner, body=CALLS["create_client"][2] | change)) == (400, "invalid_request")
    assert {*Client.objects.values_list("client_id", flat=True)} == {"robot", "console"}


def test_a_client_is_changed_by_the_rules_of_its_page(call, owner):
    body = {
        "redirect_uris": ["https://a.example/cb", "com.example.app:/cb"],
        "post_logout_redirect_uris": ["https://a.example/bye"],
        "allowed_origins": ["https://a.example"],
        "resources": ["https://api.example"],
        "require_pkce": False,
        "skip_authorization": True,
        "refresh_token_lifetime": 3600,
        "may_introspect": True,
        "name": "Robot",
        "reason": "new front end",
    }

    told = call("change_client", by=owner, body=body).json()

    assert {name: told[name] for name in body if name != "reason"} == {name: value for name, value in body.items() if name != "reason"}
    row = Client.objects.get(client_id="robot")
    assert row.redirect_uris == "https://a.example/cb com.example.app:/cb"
    event, client_id, actor_id, detail = latest()
    assert (event, client_id, actor_id, detail["reason"]) == ("client:registration:changed", "robot", owner.pk, "new front end")
    assert detail["changes"]["refresh_token_lifetime"] == {"before": None, "after": 3600}
    assert set(detail["changes"]) == {*body} - {"reason", "name"}
    assert call("change_client", by=owner, body={"refresh_token_lifetime": None}).json()["refresh_token_lifetime"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"redirect_uris": ["/cb"]},
        {"post_logout_redirect_uris": ["/bye"]},
        {"resources": ["nothing"]},
        {"require_pkce": None},
        {"redirect_uris": ["https://a.example/#f"]},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": ["https://a.example/a b"]},
        {"allowed_origins": ["https://a.example/"]},
        {"allowed_origins": ["*"]},
        {"grant_types": ["implicit"]},
        {"default_scopes": "beyond"},
        {"allowed_scopes": "api:write"},  # and its default scopes stay api:read too
        {"access_token_lifetime": 0},
        {"access_token_lifetime": 86401},
        {"name": ""},
        {"client_id": "other"},
        {"client_type": "public"},
        {"secret_digest": "x"},
    ],
)
def test_a_change_of_a_client_that_cannot_be_is_refused(call, owner, body):
    before = Client.objects.filter(client_id="robot").values().get()

    assert outcome(call("change_client", by=owner, body=body)) == (400, "invalid_request")
    assert Client.objects.filter(client_id="robot").values().get() == before


def test_the_log_says_which_member_was_refused_and_not_what_stood_in_it(call, owner, caplog):
    caplog.set_level("INFO", logger="authserver.refusals")

    response = call("change_client", by=owner, body={"redirect_uris": ["javascript:typed-by-mistake"]})

    assert "redirect_uris: " in response.json()["error_description"]
    assert [record.reason for record in caplog.records] == ["members refused: redirect_uris"]
    assert "typed-by-mistake" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_change_takes_effect_at_once_here(call, owner, robot, post, monkeypatch):
    monkeypatch.setattr(clients, "CACHE_SECONDS", 600)
    form = {"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value}
    assert post(form).status == 200

    call("change_client", by=owner, body={"grant_types": []})

    assert post(form).error == "unauthorized_client"


def test_a_client_is_disabled_and_enabled(call, owner):
    assert call("disable_client", by=owner).status_code == call("disable_client", by=owner).status_code == 204
    assert latest() == ("client:registration:disabled", "robot", owner.pk, {"by": "staff"} | WHY)
    assert call("read_client", by=owner).json()["is_active"] is False

    call("enable_client", by=owner)

    assert latest() == ("client:registration:enabled", "robot", owner.pk, {"by": "staff"} | WHY)
    assert AuditEvent.objects.filter(event="client:registration:disabled").count() == 1


@pytest.mark.parametrize(("keep", "old_works"), [(True, True), (False, False)])
def test_a_secret_is_rotated_and_told_once(call, owner, robot, post, keep, old_works):
    made = call("rotate_client_secret", by=owner, body=WHY | {"keep_old": keep}).json()
    secrecy.remember("a client's secret", made["client_secret"])

    form = {"grant_type": "client_credentials", "client_id": "robot"}
    assert post(form | {"client_secret": made["client_secret"]}).status == 200
    assert (post(form | {"client_secret": robot.secret_value}).status == 200) is old_works
    assert AuditEvent.objects.get(event="client:secret:rotated").detail == WHY | {"old_secret_seconds": 86400 if keep else 0}


def test_everybody_is_signed_out_of_a_client(call, owner, cast, editor, bob):
    token_of(bob, client=editor, scope="api:read")
    ours = Session.objects.filter(client__client_id="console", revoked_at=None).count() + 1  # of the call itself

    answered = call("end_client_sessions", by=owner)

    assert answered.json() == {"ended": ours, "is_complete": True}
    assert [*Session.objects.filter(revoked_at=None).values_list("client__client_id", flat=True)] == ["editor"]
    assert AuditEvent.objects.get(event="sessions:ending:started").detail == {"by": "staff"} | WHY
    assert latest() == ("sessions:ending:finished", "console", owner.pk, {"ended": ours, "is_complete": True})


def test_clients_are_searched(call, owner):
    assert [row["client_id"] for row in call("list_clients", by=owner).json()["results"]] == ["console", "robot"]
    assert [row["client_id"] for row in call("GET clients?q=ROB", by=owner).json()["results"]] == ["robot"]


def test_whatever_the_page_of_a_client_changes_can_be_changed_here():
    page = {name for _, options in ClientAdmin.fieldsets for name in options["fields"]} - {*ClientAdmin.readonly_fields}

    assert {*client_changes.CHANGEABLE} == page == {*clients_api.ClientChange().fields} - {"reason"}


# --- Lockouts, keys, audit, roles ----------------------------------------------------------------


def test_what_is_locked_now_is_listed_and_lifted(call, owner, bob, cast):
    [row] = call("list_lockouts", by=owner).json()["results"]

    assert (row["id"], row["user_id"], row["username"], row["source"]) == (int(cast["lockout"]), str(bob.pk), "bob", "192.0.2.7")
    assert row["failures"] == 5
    assert row["locked_at"] < row["opens_at"]
    assert call("GET lockouts?address=192.0.2.8", by=owner).json()["results"] == []
    assert len(call("GET lockouts?user={bob}", by=owner).json()["results"]) == 1

    call("lift_lockout", by=owner, body=WHY)

    assert call("list_lockouts", by=owner).json()["results"] == []
    assert latest() == ("user:lockout:lifted", str(bob.pk), owner.pk, {"lanes": 1} | WHY)


def test_the_schedule_is_told_and_moved_on(call, owner, signing_key):
    first, second = call("list_signing_keys", by=owner).json()["results"]

    assert (first["kid"], first["state"], second["state"]) == (signing_key.kid, "active", "standby")
    assert set(first) == {
        *("kid", "algorithm", "state", "published_at", "signs_from", "signs_until", "leaves_at", "last_token_expires_at", "revoked_reason"),
    }
    made = call("rotate_signing_key", by=owner).json()
    assert (made["kid"], made["decided_now"]) == (second["kid"], True)
    assert call("rotate_signing_key", by=owner).json() == made | {"decided_now": False}
    event, target, actor_id, detail = latest()
    assert (event, target, actor_id, detail["reason"]) == ("signing_key:schedule:rotated", second["kid"], owner.pk, "ticket 4711")


def test_who_takes_another_key_for_the_one_that_signs_rotates_nothing(call, owner):
    assert outcome(call("rotate_signing_key", by=owner, body={"kid": "another"} | WHY)) == (409, "conflict")


def test_a_key_that_leaked_is_taken_out_of_use_once(call, owner, console, signing_key):
    assert call("revoke_signing_key", by=owner).status_code == 204

    assert SigningKey.objects.get(kid=signing_key.kid).revoked_reason == "ticket 4711"
    keys.ring.forget()
    assert outcome(call("revoke_signing_key", by=owner)) == (409, "conflict")


def test_a_key_that_does_not_open_here_is_a_conflict(call, owner, signing_key):
    SigningKey.objects.exclude(pk=signing_key.pk).update(private_key="gAAAA")

    assert outcome(call("rotate_signing_key", by=owner)) == (409, "conflict")


def test_no_private_member_is_in_any_answer(call, owner, signing_key):
    for name in CALLS:
        if CALLS[name][0] == "GET":
            text = call(name, by=owner).content.decode()
            assert signing_key.private_key[:40] not in text
            assert "digest" not in text
            assert '"d"' not in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("event=role:registration:created", True),
        ("event=role:", True),
        ("event=client:", False),
        ("outcome=created", True),
        ("outcome=deleted", False),
        ("when=hour", True),
        ("address=127.0.0.1", True),
        ("address=192.0.2.99", False),
        ("address=x", False),
        ("q=curator", True),
        ("q=olga", True),
        ("q=cura", False),
    ],
)
def test_the_audit_log_is_asked(call, owner, query, found):
    call("create_role", by=owner, body={"name": "curator"} | WHY)

    body = call(f"GET audit?{query}", by=owner).json()

    created = [row for row in body["results"] if row["event"] == "role:registration:created"]
    assert bool(created) is found
    if found:
        assert (created[0]["target"], created[0]["actor_id"], created[0]["detail"]) == ("curator", str(owner.pk), {"by": "staff"} | WHY)


def test_the_audit_log_comes_in_pages_newest_first(call, owner, monkeypatch):
    monkeypatch.setattr(admin_api.audit.NewestEvents, "page_size", 2)
    for number in range(5):
        call("create_role", by=owner, body={"name": f"role {number}"})

    first = call("GET audit?event=role:", by=owner).json()
    second = call("GET " + first["next"].split("/admin/")[1], by=owner).json()

    assert [row["target"] for page in (first, second) for row in page["results"]] == ["role 4", "role 3", "role 2", "role 1"]


def test_roles_are_made_listed_and_removed(call, owner, bob):
    assert call("create_role", by=owner, body={"name": "curator", "description": "Picks"}).json() == {
        "name": "curator",
        "description": "Picks",
    }
    assert outcome(call("create_role", by=owner, body={"name": "curator"})) == (400, "invalid_request")
    bob.roles.set(Role.objects.all())

    assert [row["name"] for row in call("list_roles", by=owner).json()["results"]] == ["author", "curator"]
    assert call("DELETE roles/author?reason=obsolete", by=owner).status_code == call("delete_role", by=owner).status_code == 204

    assert [role.name for role in bob.roles.all()] == ["curator"]
    assert AuditEvent.objects.get(event="role:registration:deleted").detail == {"by": "staff", "reason": "obsolete"}


@pytest.mark.parametrize("name", ["a%0Ab", "%0A", "a/b", "a%2Fb", "%E2%80%A8"])
def test_a_role_that_nobody_could_have_is_gone_too_whatever_its_name_is_made_of(call, owner, name):
    assert call(f"DELETE roles/{name}?reason=obsolete", by=owner).status_code == 204
