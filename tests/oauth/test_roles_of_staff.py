"""The groups that staff are put into: what each may, that a new database has them, and that what staff decided of them stays."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from tests.staff import give_role, make_roles, roles_of_staff

pytestmark = pytest.mark.django_db

NAMES = {"viewer", "support", "client-manager", "security-admin"}


def rights_of(name):
    pairs = Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in pairs}


@pytest.fixture
def new_database():
    """Nothing is in it but tables."""
    for model in (Group, Permission, ContentType):
        model.objects.all().delete()
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


def test_a_new_database_gets_the_roles_before_django_made_any_permission(new_database):
    make_roles()

    assert {*Group.objects.values_list("name", flat=True)} == NAMES
    assert {name: rights_of(name) for name in NAMES} == roles_of_staff.ROLES


def test_making_them_again_changes_nothing():
    make_roles()
    before = {name: (Group.objects.get(name=name).pk, rights_of(name)) for name in NAMES}

    make_roles()

    assert {name: (Group.objects.get(name=name).pk, rights_of(name)) for name in NAMES} == before


def test_what_staff_decided_of_a_role_stays():
    make_roles()
    role, extra = Group.objects.get(name="support"), Permission.objects.get(codename="export_audit")
    role.permissions.set([extra])

    make_roles()

    assert rights_of("support") == {"accounts.export_audit"}


def test_each_role_may_what_a_viewer_may_and_its_own():
    rights = roles_of_staff.ROLES
    viewers = rights["viewer"]

    assert all(name.split(".")[1].startswith("view_") for name in viewers)
    assert {role: rights[role] >= viewers for role in NAMES} == dict.fromkeys(NAMES, True)
    assert rights["support"] - viewers == {
        *("accounts.unlock_user", "accounts.send_password_reset", "accounts.sign_out_user", "oauth.revoke_session")
    }
    assert not any("client" in name for name in (rights["support"] | rights["security-admin"]) - viewers)


def test_no_role_may_what_is_an_owners(make_user):
    support, owner = give_role(make_user("carol"), "security-admin"), give_role(make_user("root"), "owner")

    assert not support.has_perm("oauth.end_all_sessions")
    assert not any(support.has_perm(f"auth.{act}_{model}") for act in ("add", "change", "delete") for model in ("group", "permission"))
    assert owner.has_perm("oauth.end_all_sessions")
