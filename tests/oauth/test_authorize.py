"""GET and POST /oauth/authorize: who is asked, what is answered, and where to."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from django.conf import settings as django_settings
from django.core import signing
from django.db import OperationalError
from django.test import Client as Browser

from accounts.models import AuditEvent, Refusal
from oauth import clients
from oauth.models import AuthorizationCode, Client, Consent
from tests.browsers import REDIRECT_URI, Verifier, authorize, decide, next_of, request_of, returned, sign_in
from tests.oauth.test_redirect_uris import VECTORS

SCOPES = "openid profile email api:read offline_access"


@pytest.fixture
def portal(make_client):
    """A confidential web app of somebody else."""
    client = make_client(
        "portal",
        is_public=False,
        grant_types=("authorization_code", "refresh_token"),
        allowed_scopes=SCOPES,
        default_scopes="api:read",
    ).client
    Client.objects.filter(pk=client.pk).update(redirect_uris=REDIRECT_URI)
    return Client.objects.get(pk=client.pk)


@pytest.fixture
def browser(signing_key):
    return Browser(enforce_csrf_checks=True, raise_request_exception=False)


@pytest.fixture
def ask(browser, portal):
    """An authorization request of the portal's, with these changes."""
    return lambda **changes: authorize(browser, request_of(portal, Verifier(), **changes))


@pytest.mark.spec("RFC 6749", "4.1.2", "code and state go to the redirect URI")
@pytest.mark.spec("RFC 9207", "2", "iss in the authorization response")
def test_who_allows_it_goes_back_with_a_code_the_state_and_the_issuer(ask, browser, alice):
    sign_in(browser, alice)

    answer = returned(decide(browser, ask()))

    assert answer.keys() == {"code", "state", "iss"}
    assert answer["state"] == "Zu:stand/1 ü"
    assert answer["iss"] == django_settings.JWT_ISSUER
    assert AuthorizationCode.objects.get().session_id is None
    assert AuditEvent.objects.get(event="user:consent:given").detail == {"scope": "api:read"}


@pytest.mark.checklist(114)
@pytest.mark.spec("RFC 6749", "4.1.2.1", "no redirect to an unproven URI")
@pytest.mark.parametrize("prompt", [None, "none"])
@pytest.mark.parametrize("uri", [uri for uri in VECTORS if uri])
def test_an_address_that_is_not_registered_gets_nothing_and_the_person_a_page(ask, uri, prompt):
    response = ask(redirect_uri=uri, prompt=prompt)

    assert response.status_code == 400
    assert "Location" not in response
    assert "This cannot go on" in response.content.decode()


def test_staff_can_see_which_address_was_sent_and_no_secret_of_it(ask):
    response = ask(redirect_uri="https://app.example/old?token=secret")

    refusal = Refusal.objects.get()
    assert refusal.pk in response.content.decode()
    assert (refusal.client_id, refusal.reason) == ("portal", "redirect_uri not registered: https://app.example/old")
    assert refusal.shape["parameters"][:2] == ["client_id", "code_challenge"]
    assert "secret" not in str(refusal.shape)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"client_id": ["portal", "portal"]},
        {"redirect_uri": [REDIRECT_URI, REDIRECT_URI]},
        {"redirect_uri": [REDIRECT_URI, "https://evil.example/"]},
        {"client_id": "por\x00tal"},
        {"client_id": "<script>alert(1)</script>"},
    ],
)
def test_a_request_whose_client_is_not_proven_is_answered_by_a_page(ask, changes):
    response = ask(**changes)

    assert response.status_code == 400
    assert "Location" not in response
    assert b"<script>alert" not in response.content


def test_a_disabled_client_is_none(ask, portal):
    Client.objects.filter(pk=portal.pk).update(is_active=False)

    assert ask().status_code == 400


def test_the_only_registered_address_may_be_left_out(ask, browser, alice, portal):
    sign_in(browser, alice)

    assert "code" in returned(decide(browser, ask(redirect_uri=None)))
    Client.objects.filter(pk=portal.pk).update(redirect_uris=f"{REDIRECT_URI} https://app.example/other")
    clients.cache.forget()
    assert ask(redirect_uri=None).status_code == 400


@pytest.mark.checklist(116)
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "unsupported_response_type"),
        ({"response_type": ["code", "code"]}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "ü" * 43}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"scope": 'a"b'}, "invalid_scope"),
        ({"scope": ["api:read", "api:read"]}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"nonce": "n" * 256}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://app.example/r"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"resource": ["codelab-api", "https://other.example"]}, "invalid_target"),
        ({"prompt": "none"}, "login_required"),
        ({"id_token_hint": "eyJ", "prompt": "none"}, "login_required"),
    ],
)
def test_what_else_is_wrong_is_told_to_the_client(ask, changes, error):
    answer = returned(ask(**changes))

    assert answer["error"] == error
    assert answer["iss"] == django_settings.JWT_ISSUER
    assert answer["state"] == "Zu:stand/1 ü"
    assert Refusal.objects.get(pk=answer["error_id"]).error == error


def test_of_two_states_none_goes_back(ask):
    answer = returned(ask(state=["one", "two"]))

    assert (answer["error"], "state" in answer) == ("invalid_request", False)


def test_a_client_without_the_grant_may_not(ask, portal):
    Client.objects.filter(pk=portal.pk).update(grant_types=["refresh_token"])

    assert returned(ask())["error"] == "unauthorized_client"


def test_a_confidential_client_may_go_without_pkce_when_staff_say_so(ask, browser, alice, portal):
    Client.objects.filter(pk=portal.pk).update(require_pkce=False)
    sign_in(browser, alice)

    assert "code" in returned(decide(browser, ask(code_challenge=None, code_challenge_method=None)))


def test_a_public_client_never_may(ask, browser, alice, portal):
    Client.objects.filter(pk=portal.pk).update(require_pkce=False, client_type="public")

    assert returned(ask(code_challenge=None, code_challenge_method=None))["error"] == "invalid_request"


@pytest.mark.checklist(117)
def test_a_stranger_is_sent_to_sign_in_and_comes_back_to_the_same_request(ask, browser, alice):
    response = ask(login_hint="alice", prompt="login")

    query = parse_qs(urlsplit(response["Location"]).query)
    assert response["Location"].startswith("/sign-in?")
    assert query["login_hint"] == ["alice"]
    back = query["next"][0]
    assert back.startswith("/oauth/authorize/resume?")
    assert "prompt" not in back
    sign_in(browser, alice)
    page = browser.get(back)
    url = re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', page.content.decode())[1].replace("&amp;", "&")
    assert "code" in returned(decide(browser, browser.get(url)))


@pytest.mark.spec("OpenID Connect Core 1.0", "3.1.2.1", "POST of an authorization request")
def test_a_request_by_post_goes_on_as_a_get(browser, portal):
    parameters = request_of(portal, Verifier())

    response = browser.post("/oauth/authorize", urlencode(parameters), content_type="application/x-www-form-urlencoded")

    assert response.status_code == 303
    path, _, query = response["Location"].partition("?")
    assert (path, dict(parse_qsl(query))) == ("/oauth/authorize", parameters)
    assert browser.post("/oauth/authorize", {"a": "multipart"}).status_code == 400


@pytest.mark.spec("OpenID Connect Core 1.0", "3.1.2.1", "prompt=login asks again")
@pytest.mark.parametrize("changes", [{"prompt": "login"}, {"max_age": "0"}, {"max_age": "60"}])
def test_who_signed_in_too_long_ago_proves_it_again_once(ask, browser, alice, changes):
    sign_in(browser, alice, ago=timedelta(minutes=2))

    response = ask(**changes)

    assert response["Location"].startswith("/sign-in/again?")
    sign_in(browser, alice)
    page = browser.get(next_of(response).replace("/resume", ""))
    assert page.status_code == 200
    assert "code" in returned(decide(browser, page))


def test_a_sign_in_that_is_recent_enough_is_good(ask, browser, alice):
    sign_in(browser, alice, ago=timedelta(minutes=2))

    assert ask(max_age="300").status_code == 200


@pytest.mark.spec("OpenID Connect Core 1.0", "3.1.2.6", "prompt=none and consent")
def test_with_prompt_none_nobody_is_asked_anything(ask, browser, alice):
    sign_in(browser, alice, ago=timedelta(minutes=2))

    assert returned(ask(prompt="none", max_age="60"))["error"] == "login_required"
    assert returned(ask(prompt="none"))["error"] == "consent_required"
    decide(browser, ask())
    assert "code" in returned(ask(prompt="none"))


def test_what_was_allowed_is_remembered_and_more_is_asked_for(ask, browser, alice):
    sign_in(browser, alice)
    decide(browser, ask(scope="openid"))

    assert "code" in returned(ask(scope="openid"))
    assert ask(scope="openid email").status_code == 200
    assert ask(scope="openid", prompt="consent").status_code == 200
    decide(browser, ask(scope="email"))
    assert Consent.objects.get().scope == "email openid"


def test_who_denies_is_believed(ask, browser, alice):
    sign_in(browser, alice)

    answer = returned(decide(browser, ask(), "deny"))

    assert answer["error"] == "access_denied"
    assert not Consent.objects.exists()
    assert not AuthorizationCode.objects.exists()


def test_an_app_of_our_own_asks_nothing(ask, browser, alice, portal):
    Client.objects.filter(pk=portal.pk).update(skip_authorization=True)
    sign_in(browser, alice)

    assert "code" in returned(ask())
    assert not Consent.objects.exists()


@pytest.mark.spec("RFC 8252", "8.6", "no automatic answer to an app that another may impersonate")
def test_an_app_whose_address_another_can_take_asks_every_time(browser, alice, editor):
    Client.objects.filter(pk=editor.pk).update(
        redirect_uris="http://127.0.0.1/cb com.example.editor:/cb", grant_types=["authorization_code", "refresh_token"]
    )
    sign_in(browser, alice)
    for uri in ("http://127.0.0.1:4711/cb", "com.example.editor:/cb"):
        parameters = request_of(editor, Verifier(), redirect_uri=uri)

        assert "code" in returned(decide(browser, authorize(browser, parameters)), to=uri)
        assert authorize(browser, parameters).status_code == 200
        assert returned(authorize(browser, parameters | {"prompt": "none"}), to=uri)["error"] == "consent_required"


@pytest.mark.checklist(117)
def test_a_decision_is_about_the_request_that_was_shown_by_who_saw_it(ask, browser, alice, bob):
    sign_in(browser, alice)
    page = ask()

    assert decide(browser, page, request="forged").status_code == 400
    assert decide(browser, page, csrfmiddlewaretoken="").status_code == 403
    sign_in(browser, bob)
    bobs = ask()
    assert decide(browser, bobs, request=re.search(r'name="request" value="([^"]*)"', page.content.decode())[1]).status_code == 400
    assert not AuthorizationCode.objects.exists()


def test_a_decision_is_not_taken_for_ever(ask, browser, alice, monkeypatch):
    sign_in(browser, alice)
    page = ask()
    monkeypatch.setattr(signing.time, "time", lambda now=signing.time.time: now() + 601)

    assert decide(browser, page).status_code == 400


@pytest.mark.checklist(117)
def test_the_page_may_send_its_form_here_and_to_the_app_alone_and_is_in_no_frame(ask, browser, alice):
    sign_in(browser, alice)

    page = ask()

    assert "form-action 'self' https://app.example;" in page["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert (page["X-Frame-Options"], page["Cache-Control"]) == ("DENY", "no-store")


def test_staff_need_a_second_factor_here_too(ask, browser, alice, settings):
    settings.DEVELOPMENT = False
    alice.is_staff = True
    alice.save()
    sign_in(browser, alice)

    assert ask()["Location"] == "/account/security"
    assert returned(ask(prompt="none"))["error"] == "interaction_required"
    sign_in(browser, alice, methods=("password", "totp"))
    assert ask().status_code == 200


def test_who_was_disabled_is_not_signed_in(ask, browser, alice):
    sign_in(browser, alice)
    page = ask()
    alice.is_active = False
    alice.save()

    assert decide(browser, page).status_code in {302, 400}
    assert not AuthorizationCode.objects.exists()


def test_the_page_says_who_asks_for_what_in_words(ask, browser, alice):
    sign_in(browser, alice)

    page = ask(scope="openid email api:read offline_access").content.decode()

    assert "<h1>Portal asks for access</h1>" in page
    assert [*re.findall(r"<li>([^<]+)</li>", page)] == [
        "Know who you are on this server",
        "See your e-mail address",
        "Read your data",
        "Stay signed in while you are away",
    ]
    assert "<strong>alice</strong>" in page


def test_while_the_database_is_away_a_person_sees_a_page_and_comes_back_later(ask, browser, alice, monkeypatch):
    sign_in(browser, alice)

    def fail(client_id):
        raise OperationalError("connection to server at 10.1.2.3 failed")

    monkeypatch.setattr(clients.cache, "find", fail)

    response = ask()

    assert response.status_code == 503
    assert int(response["Retry-After"]) >= 1
    assert "The server cannot answer right now" in response.content.decode()
    assert "10.1.2.3" not in response.content.decode()
