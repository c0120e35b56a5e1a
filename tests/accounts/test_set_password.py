"""manage.py set_password: another password at the console, by the policy and on record."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.management.commands import set_password
from accounts.models import AuditEvent, User
from tests.conftest import PASSWORD

NEW = "another long walk"


@pytest.fixture
def typed(monkeypatch):
    """Somebody types these two at the prompts."""

    def run(user, first, again):
        answers = iter((first, again))
        monkeypatch.setattr(set_password, "getpass", lambda _: next(answers))
        output = StringIO()
        call_command("set_password", user, stdout=output)
        return output.getvalue()

    return run


@pytest.mark.parametrize("name", ["alice", "alice@example.com"])
def test_the_new_one_signs_in_the_old_one_does_not_and_every_session_has_ended(typed, sign_in, refresh, alice, name):
    User.objects.filter(pk=alice.pk).update(email="alice@example.com", email_canonical="alice@example.com")
    token = sign_in().body["refresh_token"]

    said = typed(name, NEW, NEW)

    assert said == "alice has another password. Every session of theirs was ended.\n"
    assert refresh(token).error == "invalid_grant"
    assert sign_in().error == "invalid_grant"
    assert sign_in(password=NEW).status == 200
    event = AuditEvent.objects.get(event="user:password:changed")
    assert (event.target, event.detail, event.actor_id) == (str(alice.pk), {"by": "console"}, None)


@pytest.mark.parametrize(
    ("user", "first", "again", "why"),
    [
        ("nobody", NEW, NEW, "There is no user 'nobody'"),
        ("alice", NEW, NEW + "s", "two different ones. Nothing was changed"),
        ("alice", "short", "short", "Nothing was changed. .*short"),
    ],
)
def test_what_is_refused_changes_nothing(typed, sign_in, alice, user, first, again, why):
    with pytest.raises(CommandError, match=why):
        typed(user, first, again)

    assert sign_in(password=PASSWORD).status == 200
    assert not AuditEvent.objects.filter(event="user:password:changed").exists()
