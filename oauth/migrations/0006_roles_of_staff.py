"""The groups that staff are put into: viewer, support, client-manager and security-admin. An owner is a superuser and needs none.

A group that stands there under one of these names keeps what it was given: somebody decided it. Roles are therefore made once, and
what staff change in them stays. Nothing is undone backwards: the groups may have members.
"""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEWER = {
    *("accounts.view_user", "accounts.view_role", "accounts.view_logincounter", "accounts.view_auditevent", "accounts.view_refusal"),
    *("oauth.view_session", "oauth.view_client", "oauth.view_signingkey"),
}
SUPPORT = {*VIEWER, "accounts.unlock_user", "accounts.send_password_reset", "accounts.sign_out_user", "oauth.revoke_session"}
ROLES = {
    "viewer": VIEWER,
    "support": SUPPORT,
    "client-manager": {*VIEWER, "oauth.add_client", "oauth.change_client", "oauth.rotate_client_secret", "oauth.disable_client"},
    "security-admin": {
        *SUPPORT,
        *("accounts.disable_user", "accounts.change_user", "accounts.export_audit"),
        *("accounts.add_role", "accounts.change_role", "accounts.delete_role"),
        *("oauth.rotate_signing_key", "oauth.revoke_signing_key"),
    },
}


def make_roles(apps: Any, schema_editor: Any) -> None:
    database = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(database)
    found = {name: groups.get_or_create(name=name) for name in ROLES}
    for name, (group, is_new) in found.items():
        if is_new:
            group.permissions.add(*permissions_of(apps, database, ROLES[name]))


def permissions_of(apps: Any, database: str, names: set[str]) -> list[Any]:
    """Made here where they are missing: on a new database Django makes them after the last migration."""
    permissions = apps.get_model("auth", "Permission").objects.using(database)
    found = named(permissions, names)
    if len(found) < len(names):
        for app in ("accounts", "oauth"):
            config = apps.get_app_config(app)
            # That of a migration says that it has no models, and would be passed over.
            known, config.models_module = getattr(config, "models_module", None), True
            create_permissions(config, apps=apps, using=database, verbosity=0)
            config.models_module = known
        found = named(permissions, names)
    return [found[name] for name in sorted(names)]


def named(permissions: Any, names: set[str]) -> dict[str, Any]:
    rows = permissions.filter(content_type__app_label__in=("accounts", "oauth")).select_related("content_type")
    by_name = {f"{row.content_type.app_label}.{row.codename}": row for row in rows}
    return {name: by_name[name] for name in names if name in by_name}


class Migration(migrations.Migration):
    dependencies = [
        ("oauth", "0005_each_act_has_a_permission_of_its_own"),
        ("accounts", "0009_each_act_has_a_permission_of_its_own"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
