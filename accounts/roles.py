"""The names of a user's application roles, as one SQL expression for whoever selects or updates beside it."""

import json

from django.db import connection

_AGGREGATE = {
    # Names may hold any character, so no separator would do: JSON, in each database's own words.
    "postgresql": "jsonb_agg(accounts_role.name ORDER BY accounts_role.name)",
    "sqlite": "json_group_array(accounts_role.name)",
}


def names_sql(*, user_column: str) -> str:
    """A sub-select that gives a JSON array of role names; `user_column` holds the user's id."""
    return (
        f"(SELECT {_AGGREGATE[connection.vendor]} FROM accounts_user_roles"  # noqa: S608 - composed of constants
        " JOIN accounts_role ON accounts_role.id = accounts_user_roles.role_id"
        f" WHERE accounts_user_roles.user_id = {user_column})"
    )


def parse_names(value: str | None) -> tuple[str, ...]:
    return tuple(sorted(json.loads(value))) if value else ()
