"""Users: one person per canonical name, an epoch that ends sessions, an id that is theirs alone (accounts/models.py)."""

import uuid

import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from accounts.identifiers import InvalidIdentifier
from accounts.models import User
from tests.accounts.spellings import wide
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def stored(user):
    return User.objects.get(pk=user.pk)


def test_a_new_user_is_stored_as_typed_and_in_canonical_form():
    alice = User.objects.create_user(" Alice ", "Alice@Example.COM", PASSWORD)

    row = stored(alice)
    assert (row.username, row.username_canonical) == ("Alice", "alice")
    assert (row.email, row.email_canonical) == ("Alice@Example.COM", "alice@example.com")


def test_saving_a_changed_name_changes_its_canonical_form(alice):
    alice.username, alice.email = "Alicia", "Alicia@Example.com"
    alice.save()

    row = stored(alice)
    assert (row.username_canonical, row.email_canonical) == ("alicia", "alicia@example.com")


@pytest.mark.parametrize(
    ("source", "typed", "canonical"),
    [("username", wide("ALICIA"), "alicia"), ("email", wide("Alicia@Example.com"), "alicia@example.com")],
)
def test_saving_a_name_with_its_canonical_form_alone_stores_both(alice, source, typed, canonical):
    setattr(alice, source, typed)
    alice.save(update_fields=[source, f"{source}_canonical"])

    row = stored(alice)
    assert (getattr(row, source), getattr(row, f"{source}_canonical")) == (typed, canonical)


def test_saving_another_field_leaves_the_names_alone(alice):
    alice.username, alice.name = "mallory", "Alice Smith"
    alice.save(update_fields=["name"])

    row = stored(alice)
    assert (row.username, row.username_canonical, row.name) == ("alice", "alice", "Alice Smith")


def test_removing_the_email_address_removes_its_canonical_form(alice):
    alice.email = ""
    alice.save()

    assert stored(alice).email_canonical is None


def test_a_name_that_is_not_allowed_cannot_be_saved_past_the_checks(alice):
    alice.username = "al\u200dice"

    with pytest.raises(InvalidIdentifier), transaction.atomic():
        alice.save()

    assert stored(alice).username == "alice"


def test_many_users_have_no_email_address(make_user):
    users = [make_user(name, email="") for name in ("alice", "bob", "mallory")]

    assert [stored(user).email_canonical for user in users] == [None, None, None]


@pytest.mark.checklist(42, 43)
@pytest.mark.parametrize("username", ["alice", "ALICE", " alice ", wide("alice"), wide("Alice")])
def test_a_user_name_is_taken_in_every_spelling(alice, username):
    with pytest.raises(ValidationError) as refusal:
        User.objects.create_user(username, "mallory@example.com", PASSWORD)

    assert [*refusal.value.message_dict] == ["username"]
    assert User.objects.count() == 1


@pytest.mark.checklist(42, 43)
@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@EXAMPLE.COM", " Alice@example.com", wide("alice@example.com")])
def test_an_email_address_is_taken_in_every_spelling(alice, email):
    with pytest.raises(ValidationError) as refusal:
        User.objects.create_user("mallory", email, PASSWORD)

    assert [*refusal.value.message_dict] == ["email"]
    assert User.objects.count() == 1


@pytest.mark.checklist(43)
def test_a_ligature_makes_no_second_fiona(make_user):
    make_user("fiona")

    with pytest.raises(ValidationError, match="Another user has this one"):
        make_user("ﬁona", email="mallory@example.com")


@pytest.mark.parametrize(
    ("username", "email", "field"),
    [
        ("", "mallory@example.com", "username"),
        (" ", "mallory@example.com", "username"),
        ("mallory@example.com", "", "username"),
        ("mal lory", "", "username"),
        ("mal\u200dlory", "", "username"),
        ("m" * 255, "", "username"),
        ("mallory", "not an address", "email"),
        ("mallory", "mallory@", "email"),
        ("mallory", "mallory\u00ad@example.com", "email"),
    ],
)
def test_a_name_that_is_not_allowed_makes_no_user(username, email, field):
    with pytest.raises(ValidationError) as refusal:
        User.objects.create_user(username, email, PASSWORD)

    assert [*refusal.value.message_dict] == [field]
    assert not User.objects.exists()


def test_a_refusal_names_the_field_and_the_character():
    with pytest.raises(ValidationError) as refusal:
        User.objects.create_user("mal\u200dlory", "mallory@example.com", PASSWORD)

    assert refusal.value.message_dict == {"username": ["The character U+200D cannot be seen and is not allowed in a name."]}


@pytest.mark.parametrize(
    ("username", "email"),
    [(wide("ALICE"), "mallory@example.com"), ("mallory", "ALICE@example.com")],
)
def test_the_database_refuses_a_taken_name_that_passed_no_check(alice, username, email):
    with pytest.raises(IntegrityError), transaction.atomic():
        User(username=username, email=email).save()

    assert User.objects.count() == 1


def test_the_database_refuses_a_user_without_a_name():
    with pytest.raises(IntegrityError), transaction.atomic():
        User(username="").save()


def test_a_user_may_keep_their_name_in_another_spelling(alice):
    alice.username = "ALICE"
    alice.full_clean()
    alice.save()

    assert stored(alice).username == "ALICE"


@pytest.mark.checklist(42)
@pytest.mark.parametrize(
    "typed", ["alice", "ALICE", " alice ", wide("alice"), "alice@example.com", "ALICE@Example.com", wide("alice@example.com")]
)
def test_a_user_is_found_by_either_identifier_in_any_spelling(alice, bob, typed):
    assert User.objects.get_by_natural_key(typed) == alice


@pytest.mark.parametrize("typed", ["mallory", "mallory@example.com", "al\u200dice", "", " ", None, "a" * 300, "al\x00ice"])
def test_nobody_is_found_under_a_name_that_nobody_has(alice, typed):
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key(typed)


def test_an_email_address_is_no_user_name(make_user):
    make_user("alice", email="bob@example.com")
    bob = make_user("bob", email="")

    assert User.objects.get_by_natural_key("bob") == bob


def test_setting_a_password_raises_the_epoch(alice):
    before = alice.session_epoch

    alice.set_password("another horse battery")

    assert alice.session_epoch == before + 1


def test_setting_no_password_raises_the_epoch_and_lets_nobody_in(alice):
    before = alice.session_epoch

    alice.set_password(None)
    alice.save()

    assert stored(alice).session_epoch == before + 1
    assert not stored(alice).has_usable_password()
    assert authenticate(username="alice", password=PASSWORD) is None


def test_a_raised_epoch_ends_sessions_of_the_browser(alice):
    before = alice.get_session_auth_hash()

    alice.session_epoch += 1

    assert alice.get_session_auth_hash() != before


def test_another_password_ends_sessions_of_the_browser_even_at_the_same_epoch(alice):
    before, epoch = alice.get_session_auth_hash(), alice.session_epoch

    alice.set_password("another horse battery")
    alice.session_epoch = epoch

    assert alice.get_session_auth_hash() != before


def test_sessions_of_the_browser_outlive_a_new_secret_key_that_keeps_the_old_one(alice, settings):
    before = alice.get_session_auth_hash()

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new secret of the tests", [settings.SECRET_KEY]

    assert alice.get_session_auth_hash() != before
    assert [*alice.get_session_auth_fallback_hash()] == [before]


@pytest.mark.checklist(88)
def test_the_id_of_a_deleted_user_is_given_to_nobody_else(make_user):
    alice = make_user("alice")
    first = alice.pk
    alice.delete()

    second = make_user("alice").pk

    assert second != first
    assert not User.objects.filter(pk=first).exists()


@pytest.mark.checklist(88)
def test_an_id_is_random_and_says_nothing_of_others(make_user):
    ids = [make_user(name).pk for name in ("alice", "bob", "mallory")]

    assert {type(each) for each in ids} == {uuid.UUID}
    assert {each.version for each in ids} == {4}


def test_createsuperuser_makes_staff_without_asking(monkeypatch, capsys):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", interactive=False, username="Root", email="Root@Example.com")

    root = User.objects.get_by_natural_key("root@example.com")
    assert (root.is_staff, root.is_superuser, root.is_active) == (True, True, True)
    assert root.check_password(PASSWORD)
    assert PASSWORD not in "".join(capsys.readouterr())


@pytest.mark.parametrize(("username", "email"), [("ALICE", "root@example.com"), ("root", "Alice@example.com"), ("root@example.com", "")])
def test_createsuperuser_refuses_a_name_that_is_taken_or_not_allowed_in_one_line(alice, monkeypatch, username, email):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    with pytest.raises(CommandError) as refusal:
        call_command("createsuperuser", interactive=False, username=username, email=email)

    assert len(str(refusal.value).splitlines()) == 1
    assert not User.objects.filter(is_superuser=True).exists()
