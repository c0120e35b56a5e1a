"""Userinfo, and signing out of an app and of this server (OpenID Connect Core 1.0 §5.3, RP-Initiated Logout 1.0)."""

import re
from urllib.parse import urlencode

import pytest
from django.test import Client as Browser

from accounts import clock
from accounts.models import AuditEvent
from oauth import clients, id_tokens, keys, sessions
from oauth.access_tokens import mint
from oauth.models import Client, Session
from oauth.session_rows import Origin
from tests.browsers import decide_logout, hidden, sign_in

HOME = "https://app.example/bye"
SCOPES = "openid profile email roles api:read"
ORIGIN = Origin("198.51.100.7", "Portal/1")


@pytest.fixture
def portal(make_client):
    client = make_client(
        "portal", grant_types=("authorization_code",), allowed_scopes=SCOPES, default_scopes="api:read", post_logout_redirect_uris=HOME
    ).client
    return Client.objects.get(pk=client.pk)


@pytest.fixture
def signed_in_to(signing_key, portal, alice):
    """Alice's session at the portal, and its two tokens."""

    def open_one(scope=SCOPES, *, client=portal, audience="codelab-api"):
        issued, row = sessions.new(
            alice, role_names=("author",), client=client, scope=scope, amr="pwd", origin=ORIGIN, auth_time=clock.now(), audience=audience
        )
        row.execute()
        signer = keys.ring.signer(client.access_lifetime)
        common = {"signer": signer, "issuer": "http://localhost:8003", "lifetime": client.access_lifetime, "now": clock.now()}
        access = mint(audience=audience, subject=str(alice.pk), client_id=client.client_id, scope=scope, session=issued.claims, **common)
        identity = id_tokens.mint(
            client_id=client.client_id, user_id=alice.pk, session=issued.claims, nonce="", access_token=access, **common
        )
        return access, identity

    return open_one


# --- Userinfo ---


@pytest.fixture
def ask(client):
    def send(token, *, method="GET"):
        return client.generic(method, "/oauth/userinfo", HTTP_AUTHORIZATION=f"Bearer {token}")

    return send


@pytest.mark.spec("OpenID Connect Core 1.0", "5.3", "the UserInfo endpoint, by GET and by POST")
@pytest.mark.spec("OpenID Connect Core 1.0", "5.4", "claims are asked for by scopes")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("openid", {}),
        ("openid profile", {"name": "Alice A.", "preferred_username": "alice"}),
        ("openid email", {"email": "alice@example.com"}),
        ("openid roles", {"roles": ["author", "reviewer"]}),
    ],
)
def test_an_app_is_told_what_its_scopes_allow(signed_in_to, ask, alice, scope, told, method):
    alice.name = "Alice A."
    alice.save()
    access, _ = signed_in_to(scope)

    response = ask(access, method=method)

    assert response.status_code == 200
    assert response.json() == {"sub": str(alice.pk)} | told
    assert response["Cache-Control"] == "no-store"


@pytest.mark.spec("RFC 6750", "2.2", "the token in the body of a POST")
def test_the_token_may_come_in_the_body_of_a_post(signed_in_to, client, alice):
    access, _ = signed_in_to("openid")
    body = urlencode({"access_token": access})

    response = client.post("/oauth/userinfo", body, content_type="application/x-www-form-urlencoded")

    assert response.json() == {"sub": str(alice.pk)}
    assert client.get(f"/oauth/userinfo?{body}").status_code == 400
    twice = {"HTTP_AUTHORIZATION": f"Bearer {access}", "content_type": "application/x-www-form-urlencoded"}
    assert client.post("/oauth/userinfo", body, **twice).json()["error"] == "invalid_request"


def test_a_token_for_another_audience_is_of_this_sign_in_all_the_same(signed_in_to, ask):
    access, _ = signed_in_to("openid", audience="https://mcp.example/")

    assert ask(access).status_code == 200


@pytest.mark.spec("RFC 6750", "3.1", "insufficient_scope")
def test_without_openid_nobody_is_told_anything(signed_in_to, ask):
    access, _ = signed_in_to("profile email")

    response = ask(access)

    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")
    assert 'scope="openid"' in response["WWW-Authenticate"]


@pytest.mark.checklist(83)
def test_an_id_token_an_ended_session_and_a_clients_own_token_are_refused(signed_in_to, ask, post, robot, alice):
    access, identity = signed_in_to()
    own = post({"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value}).body["access_token"]

    assert ask(identity).status_code == 401
    assert ask("").status_code == 401
    assert ask(own).status_code == 403
    Session.objects.all().delete()
    assert ask(access).json()["error"] == "invalid_token"


def test_it_is_one_statement_and_one_for_the_roles(signed_in_to, ask, count_statements):
    access, _ = signed_in_to()

    with count_statements() as statements:
        ask(access)

    assert len(statements) == 2


# --- Signing out ---


@pytest.fixture
def browser(signing_key, alice):
    browser = Browser(enforce_csrf_checks=True, raise_request_exception=False)
    sign_in(browser, alice)
    return browser


def is_signed_in(browser):
    return browser.get("/account/security").status_code == 200


def log_out(browser, **parameters):
    return browser.get(f"/oauth/logout?{urlencode(parameters)}")


@pytest.mark.checklist(118)
@pytest.mark.spec("RP-Initiated Logout 1.0", "2", "id_token_hint, post_logout_redirect_uri and state")
def test_who_comes_with_an_id_token_of_theirs_is_signed_out_and_goes_back(browser, signed_in_to):
    _, identity = signed_in_to()

    response = log_out(browser, id_token_hint=identity, post_logout_redirect_uri=HOME, state="x y")

    assert (response.status_code, response["Location"]) == (303, f"{HOME}?state=x+y")
    assert not is_signed_in(browser)
    assert Session.objects.get().revoked_reason == "signed_out_by_app"
    assert {"user:sign_out:succeeded", "session:revocation:succeeded"} <= {event.event for event in AuditEvent.objects.all()}


@pytest.mark.checklist(118)
def test_who_comes_without_one_is_asked_first(browser, signed_in_to):
    signed_in_to()

    page = log_out(browser, client_id="portal", post_logout_redirect_uri=HOME)

    assert page.status_code == 200
    assert "Portal asks to sign you out" in page.content.decode()
    assert is_signed_in(browser)
    assert browser.post("/oauth/logout/confirmed", {"request": hidden(page, "request")}).status_code == 403
    answer = decide_logout(browser, page)
    assert answer["Location"] == HOME
    assert not is_signed_in(browser)


@pytest.mark.checklist(118)
def test_an_id_token_of_somebody_else_signs_nobody_out(browser, signed_in_to, bob):
    _, identity = signed_in_to()
    sign_in(browser, bob)

    page = log_out(browser, id_token_hint=identity)

    assert page.status_code == 200
    assert is_signed_in(browser)
    assert Session.objects.get().revoked_at is None


def test_who_is_not_signed_in_here_any_more_goes_back_and_the_apps_session_ends(signed_in_to):
    _, identity = signed_in_to()

    response = log_out(Browser(), id_token_hint=identity, post_logout_redirect_uri=HOME)

    assert response["Location"] == HOME
    assert Session.objects.get().revoked_at is not None


@pytest.mark.checklist(118)
@pytest.mark.spec("RP-Initiated Logout 1.0", "3", "no redirect to an address that is not registered")
@pytest.mark.parametrize(
    "changes",
    [
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"post_logout_redirect_uri": f"{HOME}/"},
        {"client_id": "editor"},
        {"client_id": "nobody"},
        {"state": "s" * 2049},
        {"id_token_hint": "", "client_id": ""},
        {"id_token_hint": "forged", "client_id": ""},
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_proven(browser, signed_in_to, editor, changes):
    _, identity = signed_in_to()

    response = log_out(browser, **{"id_token_hint": identity, "post_logout_redirect_uri": HOME} | changes)

    assert response.status_code == 400
    assert "Location" not in response
    assert is_signed_in(browser)
    assert Session.objects.get().revoked_at is None


def test_a_disabled_client_sends_nobody_anywhere(browser, signed_in_to, portal):
    _, identity = signed_in_to()
    Client.objects.filter(pk=portal.pk).update(is_active=False)
    clients.cache.forget()

    assert log_out(browser, id_token_hint=identity, post_logout_redirect_uri=HOME).status_code == 400


def test_a_post_of_the_app_goes_on_as_a_get(browser):
    response = browser.post("/oauth/logout", urlencode({"client_id": "portal"}), content_type="application/x-www-form-urlencoded")

    assert (response.status_code, response["Location"]) == (303, "/oauth/logout?client_id=portal")


def test_a_question_is_answered_by_who_was_asked(browser, signed_in_to, bob):
    page = log_out(browser)
    sign_in(browser, bob)
    bobs = log_out(browser)
    form = {"request": hidden(page, "request"), "csrfmiddlewaretoken": hidden(bobs, "csrfmiddlewaretoken")}

    assert browser.post("/oauth/logout/confirmed", form).status_code == 400
    assert is_signed_in(browser)
    assert re.search("<strong>bob</strong>", bobs.content.decode())
