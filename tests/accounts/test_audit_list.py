"""The audit log's list: filters that stay in their time, pages without a count, names in one query, and the export."""

import csv
import io
import json
import uuid
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from accounts import audit, audit_admin, clock
from accounts.models import AuditEvent
from tests.staff import let_in, page

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/auditevent/"


@pytest.fixture
def viewer(make_user):
    user = make_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_auditevent", "view_user"]))
    browser = Browser()
    let_in(browser, user)
    return browser


@pytest.fixture
def owner(make_user):
    browser = Browser()
    let_in(browser, make_user("owner", is_staff=True, is_superuser=True))
    return browser


@pytest.fixture
def old(db):
    """Make an event that is so old."""

    def make(event="user:sign_in:failed", *, ago=clock.NONE, **fields):
        return AuditEvent.objects.create(at=clock.now() - ago, event=event, **fields)

    return make


def shown(browser, **query):
    return [event.pk for event in browser.get(LIST, query).context["cl"].result_list]


def exported(browser, kind="jsonl", query=""):
    answer = browser.post(f"{LIST}export/{query}", {"format": kind})
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def test_seven_days_are_shown_unless_another_time_is_chosen(viewer, old):
    ages = {
        "hour": timedelta(minutes=5),
        "day": timedelta(hours=5),
        "": timedelta(days=5),
        "month": timedelta(days=20),
        "year": timedelta(days=99),
    }
    events = {name: old(ago=ago).pk for name, ago in ages.items()}
    too_old = old(ago=timedelta(days=500)).pk

    found = {name: shown(viewer, when=name) for name in ages}

    assert found == {name: [*events.values()][: position + 1] for position, name in enumerate(ages)}
    assert shown(viewer) == shown(viewer, when="for ever") == found[""]
    assert too_old not in found["year"]


def test_events_are_filtered_by_name_subject_outcome_and_address(viewer, old):
    failed, lifted = old("user:sign_in:failed", address="198.51.100.7"), old("user:lockout:lifted", address="2001:db8::1")
    ended = old("session:revocation:succeeded", address="198.51.100.7")

    assert shown(viewer, event="user:sign_in:failed") == [failed.pk]
    assert shown(viewer, event="user:") == [lifted.pk, failed.pk]
    assert shown(viewer, outcome="succeeded") == [ended.pk]
    assert shown(viewer, event="user:", outcome="succeeded") == []
    assert shown(viewer, address="198.51.100.7") == [ended.pk, failed.pk]
    assert shown(viewer, address="2001:DB8:0::1") == [lifted.pk]
    assert shown(viewer, address="nowhere") == []


def test_a_person_is_found_by_name_as_who_did_it_and_whom_it_was_done_to(viewer, old, alice):
    did, suffered = old(actor_id=alice.pk), old(target=str(alice.pk))
    old(actor_id=uuid.uuid4())

    for text in ("alice", "Alice@Example.com", str(alice.pk), f" {alice.pk} "):
        assert shown(viewer, q=text) == [suffered.pk, did.pk], text


def test_other_things_are_found_by_their_whole_names(viewer, old):
    event = old(target="a-kid", client_id="editor", address="198.51.100.7", error_id="00deadbeef00cafe")

    assert {text: shown(viewer, q=text) for text in ("a-kid", "editor", "198.51.100.7", "00DEADBEEF00cafe")} == {
        text: [event.pk] for text in ("a-kid", "editor", "198.51.100.7", "00DEADBEEF00cafe")
    }
    assert shown(viewer, q="a-ki") == shown(viewer, q="edit") == []


def test_pages_follow_one_another_by_place_and_leave_nothing_out(viewer, old, monkeypatch):
    monkeypatch.setattr(audit_admin.AuditEventAdmin, "list_per_page", 3)
    at = clock.now()
    events = [AuditEvent.objects.create(at=at - timedelta(hours=number // 2), event="user:sign_in:failed").pk for number in range(8)]
    old("user:lockout:lifted")

    seen, url = [], f"{LIST}?event=user%3Asign_in%3Afailed"
    while url and len(seen) <= len(events):
        changelist = viewer.get(url).context["cl"]
        seen += [event.pk for event in changelist.result_list]
        url = changelist.older_url and LIST + changelist.older_url
        assert not url or "event=user" in url

    assert sorted(seen) == sorted(events)
    assert len(seen) == len(events)
    assert changelist.newest_url == "?event=user%3Asign_in%3Afailed"


@pytest.mark.parametrize("place", ["x", "2026-01-01_1", "2026-01-01T00:00:00+00:00_x", "2026-01-01T00:00:00+00:00_-1", "9_9"])
def test_a_place_that_is_none_is_refused(viewer, place):
    assert viewer.get(LIST, {"before": place}).status_code == 400


def test_a_page_asks_four_statements_for_itself_whatever_it_shows_and_counts_nothing(viewer, old, alice, bob):
    def statements():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert viewer.get(LIST, {"event": "user:"}).status_code == 200
        return [each["sql"] for each in captured if "accounts_auditevent" in each["sql"] or '"accounts_user"."username"' in each["sql"]]

    old(actor_id=alice.pk, target=str(bob.pk))
    few = statements()
    for _ in range(60):
        old(actor_id=bob.pk, target=str(alice.pk))
    many = statements()

    assert len(few) == len(many) <= 4
    assert not [sql for sql in many if "COUNT(" in sql]


def test_names_stand_for_ids_and_lead_to_their_pages(viewer, old, alice):
    stranger = uuid.uuid4()
    old(actor_id=alice.pk, target=str(stranger), error_id="00deadbeef00cafe")

    text = viewer.get(LIST).content.decode()

    assert f'<a href="{page("change", alice)}">alice</a>' in text
    assert f'href="?q={stranger}"' in text
    assert 'href="/admin/explain/?error_id=00deadbeef00cafe"' in text


def test_the_export_is_what_the_filters_leave_as_json_lines(owner, old):
    newer, older = old(ago=timedelta(hours=1), target="x", detail={"reason": "wrong password"}), old(ago=timedelta(hours=2))
    old("user:lockout:lifted")

    lines = [json.loads(each) for each in exported(owner, query="?event=user:sign_in:failed").splitlines()]

    assert [each["id"] for each in lines] == [newer.pk, older.pk]
    assert lines[0]["detail"] == {"reason": "wrong password"}


def test_the_export_ends_at_its_bound_and_says_so(owner, old, monkeypatch):
    monkeypatch.setattr(audit_admin, "MOST_EXPORTED", 5)
    monkeypatch.setattr(audit_admin, "EXPORTED_AT_ONCE", 2)
    for _ in range(5):
        old("user:sign_in:failed")
    whole = exported(owner, query="?event=user:sign_in:failed").splitlines()
    old("user:sign_in:failed")

    cut = exported(owner, query="?event=user:sign_in:failed").splitlines()

    assert (len(whole), len(cut)) == (5, 6)
    assert json.loads(cut[-1]) == {"note": "There are more: an export ends after 5 events."}
    assert exported(owner, "csv", "?event=user:sign_in:failed").splitlines()[-1] == "There are more: an export ends after 5 events."


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_cell_of_the_csv_is_a_formula(owner, old, formula):
    old(user_agent=formula, client_id=formula)

    rows = [*csv.DictReader(io.StringIO(exported(owner, "csv", "?event=user:sign_in:failed"), newline=""))]

    assert (rows[0]["user_agent"], rows[0]["client_id"]) == (f"'{formula}", f"'{formula}")


@pytest.mark.checklist(103)
def test_an_export_is_itself_on_record(owner, old):
    answer = owner.post(f"{LIST}export/?event=user:&when=day", {"format": "csv", "reason": "a lawyer asked " + "x" * 300})
    assert b"".join(answer.streaming_content)

    event = AuditEvent.objects.get(event="audit:log:exported")
    asked = {"format": "csv", "filters": {"event": ["user:"], "when": ["day"]}, "most": audit_admin.MOST_EXPORTED}
    assert event.detail == asked | {"reason": ("a lawyer asked " + "x" * 300)[:200]}
    assert event.actor_id is not None


@pytest.mark.checklist(104)
def test_an_export_asks_again_who_signed_in_long_ago_and_leads_back_to_the_list(make_user, old):
    browser = Browser()
    let_in(browser, make_user("owner", is_staff=True, is_superuser=True), ago=timedelta(minutes=16))

    answer = browser.post(f"{LIST}export/?when=day", {"format": "csv"})

    assert answer["Location"] == f"/sign-in/again?{urlencode({'next': LIST + '?when=day'})}"
    assert not AuditEvent.objects.filter(event="audit:log:exported").exists()


@pytest.mark.checklist(101)
def test_a_name_leads_to_the_user_only_who_may_see_users(make_user, alice, old):
    user = make_user("auditor", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_auditevent"))
    browser = Browser()
    let_in(browser, user)
    old(actor_id=alice.pk)

    text = browser.get(LIST).content.decode()

    assert f'<a href="?q={alice.pk}">alice</a>' in text
    assert page("change", alice) not in text


@pytest.mark.checklist(101)
def test_who_may_look_may_not_export(viewer, old):
    assert viewer.post(f"{LIST}export/", {"format": "csv"}).status_code == 403
    assert "export/" not in viewer.get(LIST).content.decode()
    assert not AuditEvent.objects.filter(event="audit:log:exported").exists()


def test_an_export_is_asked_for_by_post_in_a_known_format(owner):
    assert owner.get(f"{LIST}export/").status_code == 405
    assert owner.post(f"{LIST}export/", {"format": "xls"}).status_code == 400
    assert owner.post(f"{LIST}export/?before=x", {"format": "csv"}).status_code == 400


def test_every_event_can_be_chosen(viewer):
    text = viewer.get(LIST).content.decode()

    assert [event for event in audit.EVENTS if f"event={event.replace(':', '%3A')}" not in text] == []
