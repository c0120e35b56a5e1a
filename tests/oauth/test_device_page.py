"""The page on which a person types the code of a device, sees who asks, and decides (RFC 8628 §3.3)."""

import re
from urllib.parse import urlencode

import pytest
from django.core import signing
from django.db.models import F
from django.test import Client as Browser

from accounts.models import AuditEvent, User
from oauth.models import DEVICE_CODE, Client, DeviceCode
from tests.browsers import sign_in
from tests.devices import PAGE, ask, browser_of, decide, let_device_in, poll, row, type_code
from tests.staff import enrol, give_role, token_in

pytestmark = [pytest.mark.django_db, pytest.mark.checklist(118)]

WRONG = "No device is waiting under this code"


@pytest.fixture
def console(make_client):
    return make_client("console", name="Console <b>", grant_types=(DEVICE_CODE,)).client


@pytest.fixture
def asked(console, post):
    return ask(post, REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="<i>console</i>/1").body


def text_of(response):
    return response.content.decode()


@pytest.mark.spec("RFC 8628", "3.3", "who is not signed in signs in first")
def test_who_is_not_signed_in_signs_in_first_and_comes_back(client):
    answer = client.get(f"{PAGE}?user_code=WDJB-MJHT")

    assert answer.status_code == 302
    assert answer["Location"] == "/sign-in?next=/oauth/device%3Fuser_code%3DWDJB-MJHT"


@pytest.mark.spec("RFC 8628", "3.3.1", "a code that comes along is filled in, and confirmed by the user")
@pytest.mark.parametrize(("sent", "shown"), [("wdjbmjht", "WDJB-MJHT"), ('"><script>', ""), ("nonsense", "")])
def test_a_code_in_the_address_is_filled_in_and_nothing_else(asked, alice, sent, shown):
    page = browser_of(alice).get(PAGE, {"user_code": sent})

    assert page.status_code == 200
    assert re.search(r'name="user_code"[^>]* value="([^"]*)"', text_of(page))[1] == shown
    assert "<script>" not in text_of(page)
    assert row().decision == "pending"


def test_looking_at_the_page_tells_nothing_of_a_code_and_costs_no_try(asked, alice, settings):
    browser = browser_of(alice)
    settings.RATE_LIMIT_FAILURES_PER_IP = settings.RATE_LIMIT_FAILURES_PER_IP.__class__(limit=1, period=settings.ACCESS_TOKEN_LIFETIME)

    real, unknown = browser.get(PAGE, {"user_code": asked["user_code"]}), browser.get(PAGE, {"user_code": "BBBB-BBBB"})

    def plain(response, code):
        return re.sub(r'value="\w{64}"', "", text_of(response)).replace(code, "")

    assert plain(real, asked["user_code"]) == plain(unknown, "BBBB-BBBB")
    assert type_code(browser, asked["user_code"]).status_code == 200


@pytest.mark.spec("RFC 8628", "5.4", "the user is shown what asks, and told of the danger")
def test_the_confirmation_shows_who_asks_from_where_and_for_what(asked, alice):
    page = type_code(browser_of(alice), asked["user_code"].lower().replace("-", " "))

    shown = text_of(page)
    assert page.status_code == 200
    for part in ("Console &lt;b&gt;", "203.0.113.9", "&lt;i&gt;console&lt;/i&gt;/1", asked["user_code"], "alice", "Read your data"):
        assert part in shown
    assert "Only go on if you started this on your own device" in shown
    assert page["Cache-Control"] == "no-store"
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert row().decision == "pending"


def test_the_page_speaks_russian(asked, alice):
    browser = browser_of(alice)

    page = type_code(browser, asked["user_code"], headers={"accept-language": "ru"})

    assert '<html lang="ru"' in text_of(page)
    assert "Читать ваши данные" in text_of(page)


def test_approving_lets_the_device_in_and_is_on_record(asked, alice, post):
    browser = browser_of(alice)

    done = decide(browser, type_code(browser, asked["user_code"]), "approve")

    assert (done.status_code, "You can close this page" in text_of(done)) == (200, True)
    [event] = AuditEvent.objects.filter(event="device:code:approved")
    assert (event.actor_id, event.target, event.client_id) == (alice.pk, str(alice.pk), "console")
    assert event.detail == {"scope": "api:read api:write", "device_address": "203.0.113.9", "device_user_agent": "<i>console</i>/1"}
    assert poll(post, asked["device_code"]).status == 200


@pytest.mark.parametrize("decision", ["deny", "", "APPROVE", "approve "])
def test_whatever_is_no_plain_yes_is_a_no(asked, alice, post, decision):
    browser = browser_of(alice)

    assert decide(browser, type_code(browser, asked["user_code"]), decision).status_code == 200
    assert poll(post, asked["device_code"]).error == "access_denied"


@pytest.mark.parametrize("first", ["approve", "deny"])
def test_it_is_decided_once(asked, alice, bob, first):
    browsers = [browser_of(user) for user in (alice, bob)]
    pages = [type_code(browser, asked["user_code"]) for browser in browsers]
    assert decide(browsers[0], pages[0], first).status_code == 200

    again = [decide(browser, page, decision) for browser, page in zip(browsers, pages, strict=True) for decision in ("approve", "deny")]

    assert {answer.status_code for answer in again} == {400}
    assert all(WRONG in text_of(answer) for answer in again)
    assert (row().user, row().decision) == (alice, {"approve": "approved", "deny": "denied"}[first])


# --- What a decision is about ------------------------------------------------------------------


def test_a_decision_is_for_the_device_that_was_shown_to_this_person(asked, alice, bob, post):
    other = ask(post).body
    browser, elsewhere = browser_of(alice), browser_of(bob)
    page = type_code(browser, asked["user_code"])
    form = {"decision": "approve", "csrfmiddlewaretoken": token_in(page)}

    answers = [
        browser.post(PAGE, form | {"user_code": other["user_code"]}),
        browser.post(PAGE, form | {"shown": other["user_code"]}),
        browser.post(PAGE, form | {"shown": signing.dumps([other["user_code"], str(alice.pk)])}),
        browser.post(PAGE, form | {"shown": page.context["shown"][:-1]}),
    ]
    stolen = elsewhere.post(PAGE, form | {"shown": page.context["shown"], "csrfmiddlewaretoken": token_in(elsewhere.get(PAGE))})

    assert {answer.status_code for answer in [*answers, stolen]} == {400}
    assert {*DeviceCode.objects.values_list("decision", flat=True)} == {"pending"}


def test_another_site_cannot_press_the_button(asked, alice):
    browser = browser_of(alice)
    page = type_code(browser, asked["user_code"])

    assert browser.post(PAGE, {"shown": page.context["shown"], "decision": "approve"}).status_code == 403
    assert Browser(enforce_csrf_checks=True).post(PAGE, {"user_code": asked["user_code"]}).status_code in {302, 403}
    assert row().decision == "pending"


def test_what_was_shown_too_long_ago_is_not_decided(asked, alice, later):
    browser = browser_of(alice)
    page = type_code(browser, asked["user_code"])
    later(minutes=10)

    assert decide(browser, page, "approve").status_code == 400


def test_a_device_of_a_client_that_was_disabled_is_not_let_in(asked, alice):
    browser = browser_of(alice)
    Client.objects.update(is_active=False)

    assert type_code(browser, asked["user_code"]).status_code == 400


@pytest.mark.checklist(99)
def test_staff_need_their_second_factor(asked, make_user, settings):
    settings.DEVELOPMENT = False
    staff = give_role(make_user("carol"), "owner")
    browser = Browser()
    sign_in(browser, staff)

    assert browser.get(PAGE)["Location"] == "/account/security"
    enrol(staff)
    back = f"{PAGE}?user_code={asked['user_code']}"
    assert browser.get(back)["Location"] == f"/sign-in/again?{urlencode({'next': back})}"
    sign_in(browser, staff, methods=("password", "totp"))
    assert browser.get(back).status_code == 200


def test_who_was_disabled_meanwhile_decides_nothing(asked, alice):
    browser = browser_of(alice)
    page = type_code(browser, asked["user_code"])
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert decide(browser, page, "approve").status_code in {302, 403}
    assert row().decision == "pending"


# --- Guesses -----------------------------------------------------------------------------------


@pytest.mark.spec("RFC 8628", "5.1", "guesses at user codes are bounded")
def test_a_person_has_so_many_tries_wherever_they_are(asked, alice, bob, settings):
    limit = settings.RATE_LIMIT_FAILURES_PER_IP.limit
    browser = browser_of(alice)
    guesses = [type_code(browser, "BBBB-BBBB", REMOTE_ADDR=f"198.51.100.{number}") for number in range(limit)]

    refused = type_code(browser, asked["user_code"], REMOTE_ADDR="192.0.2.77")

    assert {(answer.status_code, WRONG in text_of(answer)) for answer in guesses} == {(400, True)}
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 301
    assert type_code(browser_of(bob), asked["user_code"]).status_code == 200
    assert AuditEvent.objects.filter(event="device:code:failed", target=str(alice.pk)).count() == limit
    assert not AuditEvent.objects.filter(detail__icontains="BBBB").exists()


@pytest.mark.spec("RFC 8628", "5.1", "guesses at user codes are bounded")
def test_an_address_has_so_many_wrong_ones_whoever_types_them(asked, make_user, settings):
    limit = settings.RATE_LIMIT_FAILURES_PER_IP.limit
    people = [browser_of(make_user(f"person{number}")) for number in range(3)]
    for number in range(limit):
        assert type_code(people[number % 2], "BBBB-BBBB", REMOTE_ADDR=f"2001:db8::{number + 1}").status_code == 400

    assert type_code(people[2], asked["user_code"], REMOTE_ADDR="2001:db8::ffff").status_code == 429
    assert type_code(people[2], asked["user_code"], REMOTE_ADDR="2001:db8:0:1::1").status_code == 200


def test_used_denied_expired_and_unknown_codes_look_the_same(asked, alice, bob, post):
    denied, expired = ask(post).body, ask(post).body
    let_device_in(bob, asked["user_code"])
    browser = browser_of(alice)
    decide(browser, type_code(browser, denied["user_code"]), "deny")
    DeviceCode.objects.filter(decision="pending").update(expires_at=F("created_at"))

    pages = [type_code(browser, code) for code in (asked["user_code"], denied["user_code"], expired["user_code"], "BBBB-BBBB", "no code")]

    assert {page.status_code for page in pages} == {400}
    assert {page.context["message"] for page in pages} == {pages[0].context["message"]}


# --- The picture -------------------------------------------------------------------------------


def test_a_device_can_show_a_picture_of_the_address(client, db):
    answer = client.get("/oauth/device/qr", {"user_code": "wdjb mjht"})

    assert (answer.status_code, answer["Content-Type"], answer["Cache-Control"]) == (200, "image/svg+xml", "no-store")
    assert answer.content.startswith(b"<?xml")
    assert b"<script" not in answer.content
    assert answer.content != client.get("/oauth/device/qr", {"user_code": "WDJB-MJHX"}).content


@pytest.mark.parametrize("query", ["", "?user_code=", "?user_code=nonsense", "?user_code=%00"])
def test_there_is_no_picture_of_what_is_no_code(client, query):
    answer = client.get(f"/oauth/device/qr{query}")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_pictures_are_bounded_too(client, settings):
    settings.RATE_LIMIT_PER_IP = settings.RATE_LIMIT_PER_IP.__class__(limit=1, period=settings.ACCESS_TOKEN_LIFETIME)

    statuses = [client.get("/oauth/device/qr", {"user_code": "WDJB-MJHT"}).status_code for _ in range(2)]

    assert statuses == [200, 429]
