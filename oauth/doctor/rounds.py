"""All that the doctor looks at, in the order in which it is told."""

from oauth.doctor import database, neighbours, outside, work
from oauth.doctor.findings import Group

ALL = (
    Group(
        gates=(database.database, database.migrations),
        checks=(
            database.clocks,
            database.limits,
            database.autovacuum,
            database.disk,
            work.signing_keys,
            work.key_ages,
            work.second_factors,
            work.housekeeping,
            work.mails_that_wait,
            neighbours.instances,
            neighbours.redis,
        ),
    ),
    Group(gates=(), checks=(work.hashing, work.argon2, neighbours.mail_server, neighbours.admin)),
    Group(gates=(outside.issuer,), checks=(outside.key_set, outside.https, outside.plain_http, outside.proxy)),
)
