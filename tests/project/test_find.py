"""The find box: what is typed is looked up by indexes, for who may see it, and stands in no address (authserver/admin/find.py)."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client as Browser

from accounts import clock
from accounts.models import Refusal
from tests.staff import let_in, page

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(make_user):
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def find(root):
    def send(text, *, by=root):
        browser = Browser()
        let_in(browser, by)
        return browser.post("/admin/find/", {"find": text})

    return send


@pytest.fixture
def refusal(db):
    return Refusal.objects.create(error_id="00deadbeef00cafe", at=clock.now(), status=400, error="invalid_grant", reason="wrong password")


@pytest.mark.parametrize("text", ["alice", "ALICE", " alice ", "alice@example.com", "Alice@Example.com", "ali", "alice@ex"])
def test_a_user_is_gone_to_by_name_and_address_in_any_spelling_and_by_their_beginning(find, alice, text):
    assert find(text)["Location"] == page("change", alice)


def test_each_kind_is_gone_to_by_its_own_name(find, alice, editor, signing_key, signed_in, session_of, refusal):
    session = session_of(signed_in)
    wanted = {str(alice.pk): alice, "editor": editor, signing_key.kid: signing_key, str(session.pk): session}

    assert {text: find(text)["Location"] for text in wanted} == {text: page("change", row) for text, row in wanted.items()}
    assert find(refusal.error_id)["Location"] == f"/admin/explain/?error_id={refusal.error_id}"
    assert find("198.51.100.7")["Location"] == "/admin/accounts/auditevent/?address=198.51.100.7"
    assert find("2001:DB8::1")["Location"] == "/admin/accounts/auditevent/?address=2001%3Adb8%3A%3A1"


def test_the_exact_one_is_gone_to_although_others_begin_alike(find, alice, make_user):
    make_user("alice2")

    assert find("alice")["Location"] == page("change", alice)


def test_several_are_listed_and_none_is_explained(find, alice, make_user):
    make_user("alina")

    several, none = find("ali"), find("zebra")

    assert [hit.name for hit in several.context["hits"]] == ["alice", "alina"]
    assert "Looked for “zebra”" in none.content.decode()
    assert find("").status_code == find("\0").status_code == find("a" * 10_000).status_code == 200


@pytest.mark.checklist(101)
def test_only_what_one_may_see_is_found(find, alice, editor, signing_key, refusal, make_user):
    bare = make_user("bare", is_staff=True)
    keeper = make_user("keeper", is_staff=True)
    keeper.user_permissions.set(Permission.objects.filter(codename="view_client"))

    texts = ("alice", str(alice.pk), "editor", signing_key.kid, refusal.error_id, "198.51.100.7")

    assert [text for text in texts if find(text, by=bare).status_code != 200 or find(text, by=bare).context["hits"]] == []
    assert [text for text in texts if find(text, by=keeper).status_code == 302] == ["editor"]


def test_who_is_not_in_the_admin_finds_nothing(client, alice):
    assert client.post("/admin/find/", {"find": "alice"})["Location"].startswith("/admin/login/")


def test_a_search_is_a_few_statements_and_none_reads_a_whole_table(find, root, make_user, count_statements):
    make_user("somebody")
    browser = Browser()
    let_in(browser, root)
    browser.get("/admin/")

    with count_statements() as statements:
        browser.post("/admin/find/", {"find": "some"})

    assert len(statements) <= 10
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            plans = []
            for query in statements.captured_queries:
                if "_canonical" in query["sql"] and "session" not in query["sql"]:
                    cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                    plans += [row[3] for row in cursor.fetchall()]
        assert [plan for plan in plans if plan.startswith("SCAN accounts_user")] == []
