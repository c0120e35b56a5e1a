"""What a sign-in by password leaves: the user's stamp, the lane that starts anew, and the rows that come with it.

On PostgreSQL that is one statement, for what each sign-in would pay otherwise are five more round trips.
"""

from collections.abc import Sequence
from functools import cache

from accounts import clock, login_lanes, statements
from accounts.lockout import Reservation
from accounts.models import User
from accounts.statements import Insert

# SECURITY: is_active and session_epoch again, at the moment of writing.
_MAY_SIGN_IN = "accounts_user.id = %(user)s AND accounts_user.is_active AND accounts_user.session_epoch = %(user_epoch)s"


def stamp(user: User) -> bool:
    """Write when they signed in, in the caller's transaction. False for who was disabled or signed out everywhere since they were read."""
    sql = f"UPDATE accounts_user SET last_sign_in_at = {clock.instant_sql('now')} WHERE {_MAY_SIGN_IN}"  # noqa: S608 - constants
    return statements.execute(sql, _parameters(user)) == 1


def write_at_once(user: User, reservation: Reservation, rows: Sequence[Insert]) -> bool:
    """All of it, where it is as plain as it mostly is; False, and nothing has changed, where the steps have to be taken one by one.

    Plain is a user who may still sign in, in a lane that is not locked and whose failures the audit knows of.
    """
    if statements.vendor() != "postgresql":
        return False
    parameters = (
        _parameters(user)
        | login_lanes.forgiven_parameters()
        | {"digest": reservation.digest, "source": reservation.source, "attempt": reservation.id}
    )
    for number, row in enumerate(rows):
        parameters |= {_in_row(number, name): value for name, value in row.parameters.items()}
    sql = _at_once_sql(tuple(row.sql for row in rows), is_everywhere=login_lanes.EVERYWHERE in reservation.lanes)
    return statements.fetch_one(sql, parameters) is not None


def _parameters(user: User) -> dict[str, object]:
    return {"user": statements.uuid_parameter(user.pk), "user_epoch": user.session_epoch, "now": clock.instant_parameter()}


def _in_row(number: int, name: str) -> str:
    """A row's parameter within the one statement: two rows may call theirs alike, and mean different things."""
    return f"row_{number}_{name}"


@cache
def _at_once_sql(inserts: tuple[str, ...], *, is_everywhere: bool) -> str:
    lane, now = login_lanes.TABLE, clock.instant_sql("now")
    named = [insert.replace("%(", "%(" + _in_row(number, "")) for number, insert in enumerate(inserts)]
    rows = "".join(f", row_{number} AS ({insert} FROM held)" for number, insert in enumerate(named))
    released = f"UPDATE {lane} SET {login_lanes.released()} FROM held WHERE digest = %(digest)s AND source = '{login_lanes.EVERYWHERE}'"  # noqa: S608 - constants
    # Both rows are held before anything is written, in the order of the steps: their conditions are asked again after a wait for them.
    return f"""
        WITH held AS (
            SELECT accounts_user.id, {lane}.id AS lane_id FROM accounts_user, {lane}
            WHERE {_MAY_SIGN_IN}
              AND {lane}.digest = %(digest)s AND {lane}.source = %(source)s AND {login_lanes.is_open()} AND {lane}.unrecorded = 0
            FOR NO KEY UPDATE OF accounts_user, {lane}
        ),
        stamped AS (UPDATE accounts_user SET last_sign_in_at = {now} FROM held WHERE accounts_user.id = held.id),
        forgiven AS (UPDATE {lane} SET {login_lanes.forgiven()} FROM held WHERE {lane}.id = held.lane_id)
        {f", released AS ({released})" if is_everywhere else ""}{rows}
        SELECT 1 FROM held"""  # noqa: S608 - composed of constants
