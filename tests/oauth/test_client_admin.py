"""Staff's pages of clients: the list and its bounds, and the acts behind their buttons."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.urls import reverse

from accounts import clock
from accounts.actors import NOBODY
from accounts.clock import Instant
from accounts.models import AuditEvent
from oauth import client_list, clients, session_ending
from oauth.models import Client, Session
from tests import secrecy
from tests.staff import errors_in, form_of, let_in, messages_in, page

pytestmark = pytest.mark.django_db
WHY = {"confirmed": "True", "reason": "an incident"}


def act(name, client):
    return reverse(f"admin:oauth_client_{name}", args=(client.pk,))


EVERYTHING = "/admin/oauth/client/end-everything/"


@pytest.fixture
def viewer(make_user):
    """A browser of somebody who may look at everything and change clients, and has no permission for any act."""
    user = make_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=("view_client", "change_client", "view_session")))
    browser = Browser(raise_request_exception=False)
    let_in(browser, user)
    return browser


@pytest.fixture
def make_session(alice, editor):
    def make(number=0, **fields):
        defaults = {
            "id": f"00000000-0000-8000-8000-{number:012d}",
            "user": alice,
            "user_epoch": alice.session_epoch,
            "client": editor,
            "scope": "api:read",
            "created_at": Instant(plus=timedelta(seconds=-number)),
            "refreshed_at": Instant(),
            "expires_at": Instant(plus=timedelta(days=1)),
            "auth_time": clock.now(),
            "amr": "pwd",
        }
        return Session.objects.create(**defaults | fields)

    return make


def listed(staff, **query):
    return {client.client_id: client for client in staff.get(page("changelist", Client), query).context["cl"].result_list}


def secret_in(response):
    value = re.search(r'id="secret" type="text" readonly value="([^"]+)"', response.content.decode())[1]
    secrecy.remember("a client's secret", value)
    return value


# --- The list -------------------------------------------------------------------------------------


def test_the_list_counts_live_sessions_among_the_newest_and_says_where_there_are_more(staff, make_session, make_client, monkeypatch):
    monkeypatch.setattr(client_list, "NEWEST", 3)
    other = make_client("other").client
    for number in range(5):
        make_session(number)
    make_session(10, client=other)
    make_session(11, client=other, revoked_at=Instant())

    rows = listed(staff)
    pages = staff.get(page("changelist", Client)).context["cl"].model_admin

    assert (pages.live_sessions(rows["editor"]), pages.live_sessions(rows["other"])) == ("3+", "1")


def test_the_list_tells_grants_the_age_of_the_secret_and_the_newest_session(staff, robot, make_session):
    session = make_session()
    Client.objects.filter(client_id="robot").update(secret_created_at=clock.now() - timedelta(days=40))

    rows = listed(staff)
    text = staff.get(page("changelist", Client)).content.decode()

    assert rows["editor"].newest_session_at == Session.objects.get(pk=session.pk).created_at
    assert "password, refresh_token" in text
    assert "40 days" in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"client_type__exact": "public"}, {"editor"}),
        ({"grant": "client_credentials"}, {"robot"}),
        ({"grant": "password"}, {"editor"}),
        ({"grant": "nonsense"}, {"editor", "robot"}),
        ({"secret_older_than": "90"}, {"robot"}),
        ({"secret_older_than": "365"}, set()),
        ({"secret_older_than": "1"}, {"editor", "robot"}),
        ({"unused_for": "30"}, {"robot"}),
        ({"unused_for": "365"}, set()),
        ({"is_active__exact": "0"}, set()),
    ],
)
def test_clients_are_told_apart_by_what_matters(staff, robot, make_session, query, found):
    Client.objects.update(created=clock.now() - timedelta(days=100))
    Client.objects.filter(client_id="robot").update(secret_created_at=clock.now() - timedelta(days=100))
    make_session()

    assert {*listed(staff, **query)} == found


# --- Register -------------------------------------------------------------------------------------

NEW = {
    "client_id": "billing",
    "name": "Billing",
    "client_type": "confidential",
    "grant_types": ["client_credentials"],
    "allowed_scopes": "api:read auth:account",
}


def test_staff_register_a_client_and_see_its_secret_once(staff, root, post):
    response = staff.post(page("add", Client), NEW)

    value = secret_in(response)
    assert "no-store" in response["Cache-Control"]
    assert post({"grant_type": "client_credentials", "client_id": "billing", "client_secret": value}).status == 200
    assert Client.objects.get(client_id="billing").default_scopes == "api:read"
    event = AuditEvent.objects.get(event="client:registration:created")
    assert (event.client_id, event.actor_id) == ("billing", root.pk)
    assert value not in staff.get(page("change", Client.objects.get(client_id="billing"))).content.decode()


def test_a_public_client_is_registered_without_a_secret(staff):
    response = staff.post(page("add", Client), NEW | {"client_type": "public", "grant_types": ["password"]})

    assert messages_in(staff.get(response["Location"])) == ["Billing is registered. It is public and has no secret."]
    assert Client.objects.get(client_id="billing").secret_digest is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"client_id": "editor"}, "client_id"),
        ({"client_id": "two words"}, "client_id"),
        ({"client_type": "public"}, "grant_types"),
        ({"grant_types": ["implicit"]}, "grant_types"),
        ({"allowed_scopes": 'api:"read"'}, "allowed_scopes"),
        ({"default_scopes": "api:admin"}, "default_scopes"),
    ],
)
def test_what_cannot_be_registered_is_told_at_its_field(staff, editor, fields, field):
    response = staff.post(page("add", Client), NEW | fields)

    assert [*response.context["form"].errors] == [field]
    assert not Client.objects.filter(client_id="billing").exists()


# --- The secret -----------------------------------------------------------------------------------


def rotate(staff, client, **fields):
    form = staff.get(act("rotate_secret", client)).context["form"]
    return staff.post(act("rotate_secret", client), WHY | {"old": "keep", "seen": form["seen"].value()} | fields)


def authenticates(post, value):
    return post({"grant_type": "client_credentials", "client_id": "robot", "client_secret": value}).status == 200


def test_staff_rotate_a_secret_and_the_old_one_works_for_a_day(staff, root, robot, post, later):
    response = rotate(staff, robot.client)

    value = secret_in(response)
    assert "no-store" in response["Cache-Control"]
    assert (authenticates(post, value), authenticates(post, robot.secret_value)) == (True, True)
    later(hours=25)
    clients.cache.forget()
    assert (authenticates(post, value), authenticates(post, robot.secret_value)) == (True, False)
    event = AuditEvent.objects.get(event="client:secret:rotated")
    assert (event.actor_id, event.detail) == (root.pk, {"old_secret_seconds": 86400, "reason": "an incident"})


def test_a_secret_that_leaked_stops_now(staff, robot, post):
    value = secret_in(rotate(staff, robot.client, old="stop"))

    assert (authenticates(post, value), authenticates(post, robot.secret_value)) == (True, False)


def test_a_page_that_is_sent_twice_rotates_once(staff, robot, post):
    seen = staff.get(act("rotate_secret", robot.client)).context["form"]["seen"].value()
    value = secret_in(rotate(staff, robot.client))

    again = rotate(staff, robot.client, seen=seen)

    assert "The secret was changed meanwhile." in again.content.decode()
    assert (authenticates(post, value), authenticates(post, robot.secret_value)) == (True, True)


def test_of_two_who_rotate_at_once_one_does_it(robot):
    read_before = Client.objects.get(pk=robot.client.pk)
    clients.rotate_secret(robot.client, keep_old_for=timedelta(days=1))

    with pytest.raises(clients.SecretChanged):
        clients.rotate_secret(read_before, keep_old_for=timedelta(0))

    assert AuditEvent.objects.filter(event="client:secret:rotated").count() == 1


def test_a_rotation_says_when_one_is_under_way(staff, robot):
    rotate(staff, robot.client)

    assert "A rotation is under way" in staff.get(act("rotate_secret", robot.client)).content.decode()


def test_a_public_client_has_no_secret_to_rotate(staff, editor):
    assert staff.get(act("rotate_secret", editor)).status_code == 404
    assert act("rotate_secret", editor) not in staff.get(page("change", editor)).content.decode()


# --- Disabled and enabled ---------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_client_that_staff_disable_gets_nothing_until_it_is_enabled(staff, root, signed_in, sign_in, refresh, editor):
    staff.post(act("disable", editor), WHY)
    assert (sign_in().error, refresh(signed_in.body["refresh_token"]).error) == ("invalid_client", "invalid_client")

    staff.post(act("enable", editor), WHY)

    assert refresh(signed_in.body["refresh_token"]).status == 200
    events = AuditEvent.objects.filter(client_id="editor", event__endswith="abled").order_by("pk")
    assert [event.event for event in events] == ["client:registration:disabled", "client:registration:enabled"]
    assert {(event.actor_id, event.detail["reason"]) for event in events} == {(root.pk, "an incident")}


def test_the_form_of_a_client_does_not_disable_it(staff, editor):
    form = form_of(staff.get(page("change", editor)))
    assert "is_active" not in form

    staff.post(page("change", editor), form | {"is_active": ""})

    assert Client.objects.get(pk=editor.pk).is_active


# --- Redirect URIs ----------------------------------------------------------------------------------


def test_redirect_uris_stand_one_per_line(staff, editor):
    Client.objects.filter(pk=editor.pk).update(redirect_uris="https://a.example/cb https://b.example/cb")

    form = form_of(staff.get(page("change", editor)))
    assert form["redirect_uris"] == "https://a.example/cb\nhttps://b.example/cb"
    staff.post(page("change", editor), form | {"redirect_uris": "https://a.example/cb\r\ncom.example.app:/cb\r\n"})

    assert Client.objects.get(pk=editor.pk).redirect_uris == "https://a.example/cb com.example.app:/cb"


@pytest.mark.parametrize(
    "uri", ["/relative", "https://", "javascript:alert(1)", "data:text/html,a", "https://a.example/#part", "https://[a", "//a.example/cb"]
)
def test_a_redirect_uri_that_is_none_is_told_on_the_form(staff, editor, uri):
    form = form_of(staff.get(page("change", editor)))

    assert [*errors_in(staff.post(page("change", editor), form | {"redirect_uris": uri}))] == ["redirect_uris"]


# --- All sessions at once -----------------------------------------------------------------------------


@pytest.fixture
def many(make_session, make_client, monkeypatch):
    """Seven sessions of the editor that go on, one that ended, and two of another client; batches are of three."""
    monkeypatch.setattr(session_ending, "BATCH", 3)
    for number in range(7):
        make_session(number)
    make_session(20, revoked_at=Instant(), revoked_reason="signed_out")
    other = make_client("other").client
    make_session(30, client=other)
    make_session(31, client=other)


def test_staff_end_all_sessions_of_a_client(staff, root, editor, many):
    text = staff.get(act("end_sessions", editor)).content.decode()

    response = staff.post(act("end_sessions", editor), WHY)

    assert "7 sessions end." in text
    assert messages_in(staff.get(response["Location"])) == ["Ended: 7 sessions."]
    assert {session.client.client_id for session in Session.objects.live()} == {"other"}
    assert Session.objects.get(revoked_reason="signed_out")
    events = AuditEvent.objects.filter(event__startswith="sessions:ending").order_by("pk")
    assert [(event.event, event.client_id, event.actor_id) for event in events] == [
        ("sessions:ending:started", "editor", root.pk),
        ("sessions:ending:finished", "editor", root.pk),
    ]
    assert events[0].detail == {"by": "staff", "reason": "an incident"}
    assert events[1].detail == {"ended": 7, "is_complete": True}


def test_the_owner_ends_all_sessions_of_everybody(staff, many):
    text = staff.get(EVERYTHING).content.decode()

    response = staff.post(EVERYTHING, WHY)

    assert "9 sessions end." in text
    assert messages_in(staff.get(response["Location"])) == ["Ended: 9 sessions."]
    assert not Session.objects.live().exists()
    assert staff.get("/admin/").status_code == 200


def test_a_refresh_token_of_an_ended_session_works_no_more(staff, signed_in, refresh):
    staff.post(EVERYTHING, WHY)

    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"


def test_what_a_request_cannot_end_is_told_and_goes_on_when_sent_again(staff, editor, many, monkeypatch):
    monkeypatch.setattr("oauth.client_acts.TIME_TO_END", timedelta(0))

    first = staff.post(act("end_sessions", editor), WHY)

    assert first.status_code == 200
    assert "Not finished: 3 ended so far" in first.content.decode()
    assert "4 sessions end." in first.content.decode()
    assert AuditEvent.objects.get(event="sessions:ending:finished").detail == {"ended": 3, "is_complete": False}
    staff.post(act("end_sessions", editor), WHY)
    assert staff.post(act("end_sessions", editor), WHY).status_code == 302
    assert not Session.objects.live().filter(client=editor).exists()


def test_a_preview_of_many_says_that_it_is_not_exact(editor, many, monkeypatch):
    monkeypatch.setattr(session_ending, "SAMPLE", 4)

    of_client, of_all = session_ending.preview(client=editor), session_ending.preview(client=None)

    assert (of_client.count, of_client.is_exact) == (4, False)
    assert of_all.is_exact is False


def test_sessions_that_are_opened_meanwhile_are_left_alone(editor, many, make_session):
    walk = session_ending.progress(client=editor, actor=NOBODY, reason="")
    next(walk)
    make_session(99, created_at=Instant(plus=timedelta(seconds=5)))

    *_, last = walk

    assert last == session_ending.Ended(7, is_complete=True)
    assert [str(session.pk)[-2:] for session in Session.objects.live().filter(client=editor)] == ["99"]


def test_an_act_on_a_client_asks_for_a_reason_and_shows_first_what_it_does(staff, robot, editor, many):
    before = [*Client.objects.order_by("pk").values()], Session.objects.live().count()

    for address in (act("rotate_secret", robot.client), *(act(name, editor) for name in ("disable", "enable", "end_sessions")), EVERYTHING):
        assert staff.get(address).status_code == 200
        for form in ({"reason": "an incident", "old": "stop"}, {"confirmed": "True", "reason": " ", "old": "stop"}):
            assert staff.post(address, form).status_code == 200, address

    assert ([*Client.objects.order_by("pk").values()], Session.objects.live().count()) == before


@pytest.mark.checklist(101)
def test_who_has_no_permission_for_an_act_does_none(viewer, robot, editor, many):
    before = [*Client.objects.order_by("pk").values()], Session.objects.live().count()

    for address in (act("rotate_secret", robot.client), *(act(name, editor) for name in ("disable", "enable", "end_sessions")), EVERYTHING):
        assert (viewer.get(address).status_code, viewer.post(address, WHY | {"old": "stop"}).status_code) == (403, 403), address
    assert (viewer.get(page("add", Client)).status_code, viewer.post(page("add", Client), NEW).status_code) == (403, 403)

    assert ([*Client.objects.order_by("pk").values()], Session.objects.live().count()) == before
    assert "rotate-secret" not in viewer.get(page("change", robot.client)).content.decode()


@pytest.mark.checklist(101)
@pytest.mark.parametrize(
    ("codename", "names"),
    [
        ("rotate_client_secret", {"rotate_secret"}),
        ("disable_client", {"disable", "enable"}),
        ("end_all_sessions", {"end_sessions"}),
        ("add_client", set()),
    ],
)
def test_each_act_on_a_client_has_a_permission_of_its_own(make_user, robot, codename, names):
    content_type = ContentType.objects.get_for_model(Client)
    permission, _ = Permission.objects.get_or_create(content_type=content_type, codename=codename, defaults={"name": codename})
    user = make_user("somebody", is_staff=True)
    user.user_permissions.set([permission, Permission.objects.get(codename="view_client")])
    browser = Browser(raise_request_exception=False)
    let_in(browser, user)

    acts = {name: browser.get(act(name, robot.client)).status_code for name in ("rotate_secret", "disable", "enable", "end_sessions")}

    assert acts == {name: 200 if name in names else 403 for name in acts}
    assert browser.get(EVERYTHING).status_code == 403
    assert browser.get(page("add", Client)).status_code == (200 if codename == "add_client" else 403)


def test_who_signed_in_long_ago_is_asked_again_before_an_act_on_a_client(root, robot, editor):
    browser = Browser(raise_request_exception=False)
    let_in(browser, root, ago=timedelta(minutes=16))
    acts = [act("rotate_secret", robot.client), *(act(name, editor) for name in ("disable", "enable", "end_sessions"))]

    for address in (*acts, EVERYTHING, page("add", Client)):
        for answer in (browser.get(address), browser.post(address, WHY | NEW)):
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, reverse("account_reauthenticate"))


# --- The command ------------------------------------------------------------------------------------


def test_the_command_ends_the_sessions_of_a_client_and_tells_how_far_it_is(many, capsys):
    call_command("end_sessions", client="editor", reason="an incident")

    assert capsys.readouterr().out.splitlines() == [
        "7 sessions go on.",
        "3 ended so far",
        "6 ended so far",
        "7 ended so far",
        "Done: 7 ended.",
    ]
    assert Session.objects.live().count() == 2
    assert AuditEvent.objects.get(event="sessions:ending:started").user_agent.startswith("manage.py, by ")


def test_the_command_ends_the_sessions_of_everybody(many):
    call_command("end_sessions", everybody=True, reason="an incident")

    assert not Session.objects.live().exists()


def test_the_command_shows_how_many_there_are_and_ends_none(many, capsys):
    call_command("end_sessions", everybody=True, reason="an incident", dry_run=True)

    assert capsys.readouterr().out.splitlines() == ["9 sessions go on.", "Nothing was changed."]
    assert Session.objects.live().count() == 9


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"client": "nobody", "reason": "why"}, "There is no client nobody."),
        ({"everybody": True, "reason": " "}, "Say why"),
        ({"reason": "why"}, "one of the arguments --client --everybody is required"),
        ({"everybody": True}, "--reason"),
    ],
)
def test_the_command_asks_whose_and_why(many, options, told):
    with pytest.raises(CommandError, match=told):
        call_command("end_sessions", **options)

    assert Session.objects.live().count() == 9


def test_a_row_offers_to_rotate_the_secret_to_who_may_and_where_there_is_one(staff, viewer, editor, robot):
    button = "Rotate secret…"

    assert viewer.get(page("changelist", Client)).content.decode().count(button) == 0
    assert staff.get(page("changelist", Client)).content.decode().count(button) == 1
