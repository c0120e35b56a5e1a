"""The overview: what needs attention and what happened, for who may see it, at a cost that the table's size does not change."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from accounts import audit_tally, clock
from accounts.models import AuditEvent
from authserver.admin import overview
from oauth import key_rotation
from oauth.models import Session, SigningKey
from tests.staff import let_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def look(make_user):
    def open_it(*permissions):
        user = make_user("helper", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        browser = Browser()
        let_in(browser, user)
        AuditEvent.objects.filter(pk=0).exists()
        return lambda: browser.get("/admin/")

    return open_it


def happen(event, *, times=1, ago=clock.NONE, **fields):
    for _ in range(times):
        AuditEvent.objects.create(at=clock.now() - ago, event=event, **fields)


def test_nothing_needs_attention_until_something_does(look):
    page = look("view_auditevent")
    assert "Needs attention" not in page().content.decode()

    for event in overview.ALARMS:
        happen(event)
    happen(overview.FAILED, times=overview.ATTACK, address="198.51.100.7")

    needs = page().context["needs"]
    assert len(needs) == len(overview.ALARMS) + 1
    assert "198.51.100.7" in str(needs[-1].text)


def test_the_day_stands_beside_the_day_before(look):
    happen(overview.SUCCEEDED, times=3)
    happen(overview.SUCCEEDED, times=2, ago=1.5 * overview.DAY)
    happen(overview.SUCCEEDED, ago=3 * overview.DAY)

    audit_tally.read(most=1000)

    signed_in = look("view_auditevent")().context["cards"][0]

    assert signed_in.value == "3"
    assert str(signed_in.note) == "in the last 24 hours; 2 in those before"


def test_a_number_stops_at_its_bound_and_says_so(look, monkeypatch):
    monkeypatch.setattr(audit_tally, "MOST_COUNTED", 3)
    happen(overview.SUCCEEDED, times=5)

    assert look("view_auditevent")().context["cards"][0].value == "4+"


def test_failures_are_added_up_though_a_row_tells_of_several(look, sign_in):
    answers = [sign_in(password="wrong") for _ in range(7)]

    assert [answer.error for answer in answers] == ["invalid_grant"] * 5 + ["account_locked"] * 2
    page = look("view_auditevent")()
    assert page.context["cards"][1].value == "5"
    assert page.context["sources"] == [{"address": "127.0.0.1", "failures": 5, "accounts": 1}]


def test_failures_are_grouped_by_address_with_how_many_accounts_they_tried(look):
    happen(overview.FAILED, times=3, address="198.51.100.7", target="a")
    happen(overview.FAILED, address="198.51.100.7", target="b")
    happen(overview.FAILED, address="2001:db8::1")
    happen(overview.FAILED, address="203.0.113.1", ago=2 * overview.DAY)

    assert look("view_auditevent")().context["sources"] == [
        {"address": "198.51.100.7", "failures": 4, "accounts": 2},
        {"address": "2001:db8::1", "failures": 1, "accounts": 0},
    ]


def test_what_staff_did_is_shown_and_what_others_did_is_not(look, alice, make_user):
    root = make_user("root", is_staff=True)
    happen("user:lockout:lifted", actor_id=root.pk)
    happen("user:password:changed", actor_id=alice.pk)

    shown = look("view_auditevent")().context["staff_actions"]

    assert [(each.event, each.actor_name) for each in shown] == [("user:lockout:lifted", "root")]


@pytest.mark.checklist(101)
def test_who_may_not_see_events_sees_none(look):
    happen("session:refresh_token:reused")
    happen(overview.FAILED, address="198.51.100.7")

    text = look("view_user")().content.decode()

    assert ("198.51.100.7" in text, "used twice" in text, "Failed sign-ins by address" in text) == (False, False, False)


def test_the_overview_asks_as_many_statements_with_many_events_as_with_few(look):
    page = look("view_auditevent")
    happen(overview.FAILED, address="198.51.100.7")
    with CaptureQueriesContext(connection) as few:
        page()
    happen(overview.FAILED, times=40, address="198.51.100.8")
    with CaptureQueriesContext(connection) as many:
        page()

    assert len([each for each in few if "accounts_auditevent" in each["sql"]]) <= 10
    assert len(few) == len(many)


def test_two_weeks_are_drawn_and_their_numbers_stand_in_a_table(look):
    happen(overview.SUCCEEDED, times=3)
    happen(overview.FAILED, times=2, ago=2 * overview.DAY)
    audit_tally.read(most=1000)

    page = look("view_auditevent")()

    text = page.content.decode()
    assert len(page.context["days"]) == audit_tally.DAYS
    assert [(bar.kind, bar.height) for bar in page.context["drawing"].bars if bar.height] == [("bad", 48), ("good", 72)]
    assert "Show the numbers as a table" in text
    assert "Some hours are not counted yet" not in text


def test_what_is_locked_now_stands_beside_the_locks_of_the_last_two_days(look, sign_in):
    for _ in range(5):
        sign_in(password="wrong")
    happen(overview.LOCKED, times=2, ago=1.5 * overview.DAY)

    locked = look("view_logincounter")().context["cards"][0]

    assert (locked.value, str(locked.note)) == ("1", "begun in the last 24 hours: 1; in those before: 2")


def test_each_card_is_for_who_may_see_what_it_tells(look):
    assert [str(card.label) for card in look("view_logincounter", "view_session")().context["cards"]] == ["Locked now", "Live sessions"]


def test_the_key_that_signs_is_shown_with_what_is_wrong_with_it(look, signing_key):
    key_rotation.ensure_standby()
    page = look("view_signingkey")
    assert (page().context["signing_key"].kid, page().context["needs"]) == (signing_key.kid, [])

    SigningKey.objects.exclude(pk=signing_key.pk).delete()
    assert [str(need.text) for need in page().context["needs"]] == [
        "No signing key stands by: none can take over when the one that signs has to go."
    ]

    SigningKey.objects.all().delete()
    assert [str(need.text) for need in page().context["needs"]] == ["No key signs: nobody gets tokens. Run manage.py bootstrap."]


def test_live_sessions_are_counted_where_they_are_few_and_estimated_where_they_are_many(sign_in, alice):
    for _ in range(8):
        sign_in()
    Session.objects.filter(pk__in=Session.objects.values("pk")[:2]).update(revoked_at=clock.now())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    assert overview.live_sessions() == (6, False)
    assert overview.live_sessions(sample=8) == (6, True)
    estimates = {overview.live_sessions(sample=2) for _ in range(40)}
    assert estimates <= {(0, True), (4, True), (8, True)}
