"""Staff's page of signing keys: what it shows, and the two acts behind its buttons."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.urls import reverse

from accounts import clock
from accounts.actors import NOBODY
from accounts.models import AuditEvent
from oauth import key_report, key_rotation, key_rows, key_set_use, key_timeline
from oauth.models import KeySetUse, SigningKey
from tests.staff import let_in, messages_in, page

pytestmark = pytest.mark.django_db

ROTATE = "/admin/oauth/signingkey/rotate/"


def compromised(key):
    return f"/admin/oauth/signingkey/{key.pk}/compromised/"


@pytest.fixture
def browser_with(make_user):
    """Makes a browser of somebody who may look at keys, and has these permissions."""

    def make(*codenames):
        user = make_user("somebody", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=("view_signingkey", *codenames)))
        browser = Browser(raise_request_exception=False)
        let_in(browser, user)
        return browser

    return make


@pytest.fixture
def two_keys(signing_key):
    """The key that signs, and the standby, which every verifier knows by now."""
    key_rotation.maintain()
    SigningKey.objects.update(published_at=clock.now() - timedelta(days=3))
    return [*SigningKey.objects.order_by("sequence")]


def shown(staff):
    response = staff.get(page("changelist", SigningKey))
    assert response.status_code == 200
    return response


def states():
    now = clock.database_now()
    return [place.state(now).value for place in key_rows.current().places]


# --- The page -------------------------------------------------------------------------------------


def test_the_page_shows_every_key_the_newest_first_with_its_state(staff, two_keys):
    response = shown(staff)

    first, second = two_keys
    assert [(key.line.kid, key.line.state.value) for key in response.context["keys"]] == [(second.kid, "standby"), (first.kid, "active")]
    text = response.content.decode()
    assert re.findall(r'<span class="pill pill--\w+">(\w+)</span></td>', text) == ["Standby", "Active"]


def test_the_page_tells_what_happens_next_as_the_command_does(staff, two_keys):
    response = shown(staff)

    expected = key_report.steps(key_rows.current(), now=clock.database_now())
    assert [(step.kid, step.what) for step in response.context["steps"]] == [(step.kid, step.what) for step in expected]
    assert "a new standby is published" in response.content.decode()


def test_a_server_that_does_not_rotate_by_itself_says_so(staff, two_keys, settings):
    settings.KEY_ROTATION_PERIOD = None

    assert "rotation by itself is switched off" in shown(staff).content.decode()


def test_the_page_tells_how_often_the_key_set_was_fetched(staff, signing_key):
    hour = clock.database_now().replace(minute=0, second=0, microsecond=0)
    KeySetUse.objects.create(hour=hour, answered_200=3, answered_304=4)
    KeySetUse.objects.create(hour=hour - timedelta(hours=5), answered_200=10, answered_304=0)
    KeySetUse.objects.create(hour=hour - timedelta(hours=30), answered_200=1000, answered_304=0)

    response = shown(staff)

    assert (response.context["fetched_lately"], response.context["fetched_in_a_day"]) == (7, 17)
    assert len(key_set_use.recent(hours=48)) == 3


def test_without_a_key_the_page_says_what_that_means(staff):
    text = shown(staff).content.decode()

    assert "No key yet" in text
    assert ROTATE not in text


def test_the_page_filters_and_orders_by_nothing(staff, two_keys):
    plain = [key.line.kid for key in shown(staff).context["keys"]]

    for query in ({"private_key__startswith": "a"}, {"kid": "none"}, {"q": "none"}, {"o": "-1"}):
        assert [key.line.kid for key in staff.get(page("changelist", SigningKey), query).context["keys"]] == plain


def test_the_buttons_are_for_those_who_may(browser_with, two_keys):
    text = shown(browser_with("rotate_signing_key")).content.decode()

    assert ROTATE in text
    assert "compromised" not in text


# --- The drawing ------------------------------------------------------------------------------------


def drawn(now):
    return key_timeline.draw(key_report.lines(key_rows.current(), now=now), now=now)


def number(text):
    assert text.endswith("%")
    return float(text[:-1])


def test_the_phases_of_a_key_follow_each_other_without_a_gap(two_keys):
    key_rotation.rotate(signer=two_keys[0].kid, actor=NOBODY, reason="")

    old, standby = drawn(clock.database_now()).rows

    assert [bar.phase for bar in old.bars] == ["published", "signing", "retiring"]
    assert [bar.phase for bar in standby.bars][:2] == ["published", "signing"]
    for row in (old, standby):
        for one, next_one in zip(row.bars, row.bars[1:], strict=False):
            assert number(next_one.x) == pytest.approx(number(one.x) + number(one.width), abs=0.9)


def test_nothing_is_drawn_beside_the_picture(two_keys, later):
    for _ in range(3):
        key_rotation.maintain()
        drawing = drawn(clock.database_now())
        for bar in (bar for row in drawing.rows for bar in row.bars):
            assert number(bar.x) >= 0
            assert number(bar.width) > 0
            assert number(bar.x) + number(bar.width) <= 100.01
        assert 0 <= number(drawing.now_x) <= 100
        later(days=91)


def test_a_key_that_left_long_ago_is_drawn_no_more_and_stands_in_the_table(staff, two_keys):
    key_rotation.revoke(two_keys[0].kid, actor=NOBODY, reason="leaked")
    SigningKey.objects.filter(pk=two_keys[0].pk).update(revoked_at=clock.now() - timedelta(days=31))

    response = shown(staff)

    assert two_keys[0].kid not in {row.line.kid for row, _, _ in response.context["labels"]}
    assert two_keys[0].kid in {key.line.kid for key in response.context["keys"]}


def test_the_numbers_of_the_drawing_are_in_no_readers_language(staff, two_keys):
    text = staff.get(page("changelist", SigningKey), headers={"accept-language": "ru"}).content.decode()

    assert re.findall(r'<rect[^>]* x="([^"]+)"', text)
    assert all(re.fullmatch(r"[\d.]+%", value) for value in re.findall(r'<rect[^>]* (?:x|width)="([^"]+)"', text))


# --- The acts -------------------------------------------------------------------------------------


def test_rotation_is_shown_before_it_is_done(staff, two_keys):
    _, second = two_keys

    text = staff.get(ROTATE).content.decode()

    assert f"{second.kid} signs from" in text
    assert "Nobody is signed out." in text
    assert states() == ["active", "standby"]
    assert SigningKey.objects.get(pk=second.pk).signs_from is None


def test_staff_rotate_the_key_with_a_reason(staff, root, two_keys):
    first, second = two_keys

    response = staff.post(ROTATE, {"confirmed": "True", "kid": first.kid, "reason": "before the audit"})

    event = AuditEvent.objects.get(event="signing_key:schedule:rotated")
    assert (event.actor_id, event.target, event.detail["reason"]) == (root.pk, second.kid, "before the audit")
    assert SigningKey.objects.get(pk=second.pk).signs_from is not None
    assert messages_in(staff.get(response["Location"])) == [
        f"{second.kid} signs from {event.detail['signs_from'][:19].replace('T', ' ')} UTC."
    ]


def test_rotating_twice_rotates_once(staff, two_keys):
    form = {"confirmed": "True", "kid": two_keys[0].kid, "reason": "before the audit"}
    staff.post(ROTATE, form)

    response = staff.post(ROTATE, form)

    [_, message] = messages_in(staff.get(response["Location"]))
    assert message.startswith("That was decided already:")
    assert AuditEvent.objects.filter(event="signing_key:schedule:rotated").count() == 1


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"kid": "another", "reason": "why"}, "This is not the kid of the key."),
        ({"kid": "KID", "reason": ""}, "This field is required."),
        ({"kid": "KID", "reason": "  "}, "This field is required."),
        ({"kid": "", "reason": "why"}, "This field is required."),
    ],
)
def test_an_act_on_a_key_asks_for_its_kid_and_a_reason(staff, two_keys, form, told):
    for address in (ROTATE, compromised(two_keys[0])):
        response = staff.post(address, {"confirmed": "True"} | form | ({"kid": two_keys[0].kid} if form["kid"] == "KID" else {}))
        assert response.status_code == 200
        assert told in response.content.decode()

    assert states() == ["active", "standby"]
    assert not AuditEvent.objects.filter(event__in=("signing_key:schedule:rotated", "signing_key:schedule:revoked")).exists()


def test_nothing_is_done_before_the_consequences_were_seen(staff, two_keys):
    first = two_keys[0]

    for address in (ROTATE, compromised(first)):
        assert staff.post(address, {"kid": first.kid, "reason": "why"}).status_code == 200

    assert states() == ["active", "standby"]
    assert SigningKey.objects.get(sequence=2).signs_from is None


def test_staff_take_a_compromised_key_out_of_use(staff, root, two_keys):
    first, second = two_keys

    text = staff.get(compromised(first)).content.decode()
    staff.post(compromised(first), {"confirmed": "True", "kid": first.kid, "reason": "a laptop was stolen"})

    assert f"{first.kid} leaves the key set at once" in text
    assert f"{second.kid} signs at once" in text
    event = AuditEvent.objects.get(event="signing_key:schedule:revoked")
    assert (event.actor_id, event.target, event.detail["reason"]) == (root.pk, first.kid, "a laptop was stolen")
    assert states() == ["revoked", "active", "standby"]
    assert SigningKey.objects.get(pk=first.pk).private_key == ""


def test_a_standby_that_is_compromised_is_replaced_and_the_other_signs_on(staff, two_keys):
    _, second = two_keys

    staff.post(compromised(second), {"confirmed": "True", "kid": second.kid, "reason": "the backup leaked"})

    assert states() == ["active", "revoked", "standby"]


def test_a_key_that_is_out_of_use_has_no_act(staff, two_keys):
    first = two_keys[0]
    form = {"confirmed": "True", "kid": first.kid, "reason": "a laptop was stolen"}
    staff.post(compromised(first), form)
    staff.get(page("changelist", SigningKey))

    response = staff.post(compromised(first), form)

    assert messages_in(staff.get(response["Location"])) == [f"The key {first.kid} is out of use already."]
    assert compromised(first) not in shown(staff).content.decode()


def test_without_a_standby_there_is_nothing_to_rotate_to(staff, signing_key):
    response = staff.get(ROTATE)

    [message] = messages_in(staff.get(response["Location"]))
    assert message.startswith("There is no standby to rotate to yet")


def test_a_key_that_does_not_exist_has_no_page(staff, two_keys):
    assert staff.get("/admin/oauth/signingkey/99999/compromised/").status_code == 404


def test_a_conflict_is_told_on_the_page(staff, two_keys, monkeypatch):
    first = two_keys[0]
    real = key_rows.locked

    def another_was_faster():
        key_rotation.key_rows.locked = real
        key_rotation.revoke(first.kid, actor=NOBODY, reason="by another")
        return real()

    monkeypatch.setattr(key_rotation.key_rows, "locked", another_was_faster)
    response = staff.post(ROTATE, {"confirmed": "True", "kid": first.kid, "reason": "why"})

    assert response.status_code == 200
    assert f"The key {first.kid} does not sign any more. Look at the schedule again." in response.content.decode()


def test_keys_that_open_with_no_encryption_key_are_told_of_on_the_page(staff, two_keys, settings):
    settings.KEY_ENCRYPTION_KEYS = ["another encryption key, of which nothing was encrypted"]

    for address in (ROTATE, compromised(two_keys[0])):
        response = staff.post(address, {"confirmed": "True", "kid": two_keys[0].kid, "reason": "why"})
        assert response.status_code == 200
        assert "does not open with AUTH_SERVICE__KEY_ENCRYPTION_KEYS" in response.content.decode()
    assert states() == ["active", "standby"]


@pytest.mark.checklist(101)
def test_each_act_has_a_permission_of_its_own(browser_with, two_keys):
    browser = browser_with("rotate_signing_key")
    form = {"confirmed": "True", "kid": two_keys[0].kid, "reason": "why"}

    assert (browser.get(ROTATE).status_code, browser.get(compromised(two_keys[0])).status_code) == (200, 403)
    assert browser.post(compromised(two_keys[0]), form).status_code == 403
    assert states() == ["active", "standby"]


@pytest.mark.checklist(101)
def test_who_may_revoke_may_not_rotate(browser_with, two_keys):
    browser = browser_with("revoke_signing_key")

    assert (browser.get(ROTATE).status_code, browser.get(compromised(two_keys[0])).status_code) == (403, 200)
    assert browser.post(ROTATE, {"confirmed": "True", "kid": two_keys[0].kid, "reason": "why"}).status_code == 403


def test_who_signed_in_long_ago_is_asked_again_before_an_act_on_a_key(root, two_keys):
    browser = Browser(raise_request_exception=False)
    let_in(browser, root, ago=timedelta(minutes=16))
    form = {"confirmed": "True", "kid": two_keys[0].kid, "reason": "why"}

    for address in (ROTATE, compromised(two_keys[0])):
        for answer in (browser.get(address), browser.post(address, form)):
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, reverse("account_reauthenticate"))
    assert states() == ["active", "standby"]
