"""The admin on hosts of its own: there it is, and on every other one that is served nothing is."""

import pytest
from django.contrib import admin
from django.test import Client as Browser

from authserver import admin_hosts
from tests.project.test_admin_permissions import paths_of
from tests.staff import give_role, let_in

pytestmark = [pytest.mark.django_db, pytest.mark.checklist(106)]
PUBLIC, OURS = "auth.example.com", "auth.internal"


@pytest.fixture(autouse=True)
def hosts(settings):
    settings.ALLOWED_HOSTS = [PUBLIC, OURS]
    settings.ADMIN_HOSTS = [OURS]


@pytest.fixture
def owner(make_user):
    """A browser in which an owner is signed in."""
    browser = Browser(headers={"accept": "text/html"})
    let_in(browser, give_role(make_user("owner"), "owner"))
    return browser


def test_the_admin_is_on_its_own_host_whatever_the_port(owner):
    assert owner.get("/admin/", HTTP_HOST=OURS).status_code == 200
    assert owner.get("/admin/", HTTP_HOST=f"{OURS}:8443").status_code == 200
    assert owner.get("/admin/", HTTP_HOST=OURS.upper()).status_code == 200


def test_no_address_of_the_admin_is_on_another_host_for_whoever_asks(owner, client):
    paths = [f"/admin/{path}".replace("<path:object_id>", "1").replace("<int:pk>", "1") for path, _ in paths_of(admin.site.get_urls())]
    assert len(paths) > 50

    for browser in (owner, client):
        answers = {
            path: {browser.get(path, HTTP_HOST=PUBLIC).status_code, browser.post(path, HTTP_HOST=PUBLIC).status_code} for path in paths
        }
        assert {path: statuses for path, statuses in answers.items() if statuses != {404}} == {}


def test_what_is_answered_there_is_what_is_answered_where_nothing_is(owner):
    hidden, nothing = (owner.get(path, HTTP_HOST=PUBLIC) for path in ("/admin/", "/nothing/"))

    assert hidden.content == nothing.content
    assert {*hidden.headers} == {*nothing.headers}


def test_a_form_without_its_token_does_not_tell_either(make_user):
    browser = Browser(enforce_csrf_checks=True)
    let_in(browser, give_role(make_user("owner"), "owner"))

    hidden, nothing = (browser.post(path, HTTP_HOST=PUBLIC).status_code for path in ("/admin/", "/nothing/"))

    assert hidden == nothing == 404


def test_the_api_of_administrators_is_where_the_admin_is(client):
    response = client.get("/api/v1/admin/users", HTTP_HOST=PUBLIC)

    assert (response.status_code, response.json()["error"]) == (404, "not_found")


def test_everything_else_is_on_every_host(client, signing_key):
    for path in ("/", "/sign-in", "/.well-known/jwks.json", "/health", "/api/docs", "/password-reset"):
        assert client.get(path, HTTP_HOST=PUBLIC).status_code == 200, path


def test_the_landing_page_leads_to_the_admin_where_it_is(client):
    assert 'href="/admin/"' not in client.get("/", HTTP_HOST=PUBLIC).content.decode()
    assert 'href="/admin/"' in client.get("/", HTTP_HOST=OURS).content.decode()


def test_with_none_named_every_host_has_the_admin(owner, settings):
    settings.ADMIN_HOSTS = []

    assert {owner.get("/admin/", HTTP_HOST=host).status_code for host in (PUBLIC, OURS)} == {200}


def test_a_forwarded_host_is_no_way_in(owner, settings):
    settings.TRUSTED_PROXIES = ()

    response = owner.get("/admin/", HTTP_HOST=PUBLIC, HTTP_X_FORWARDED_HOST=OURS, HTTP_FORWARDED=f"host={OURS}")

    assert response.status_code == 404


@pytest.mark.parametrize(
    ("admin_hosts_are", "allowed", "unserved"),
    [
        (["auth.internal"], ["auth.internal"], []),
        (["auth.internal"], [".internal"], []),
        ([".internal"], [".internal"], []),
        (["auth.internal"], ["*"], []),
        (["auth.internal"], ["auth.example.com"], ["auth.internal"]),
        (["auth.internal:8443"], ["auth.internal"], ["auth.internal:8443"]),
        (["*"], ["auth.internal"], ["*"]),
    ],
    ids=str,
)
def test_a_host_that_is_not_served_is_noticed(admin_hosts_are, allowed, unserved):
    assert admin_hosts.unserved(admin_hosts_are, allowed=allowed) == unserved
