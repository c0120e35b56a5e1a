"""What opens the admin beside a password: enrolled, asked for, spent once, counted, and taken away (accounts/second_factors.py)."""

from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.test import Client as Browser

from accounts import clock, lockout, second_factors
from accounts.models import AuditEvent, LoginCounter, User
from tests import secrecy
from tests.conftest import PASSWORD
from tests.staff import code_of, enrol, let_in, log_in, send_code, send_password, token_in, totp_code
from tests.threads import at_once

pytestmark = pytest.mark.django_db

ENROLMENT = {"/account/security", "/account/security/authenticator", "/account/security/passkeys/add"}


@pytest.fixture
def root(make_user):
    """May do everything."""
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def browser():
    return Browser(raise_request_exception=False)


def events(name):
    return AuditEvent.objects.filter(event=name)


def seed_on(page):
    seed = page.context["form"].secret
    secrecy.remember("the seed of an authenticator app", seed)
    return seed


# --- Enrolment ---------------------------------------------------------------------------------


@pytest.mark.checklist(99)
def test_staff_without_a_second_factor_reach_only_the_enrolment(root, browser):
    assert send_password(browser, "root").status_code == 302

    answers = {path: browser.get(path) for path in ("/admin/", "/admin/accounts/user/", "/admin/find/", "/admin/password_change/")}

    assert {answer.status_code for answer in answers.values()} == {302}
    assert browser.get("/admin/", follow=True).redirect_chain[-1] == ("/account/security", 302)
    assert {path: browser.get(path).status_code for path in ENROLMENT} == dict.fromkeys(ENROLMENT, 200)


@pytest.mark.checklist(99)
def test_an_authenticator_app_is_enrolled_with_its_first_code_and_opens_the_admin(root, browser):
    send_password(browser, "root")
    page = browser.get("/account/security/authenticator")
    form = {"code": totp_code(seed_on(page)), "csrfmiddlewaretoken": token_in(page)}

    answer = browser.post("/account/security/authenticator", form)

    codes = answer.context["codes"]
    assert len(codes) == 10
    assert all(code in answer.content.decode() for code in codes)
    assert answer["Cache-Control"].count("no-store") == 1
    assert browser.get("/admin/").status_code == 200
    assert events("user:second_factor:added").get().detail == {"kind": "totp"}
    assert User.objects.get(pk=root.pk).has_second_factor


def test_a_wrong_first_code_enrols_nothing(root, browser):
    send_password(browser, "root")
    page = browser.get("/account/security/authenticator")

    answer = browser.post("/account/security/authenticator", {"code": "000000", "csrfmiddlewaretoken": token_in(page)})

    assert answer.status_code == 200
    assert not Authenticator.objects.exists()
    assert browser.get("/admin/").status_code == 302


def test_neither_seed_nor_codes_are_stored_in_clear(root, browser):
    send_password(browser, "root")
    page = browser.get("/account/security/authenticator")
    seed = seed_on(page)
    while_enrolling = str(browser.session.items())

    browser.post("/account/security/authenticator", {"code": totp_code(seed), "csrfmiddlewaretoken": token_in(page)})

    stored = str([*Authenticator.objects.values()])
    assert seed not in while_enrolling
    assert seed not in stored
    assert seed not in str(browser.session.items())


@pytest.mark.checklist(99)
def test_a_factor_that_was_enrolled_elsewhere_is_asked_for_in_a_session_that_was_open(root, browser):
    send_password(browser, "root")
    enrol(root)

    assert browser.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/sign-in/code/again")


# --- The second step ---------------------------------------------------------------------------


@pytest.mark.checklist(99)
def test_the_password_alone_opens_nothing_once_a_factor_is_enrolled(root, browser):
    enrol(root)

    answer = send_password(browser, "root")

    assert answer["Location"] == "/sign-in/code"
    assert browser.get("/admin/").status_code == 302
    assert not events("user:sign_in:succeeded").exists()
    assert User.objects.get(pk=root.pk).last_sign_in_at is None


@pytest.mark.checklist(99)
def test_a_code_of_the_app_signs_in_once(root):
    code = code_of(root)
    first, second = Browser(), Browser()
    send_password(first, "root")
    send_password(second, "root")

    assert send_code(first, code).status_code == 302
    assert send_code(second, code).status_code == 200

    assert first.get("/admin/").status_code == 200
    assert second.get("/admin/").status_code == 302
    assert events("user:sign_in:succeeded").get().detail == {"door": "browser", "by": "totp"}
    assert events("user:second_factor:failed").count() == 1


def test_a_code_from_before_the_last_one_that_was_taken_is_refused(root):
    newer, older = code_of(root, steps=1), totp_code(enrol(root), steps=0)
    first, second = Browser(), Browser()
    send_password(first, "root")
    assert send_code(first, newer).status_code == 302
    send_password(second, "root")

    assert send_code(second, older).status_code == 200


@pytest.mark.checklist(99)
def test_a_recovery_code_signs_in_once(root):
    enrol(root)
    [code, *_] = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    first, second = Browser(), Browser()
    send_password(first, "root")
    send_password(second, "root")

    assert send_code(first, code).status_code == 302
    assert send_code(second, code).status_code == 200
    assert events("user:second_factor:used").get().detail == {"kind": "recovery_code"}


@pytest.mark.checklist(99)
def test_wrong_codes_lock_the_name_for_the_password_too(root, browser, settings):
    settings.BRUTE_FORCE_THRESHOLD = 3
    right = code_of(root)
    send_password(browser, "root")

    for _ in range(3):
        assert send_code(browser, "000000").status_code == 200

    assert send_code(browser, right).status_code == 200
    assert send_password(Browser(), "root").status_code == 200
    assert events("user:lockout:started").get().detail["door"] == "second_factor"


@pytest.mark.checklist(99)
def test_the_right_password_in_between_does_not_forgive_wrong_codes(root, settings):
    settings.BRUTE_FORCE_THRESHOLD = 3
    enrol(root)

    for _ in range(3):
        browser = Browser()
        assert send_password(browser, "root").status_code == 302
        send_code(browser, "000000")

    assert send_password(Browser(), "root").status_code == 200
    assert LoginCounter.objects.locked().exists()


def test_a_right_code_forgives_what_failed_before(root, browser):
    send_password(browser, "root", "a wrong password")
    log_in(browser, "root")

    assert LoginCounter.objects.filter(user_id=root.pk, failures__gt=0).exclude(source="*").count() == 0


def test_who_was_disabled_between_the_steps_is_not_let_in(root, browser):
    code = code_of(root)
    send_password(browser, "root")
    User.objects.filter(pk=root.pk).update(is_active=False)

    answer = send_code(browser, code)

    assert answer.status_code in {302, 403}
    assert browser.get("/admin/").status_code == 302
    assert not events("user:sign_in:succeeded").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["app", "recovery code"])
def test_of_parallel_tries_with_one_code_one_succeeds(root, settings, kind):
    settings.BRUTE_FORCE_THRESHOLD = 100
    code = code_of(root) if kind == "app" else enrol(root) and Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()[0]
    actor = {"actor_id": None, "address": "192.0.2.7", "user_agent": ""}

    results = at_once(
        *[lambda: second_factors.verify_code(root, code, actor=actor, now=clock.now())] * 6, refusals=(second_factors.WrongCode,)
    )

    assert sum(isinstance(result, Authenticator) for result in results) == 1
    assert sum(isinstance(result, second_factors.WrongCode) for result in results) == 5


# --- Elsewhere ---------------------------------------------------------------------------------


def test_the_password_grant_is_refused_to_who_has_a_second_factor(alice, sign_in):
    enrol(alice)

    answer = sign_in()

    assert (answer.status, answer.error) == (400, "mfa_required")
    assert events("user:sign_in:failed").get().detail == {"reason": "second factor", "count": 1}


def test_the_profile_tells_whether_there_is_a_second_factor(alice, signed_in, client):
    enrol(alice)

    profile = client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {signed_in.body['access_token']}").json()

    assert profile["second_factor"] is True


def test_no_page_of_the_admin_shows_second_factors(root, browser):
    let_in(browser, root)

    assert browser.get("/admin/mfa/authenticator/").status_code == 404
    assert browser.get("/admin/account/emailaddress/").status_code == 404


# --- Removal and reset -------------------------------------------------------------------------


def test_removing_the_last_factor_closes_the_admin(root, browser):
    let_in(browser, root)
    page = browser.get("/account/security/authenticator/remove")

    browser.post("/account/security/authenticator/remove", {"csrfmiddlewaretoken": token_in(page)})

    assert not Authenticator.objects.exists()
    assert browser.get("/admin/").status_code == 302
    assert events("user:second_factor:removed").get().detail == {"kind": "totp"}


def test_new_recovery_codes_are_shown_once_and_replace_the_old_ones(root, browser):
    let_in(browser, root)
    old = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    page = browser.get("/account/security/recovery-codes")

    answer = browser.post("/account/security/recovery-codes", {"csrfmiddlewaretoken": token_in(page)})

    new = answer.context["codes"]
    assert not {*old} & {*new}
    assert new[0] not in browser.get("/account/security").content.decode()
    assert events("user:recovery_codes:generated").exists()


@pytest.mark.checklist(104)
def test_second_factors_are_changed_only_soon_after_signing_in(root, browser, later):
    let_in(browser, root)
    later(minutes=16)

    answer = browser.get("/account/security/authenticator/remove")

    assert answer["Location"] == "/sign-in/again?next=%2Faccount%2Fsecurity%2Fauthenticator%2Fremove"


def test_the_command_takes_every_factor_and_ends_the_sessions(root, browser):
    log_in(browser, "root")
    output = StringIO()

    call_command("reset_second_factor", "root", reason="lost telephone", stdout=output)

    assert not Authenticator.objects.exists()
    assert browser.get("/admin/").status_code == 302
    event = events("user:second_factor:reset").get()
    assert event.detail == {"removed": {"recovery_code": 1, "totp": 1}, "reason": "lost telephone"}
    assert "totp (1)" in output.getvalue()
    assert send_password(browser, "root").status_code == 302
    assert browser.get("/account/security").status_code == 200


@pytest.mark.parametrize(("name", "reason"), [("nobody", "lost"), ("root", "  ")])
def test_the_command_says_what_is_missing(root, name, reason):
    with pytest.raises(CommandError):
        call_command("reset_second_factor", name, reason=reason)


def test_a_code_is_looked_at_only_after_the_attempt_is_counted(root, settings):
    settings.BRUTE_FORCE_THRESHOLD = 1
    actor = {"actor_id": None, "address": "192.0.2.7", "user_agent": ""}
    code = code_of(root)

    with pytest.raises(second_factors.WrongCode):
        second_factors.verify_code(root, "000000", actor=actor, now=clock.now())
    with pytest.raises(lockout.Locked):
        second_factors.verify_code(root, code, actor=actor, now=clock.now())

    assert User.objects.get(pk=root.pk).last_totp_step == 0
    assert PASSWORD not in str([*AuditEvent.objects.values()])
