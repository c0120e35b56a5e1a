"""Staff's pages for clients, sessions and keys: what they tell, and what they end (oauth/admin.py)."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client as Browser

from accounts import audit, clock
from accounts.clock import Instant
from accounts.models import AuditEvent, LoginCounter, Refusal, Role, User
from oauth import clients
from oauth.models import Client, Session, SigningKey
from tests.staff import BROWSER, act, confirm, errors_in, form_of, let_in, messages_in, page

pytestmark = pytest.mark.django_db


@pytest.fixture
def helpdesk(make_user):
    """A browser of somebody who may look at sessions and end them."""
    user = make_user("helpdesk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=("view_session", "revoke_session"), content_type__app_label="oauth"))
    browser = Browser(raise_request_exception=False)
    let_in(browser, user)
    return browser


# --- Sessions: what they are ---------------------------------------------------------------------


@pytest.fixture
def make_session(alice, editor):
    def make(number=0, **fields):
        defaults = {
            "id": f"00000000-0000-8000-8000-{number:012d}",
            "user": alice,
            "user_epoch": alice.session_epoch,
            "client": editor,
            "scope": "api:read",
            "created_at": Instant(),
            "refreshed_at": Instant(),
            "expires_at": Instant(plus=timedelta(days=1)),
            "auth_time": clock.now(),
            "amr": "pwd",
        }
        return Session.objects.create(**defaults | fields)

    return make


def state_of(staff, session):
    """What the list and the page say of it; both the same."""
    [row] = staff.get(page("changelist", Session), {"q": str(session.pk)}).context["cl"].result_list
    pages = staff.get(page("change", session)).content.decode()
    shown = staff.get(page("changelist", Session)).context["cl"].model_admin.state(row)
    assert shown in pages
    return shown


def test_a_session_that_goes_on_is_live(staff, make_session):
    assert state_of(staff, make_session()) == "live"


def test_a_session_that_was_ended_says_why(staff, make_session):
    session = make_session(revoked_at=clock.now(), revoked_reason="refresh_token_reused")

    assert state_of(staff, session) == "ended: refresh token reused"


def test_a_session_past_its_time_is_expired(staff, make_session):
    assert state_of(staff, make_session(expires_at=Instant(plus=-timedelta(seconds=1)))) == "expired"


def test_a_session_of_an_earlier_epoch_says_so(staff, make_session, alice):
    session = make_session()
    User.objects.filter(pk=alice.pk).update(session_epoch=alice.session_epoch + 1)

    assert state_of(staff, session) == "ended: signed out everywhere, or another password"


def test_a_session_of_a_disabled_user_says_so(staff, make_session, alice):
    session = make_session()
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert state_of(staff, session) == "ended: the user is disabled"


def test_a_session_of_a_disabled_client_says_so(staff, make_session, editor):
    session = make_session()
    Client.objects.filter(pk=editor.pk).update(is_active=False)

    assert state_of(staff, session) == "ended: the client is disabled"


def test_the_state_agrees_with_what_a_refresh_decides(staff, make_session, alice, editor):
    make_session(1)
    make_session(2, revoked_at=clock.now())
    make_session(3, expires_at=Instant())
    make_session(4, user_epoch=alice.session_epoch + 1)

    rows = staff.get(page("changelist", Session), {"state": "live"}).context["cl"].result_list

    assert {row.pk for row in rows} == {row.pk for row in Session.objects.live()} == {Session.objects.get(pk__endswith="1").pk}


@pytest.mark.parametrize(("state", "numbers"), [("live", {1}), ("ended", {2}), ("expired", {3}), ("", {1, 2, 3}), ("nonsense", {1, 2, 3})])
def test_sessions_are_told_apart_by_their_state(staff, make_session, state, numbers):
    make_session(1)
    make_session(2, revoked_at=clock.now())
    make_session(3, expires_at=Instant())

    rows = staff.get(page("changelist", Session), {"state": state} if state else {}).context["cl"].result_list

    assert {int(str(row.pk)[-1]) for row in rows} == numbers


@pytest.mark.parametrize("order", range(1, 8))
def test_sessions_are_put_in_order_by_every_column(staff, make_session, order):
    make_session(1)
    make_session(2, revoked_at=clock.now())

    assert staff.get(page("changelist", Session), {"o": f"-{order}"}).status_code == 200


def test_a_session_is_found_by_its_id_its_user_and_their_id(staff, make_session, bob):
    session = make_session(1)
    make_session(2, user=bob)

    for question in (str(session.pk), session.pk, "ALICE", "alice@example.com", str(session.user_id)):
        rows = staff.get(page("changelist", Session), {"q": question}).context["cl"].result_list
        assert [str(row.pk) for row in rows] == [session.pk], question


# --- Sessions: their end -----------------------------------------------------------------------


@pytest.mark.checklist(77)
def test_ending_sessions_says_first_whose_they_are(staff, signed_in, sign_in, session_of):
    other = sign_in()

    response = act(staff, "end_sessions", [session_of(signed_in), session_of(other)])

    text = response.content.decode()
    assert response.status_code == 200
    assert "alice: 2 sessions" in text
    assert "after 15 minutes at most" in text
    assert Session.objects.live().count() == 2


@pytest.mark.checklist(77)
def test_a_session_that_staff_end_is_over_at_its_next_request(staff, root, signed_in, sign_in, session_of, refresh):
    session, other = session_of(signed_in), sign_in()

    response = confirm(staff, "end_sessions", [session], reason="a stolen laptop")

    assert messages_in(staff.get(response["Location"])) == ["Ended: 1 session."]
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert refresh(other.body["refresh_token"]).status == 200
    session.refresh_from_db()
    assert (session.revoked_reason, session.revoked_at is None) == ("ended_by_staff", False)
    event = AuditEvent.objects.get(event="session:revocation:succeeded")
    assert (event.actor_id, event.target, event.client_id) == (root.pk, str(session.pk), "editor")
    assert (event.address, event.user_agent) == ("127.0.0.1", BROWSER)
    assert event.detail == {"by": "staff", "user": str(session.user_id), "reason": "a stolen laptop"}


def test_a_session_that_is_over_is_not_ended_again(staff, make_session):
    over = [make_session(1, revoked_at=clock.now(), revoked_reason="refresh_token_reused"), make_session(2, expires_at=Instant())]

    response = confirm(staff, "end_sessions", over)

    assert messages_in(staff.get(response["Location"])) == ["None of the chosen sessions can be ended: they are over."]
    assert {*Session.objects.values_list("revoked_reason", flat=True)} == {"refresh_token_reused", ""}
    assert not AuditEvent.objects.filter(event="session:revocation:succeeded").exists()


def test_a_session_of_a_disabled_client_can_be_ended_for_good(staff, make_session, editor):
    session = make_session()
    Client.objects.filter(pk=editor.pk).update(is_active=False)

    confirm(staff, "end_sessions", [session])

    Client.objects.filter(pk=editor.pk).update(is_active=True)
    assert not Session.objects.live().exists()


def test_who_has_the_permission_ends_sessions(helpdesk, signed_in, session_of, refresh):
    assert confirm(helpdesk, "end_sessions", [session_of(signed_in)]).status_code == 302

    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"


@pytest.mark.checklist(101)
def test_who_lacks_the_permission_ends_none_however_it_is_asked_for(make_user, signed_in, session_of):
    viewer = make_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    browser = Browser(raise_request_exception=False)
    let_in(browser, viewer)
    session = session_of(signed_in)

    answers = [
        confirm(browser, "end_sessions", [session]).status_code,
        act(browser, "end_sessions", [session], confirmed="True", index="0").status_code,
        act(browser, ["", "end_sessions"], [session], confirmed="True", index="1").status_code,
        act(browser, "end_sessions", [session], confirmed="True", select_across="1").status_code,
    ]

    assert answers == [403] * 4
    assert "end_sessions" not in browser.get(page("changelist", Session)).content.decode()
    assert Session.objects.live().count() == 1


@pytest.mark.checklist(101)
@pytest.mark.parametrize("fields", [{"is_staff": True}, {"is_superuser": True}], ids=["staff", "superuser"])
def test_sessions_of_staff_are_ended_by_superusers_alone(staff, helpdesk, make_user, make_session, fields):
    mine = make_session(1, user=make_user("boss", **fields))
    plain = make_session(2)

    response = confirm(helpdesk, "end_sessions", [mine, plain])

    assert messages_in(helpdesk.get(response["Location"])) == ["Only a superuser may do this to staff: boss. Nothing was done."]
    assert Session.objects.live().count() == 2
    confirm(staff, "end_sessions", [mine, plain])
    assert Session.objects.live().count() == 0


@pytest.mark.parametrize("chosen", ["no uuid", "", "'", "1" * 99])
def test_a_row_that_cannot_be_is_no_failure_of_the_server(staff, chosen):
    for model in (Session, User, Role, Client):
        response = staff.post(page("changelist", model), {"action": "", "_selected_action": [chosen]})
        assert response.status_code == 400


# --- Statements ---------------------------------------------------------------------------------

# What each list may cost, whatever it holds: the browser's session, who is signed in, the rows and their number, the choices of filters.
# One of them counts what is locked now, for the sidebar; that of lockouts asks which addresses lock most.
STATEMENTS = {User: 6, Role: 6, Group: 6, AuditEvent: 5, Refusal: 5, Client: 6, Session: 6, SigningKey: 5, LoginCounter: 6}


@pytest.mark.parametrize("model", STATEMENTS)
def test_a_list_costs_the_same_whatever_it_holds(staff, make_session, make_user, make_client, signing_key, count_statements, model):
    def fill(start):
        for number in range(start, start + 10):
            user = make_user(f"user{number}", roles=(f"role{number}",))
            make_session(number, user=user, client=make_client(f"client{number}").client)
            Group.objects.create(name=f"group{number}")
            audit.record("user:sign_in:failed", actor_id=user.pk, target=user.pk)
            Refusal.objects.create(error_id=f"{number:016x}", at=clock.now(), status=400, error="invalid_grant", reason="wrong password")
            locked = {"locked_until": Instant(plus=timedelta(hours=1)), "used_at": Instant()}
            times = dict.fromkeys(("created_at", "published_at", "signs_from"), clock.now())
            SigningKey.objects.create(sequence=number + 100, kid=f"kid{number}", algorithm="RS256", public_jwk={}, **times)
            LoginCounter.objects.create(digest=bytes([number] * 32), source="192.0.2.1", user_id=user.pk, **locked)

    def cost():
        with count_statements() as statements:
            assert staff.get(page("changelist", model)).status_code == 200
        return len(statements)

    fill(0)
    few = cost()
    fill(10)

    asks_for_the_time = 2 if model is SigningKey and connection.vendor == "postgresql" else 0
    assert few == cost() == STATEMENTS[model] + asks_for_the_time


# --- Clients -----------------------------------------------------------------------------------


def save(staff, client, **fields):
    form = form_of(staff.get(page("change", client))) | fields
    return staff.post(page("change", client), {name: value for name, value in form.items() if value is not None})


def disable(staff, client):
    """As from the page that asks for a reason."""
    answer = staff.post(f"/admin/oauth/client/{client.pk}/disable/", {"confirmed": "True", "reason": "it misbehaves"})
    assert answer.status_code == 302


def test_staff_change_what_a_client_may_and_nothing_of_its_secrets(staff, robot):
    before = Client.objects.values().get(pk=robot.client.pk)

    response = save(
        staff, robot.client, name="Robot 2", default_scopes="api:read", client_id="mallory", secret_digest="", client_type="public"
    )

    after = Client.objects.values().get(pk=robot.client.pk)
    assert response.status_code == 302
    assert {name for name in after if after[name] != before[name]} == {"name", "default_scopes", "updated"}


def test_the_form_of_a_client_sent_back_as_it_is_changes_nothing(staff, robot, editor):
    for client in (robot.client, editor):
        before = Client.objects.values().get(pk=client.pk)
        assert save(staff, client).status_code == 302
        assert Client.objects.values().get(pk=client.pk) | {"updated": 0} == before | {"updated": 0}

    assert not AuditEvent.objects.filter(event="client:registration:changed").exists()


def test_grant_types_are_boxes_to_tick(staff, editor):
    text = staff.get(page("change", editor)).content.decode()

    assert text.count('type="checkbox" name="grant_types"') == 5
    assert text.count(" checked") >= 2
    assert 'textarea name="grant_types"' not in text


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        ({"grant_types": ["password"]}, "grant_types", ["password"]),
        ({"grant_types": []}, "grant_types", []),
        ({"served_audiences": "codelab-api editor-api"}, "served_audiences", "codelab-api editor-api"),
        ({"may_introspect": "on"}, "may_introspect", True),
        ({"refresh_overlap_seconds": "10"}, "refresh_overlap_seconds", 10),
        ({"access_token_lifetime": "60"}, "access_token_lifetime", 60),
        ({"audience": "editor-api"}, "audience", "editor-api"),
        ({"allowed_scopes": "api:read", "default_scopes": "api:read"}, "allowed_scopes", "api:read"),
    ],
)
def test_what_staff_change_of_a_client_is_recorded_with_before_and_after(staff, root, editor, fields, column, value):
    before = getattr(editor, column)

    assert save(staff, editor, **fields).status_code == 302

    event = AuditEvent.objects.get(event="client:registration:changed")
    assert getattr(Client.objects.get(pk=editor.pk), column) == value
    assert event.detail["changes"][column] == {"before": before, "after": value}
    assert {*event.detail["changes"]} == {*fields}
    assert (event.client_id, event.actor_id, event.address, event.user_agent) == ("editor", root.pk, "127.0.0.1", BROWSER)


@pytest.mark.checklist(29)
@pytest.mark.django_db(transaction=True)
def test_a_client_that_staff_disable_is_refused_at_once(staff, signed_in, sign_in, refresh, editor):
    disable(staff, editor)

    assert sign_in().error == "invalid_client"
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_client"


@pytest.mark.django_db(transaction=True)
def test_another_process_learns_of_a_change_within_a_second(staff, sign_in, editor, monkeypatch):
    assert sign_in().status == 200
    others = dict(clients.cache._entries)
    disable(staff, editor)
    clients.cache._entries.update(others)  # as in a process that nobody told

    now = clients.time.monotonic()
    monkeypatch.setattr(clients.time, "monotonic", lambda: now + clients.CACHE_SECONDS)

    assert sign_in().error == "invalid_client"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"grant_types": ["implicit"]}, "grant_types"),
        ({"grant_types": ["password", ""]}, "grant_types"),
        ({"grant_types": '["password"]'}, "grant_types"),
        ({"default_scopes": "api:admin"}, "default_scopes"),
        ({"allowed_scopes": 'api:"read"'}, "allowed_scopes"),
        ({"access_token_lifetime": "-1"}, "access_token_lifetime"),
        ({"refresh_overlap_seconds": "61"}, "refresh_overlap_seconds"),
        ({"audience": "editor"}, "audience"),
        ({"audience": "robot"}, "audience"),
        ({"audience": "two words"}, "audience"),
        ({"audience": "a\u2028b"}, "audience"),
    ],
)
def test_what_a_client_cannot_have_is_told_on_the_form(staff, robot, editor, fields, field):
    response = save(staff, robot.client, **fields)

    assert field in errors_in(response)
    assert not AuditEvent.objects.filter(event="client:registration:changed").exists()


def test_a_client_that_a_setting_has_overtaken_is_told_of_on_its_form(staff, editor, settings):
    settings.JWT_AUDIENCE = "editor"

    assert [*errors_in(save(staff, editor, name="Other"))] == ["__all__"]


def test_a_public_client_cannot_be_given_tokens_of_its_own(staff, editor):
    response = save(staff, editor, grant_types=["client_credentials"])

    assert [*errors_in(response)] == ["grant_types"]


def meanwhile(row, **change):
    """Just before the first UPDATE of the row's table, another request changes the row."""
    pending = [change]

    def interrupt(execute, sql, params, many, context):
        if pending and sql.startswith(f'UPDATE "{row._meta.db_table}"'):
            type(row).objects.filter(pk=row.pk).update(**pending.pop())
        return execute(sql, params, many, context)

    return connection.execute_wrapper(interrupt)


def test_a_save_of_a_client_does_not_undo_a_rotation(staff, robot):
    form = form_of(staff.get(page("change", robot.client))) | {"name": "R2"}

    with meanwhile(robot.client, secret_digest=b"x" * 32):
        assert staff.post(page("change", robot.client), form).status_code == 302

    row = Client.objects.get(pk=robot.client.pk)
    assert (row.name, bytes(row.secret_digest)) == ("R2", b"x" * 32)


# --- Refusals ----------------------------------------------------------------------------------


def test_staff_find_out_by_its_error_id_why_a_request_was_refused(staff, alice, sign_in):
    refused = sign_in(password="a wrong password")
    sign_in(username="nobody")

    response = staff.get(page("changelist", Refusal), {"q": refused.body["error_id"]})

    [row] = response.context["cl"].result_list
    assert (row.reason, row.client_id, row.user_id) == ("wrong password", "editor", alice.pk)
    assert "wrong password" in staff.get(page("change", row)).content.decode()


@pytest.mark.parametrize("question", ["editor", "127.0.0", "127.0.0.1"])
def test_refusals_are_found_by_client_and_address(staff, sign_in, question):
    sign_in(password="a wrong password")

    assert len(staff.get(page("changelist", Refusal), {"q": question}).context["cl"].result_list) == 1


def test_refusals_and_events_are_found_by_the_id_of_the_user(staff, root, alice, sign_in):
    sign_in(password="a wrong password")
    audit.record("user:sign_out:succeeded", actor_id=alice.pk)

    for model, expected in ((Refusal, 1), (AuditEvent, 2)):
        rows = staff.get(page("changelist", model), {"q": f" {alice.pk} "}).context["cl"].result_list
        assert len(rows) == expected
