"""The names of a user's roles, in one statement on either database, whatever characters they hold (accounts/roles.py)."""

import pytest
from django.db import connection
from django.db.models import Exists, OuterRef

from accounts.models import Role, User
from accounts.roles import names_sql, parse_names

pytestmark = pytest.mark.django_db

AWKWARD = [
    "author, editor",
    'the "quoted"',
    "the 'quoted'",
    "back\\slash",
    "[]",
    '["author"]',
    "null",
    "100 %s",
    "%(name)s",
    "рецензент",
    "編集者",
    "🔑 keeper",
    "e\u0301criteur",
    "two\nlines",
    "tab\tbed",
    "<b>bold</b>",
    " ",
    "r" * 64,
]


def names_of(user):
    return parse_names(User.objects.with_role_names().get(pk=user.pk).role_names_json)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_name_comes_back_as_it_was_given(make_user, name):
    alice = make_user("alice", roles=(name,))

    assert names_of(alice) == (name,)


def test_many_awkward_names_come_back_each_for_itself(make_user):
    alice = make_user("alice", roles=tuple(AWKWARD))

    assert names_of(alice) == tuple(sorted(AWKWARD))


def test_names_are_in_the_same_order_on_every_database(make_user):
    alice = make_user("alice", roles=("Zoe", "ann", "Ängström", "zoe", "Ann", "10", "9"))

    assert names_of(alice) == ("10", "9", "Ann", "Zoe", "ann", "zoe", "Ängström")


def test_a_user_without_roles_has_no_names(bob):
    assert names_of(bob) == ()


def test_each_user_has_their_own_names(alice, bob, make_user):
    make_user("mallory", roles=("author",))

    found = {user.username: parse_names(user.role_names_json) for user in User.objects.with_role_names()}

    assert found == {"alice": ("author", "reviewer"), "bob": (), "mallory": ("author",)}


def test_names_come_with_their_users_in_one_statement(alice, bob, count_statements):
    with count_statements() as statements:
        [parse_names(user.role_names_json) for user in User.objects.with_role_names()]

    assert len(statements) == 1


def test_names_can_be_selected_beside_other_conditions(alice, bob):
    has_roles = Exists(Role.objects.filter(users=OuterRef("pk")))

    users = User.objects.with_role_names().filter(has_roles, is_active=True).order_by("-username")

    assert [(user.username, parse_names(user.role_names_json)) for user in users] == [("alice", ("author", "reviewer"))]


def test_names_can_be_returned_by_an_update(alice):
    sql = f"UPDATE accounts_user SET name = %s WHERE username_canonical = %s RETURNING {names_sql(user_column='accounts_user.id')}"

    with connection.cursor() as cursor:
        cursor.execute(sql, ["Alice Smith", "alice"])
        (value,) = cursor.fetchone()

    assert parse_names(value) == ("author", "reviewer")


@pytest.mark.parametrize("value", [None, "", "[]"])
def test_no_names_are_none(value):
    assert parse_names(value) == ()


def test_an_application_role_gives_no_permission_of_staff(make_user):
    alice = make_user("alice", roles=("admin", "superuser"))

    assert not alice.is_staff
    assert alice.get_all_permissions() == set()
