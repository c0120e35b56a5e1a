"""What manage.py doctor finds, and how it says so: each check on what is well and on what is not, with real stores."""

import json
import shutil
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from accounts import clock, hash_slots, libargon2, outbox
from accounts.clock import Instant
from accounts.models import Outbox
from authserver import __version__
from oauth import housekeeping, instances, key_rotation, key_rows
from oauth.doctor import database, findings, neighbours, outside, rounds, work
from oauth.doctor.asking import Unreachable
from oauth.doctor.findings import Group, Level, ok, warn
from oauth.models import Housekeeping, Instance, SigningKey
from tests.accounts.smtp import mail_server
from tests.postgres import free_port
from tests.redis import redis_server, slowly
from tests.staff import enrol

pytestmark = pytest.mark.django_db
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has none of it")


def found(check):
    """Level and text of the only finding."""
    [finding] = check()
    assert bool(finding.mend) is (finding.level is not Level.OK)
    return finding.level, finding.found


@pytest.fixture
def run(monkeypatch):
    """What the command prints, and whether it ended well, with these checks in place of all."""

    def call(*groups, **options):
        monkeypatch.setattr(rounds, "ALL", groups)
        output, is_well = StringIO(), True
        try:
            call_command("doctor", stdout=output, **options)
        except CommandError as error:
            is_well = error.returncode != 1
        return output.getvalue(), is_well

    return call


def well():
    yield ok("well", "All is well.")


def odd():
    yield warn("odd", "Something is odd.", mend="Look at it.")


def broken():
    raise KeyError("a secret that a traceback would tell")
    yield


def away():
    raise OperationalError("postgresql://user:password@host is away")
    yield


# --- The command ---------------------------------------------------------------------------------


def test_it_says_what_there_is_and_how_to_mend_it(run):
    output, is_well = run(Group((), (well, odd)))

    assert is_well
    assert output.splitlines() == [
        "ok    well             All is well.",
        "warn  odd              Something is odd.",
        "                       -> Look at it.",
        "1 ok, 1 to look at, 0 failed",
    ]


def test_a_warning_ends_it_with_1_when_it_is_strict(run):
    assert run(Group((), (odd,)))[1] is True
    assert run(Group((), (odd,)), strict=True)[1] is False
    assert run(Group((), (well,)), strict=True)[1] is True


def test_a_check_that_crashes_is_a_finding_without_its_text_and_the_others_go_on(run):
    output, is_well = run(Group((), (broken, away, well)))

    assert not is_well
    assert "This check itself failed (KeyError)." in output
    assert "The database did not answer (OperationalError)." in output
    assert "All is well." in output
    assert "secret" not in output
    assert "password" not in output


def silent():
    raise Unreachable("the connection is refused")
    yield


def test_a_server_that_is_gone_between_two_checks_is_told_as_such(run):
    output, is_well = run(Group((), (silent,)))

    assert not is_well
    assert "fail  silent           There was no answer: the connection is refused." in output


def test_with_traceback_a_check_may_crash(run):
    with pytest.raises(KeyError):
        run(Group((), (broken,)), traceback=True)
    with pytest.raises(OperationalError, match="is away"):
        run(Group((), (away,)), traceback=True)


def test_what_makes_no_sense_any_more_is_not_looked_at_and_that_is_told(run):
    output, is_well = run(Group((away,), (well, odd)), Group((), (well,)))

    assert not is_well
    assert "Not looked at for that reason: well, odd." in output
    assert output.count("All is well.") == 1


def test_programs_get_one_object(run):
    output, is_well = run(Group((), (well, odd, broken)), json=True)

    told = json.loads(output)
    assert not is_well
    assert (told["ok"], told["warn"], told["fail"]) == (1, 1, 1)
    assert told["findings"][1] == {"check": "odd", "level": "warn", "found": "Something is odd.", "mend": "Look at it."}


def test_every_check_is_in_the_rounds_once():
    names = [check.__name__ for group in rounds.ALL for check in (*group.gates, *group.checks)]
    checks = [
        name
        for module in (database, neighbours, outside, work)
        for name, member in vars(module).items()
        if not name.startswith(("_", "judge_")) and getattr(member, "__module__", "") == module.__name__ and name.islower()
    ]

    assert sorted(names) == sorted(checks)


def test_no_secret_is_in_what_it_says_whatever_is_wrong(run, settings, other):
    """Every check, with all that it asks away or broken."""
    every = {name: f"{name} of a test, which nobody may see" for name in ("SECRET_KEY", "METRICS_TOKEN", "CLIENT_REGISTRATION_TOKEN")}
    for name, value in every.items():
        setattr(settings, name, value)
    settings.TOKEN_KEYS = settings.KEY_ENCRYPTION_KEYS = ("keys of a test, which nobody may see",)
    settings.REDIS_URL = f"redis://:password-of-redis@127.0.0.1:{free_port()}/0"
    settings.CACHES |= {"redis": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": [settings.REDIS_URL]}}
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = neighbours.SMTP, "127.0.0.1", free_port()
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "mailer", "password-of-mail"
    settings.JWT_ISSUER = f"http://localhost:{free_port()}"
    other(**{instances.SECRETS: "another"})
    with override_settings(KEY_ENCRYPTION_KEYS=("another key, with which the keys are encrypted",)):
        key_rotation.maintain()

    output, is_well = run(*rounds.ALL)
    as_json, _ = run(*rounds.ALL, json=True)

    assert not is_well
    for check in ("signing keys", "instances", "redis", "mail server", "issuer"):
        assert f"fail  {check} " in output, output
    shown = output + as_json
    digests = [value for row in Instance.objects.all() for value in row.fingerprints.values()]
    for secret in (*every.values(), *settings.TOKEN_KEYS, "password-of-redis", "password-of-mail", "nobody may see", *digests):
        assert secret not in shown


# --- The database --------------------------------------------------------------------------------


def test_a_database_that_answers_is_well():
    level, text = found(database.database)

    assert level is Level.OK
    assert "and takes writes" in text


def test_a_database_that_is_slow_is_told():
    assert database.judge_database(0.049, name="PostgreSQL", is_read_only=False).level is Level.OK
    assert database.judge_database(0.051, name="PostgreSQL", is_read_only=False).level is Level.WARN


@on_postgresql
def test_a_replica_takes_no_writes():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")

    assert found(database.database) == (Level.FAIL, "It takes no writes.")


def test_a_migration_that_was_not_applied_is_named():
    assert found(database.migrations) == (Level.OK, "All are applied.")

    last = MigrationRecorder(connection).migration_qs.filter(app="oauth").order_by("name").last()
    last.delete()

    assert found(database.migrations) == (Level.FAIL, f"Not applied: oauth.{last.name}.")


def test_of_an_empty_database_not_every_migration_is_named():
    assert database.judge_migrations(list("abcde")).found == "Not applied: a, b, c, d, e."
    assert database.judge_migrations(list("abcdefgh")).found == "Not applied: a, b, c, d, e, and 3 more."


def test_the_clocks_of_this_machine_agree():
    assert found(database.clocks)[0] is Level.OK


@pytest.mark.parametrize(
    ("seconds", "level"), [(0.4, Level.OK), (-14, Level.OK), (16, Level.WARN), (-59, Level.WARN), (61, Level.FAIL), (-3600, Level.FAIL)]
)
def test_clocks_may_differ_up_to_the_skew(seconds, level):
    finding = database.judge_clocks(timedelta(seconds=seconds), allowed=timedelta(seconds=60))

    assert finding.level is level
    assert ("ahead of" if seconds > 0 else "behind") in finding.found


@on_postgresql
@pytest.mark.parametrize(
    ("options", "level"),
    [
        ("-c statement_timeout=2000 -c lock_timeout=1000", Level.OK),
        ("-c statement_timeout=0 -c lock_timeout=1000", Level.FAIL),
        ("-c statement_timeout=90000 -c lock_timeout=1000", Level.FAIL),
        ("", Level.FAIL),
    ],
)
def test_the_limits_are_those_of_a_connection_as_the_server_makes_it(settings, options, level):
    settings.DATABASE_LIMITS = options

    assert found(database.limits)[0] is level


def test_limits_that_something_in_between_has_changed_are_told():
    finding = database.judge_limits(
        {"statement_timeout": 5000, "lock_timeout": 1000}, asked={"statement_timeout": 2000, "lock_timeout": 1000}
    )

    assert finding.level is Level.WARN
    assert "statement_timeout is 5000 ms" in finding.found


def test_the_table_of_sessions_has_its_parameters():
    assert found(database.autovacuum)[0] is Level.OK


@on_postgresql
@pytest.mark.parametrize(("statement", "level"), [("SET (autovacuum_enabled = false)", Level.FAIL), ("RESET (fillfactor)", Level.WARN)])
def test_a_table_of_sessions_that_is_not_cleaned_up_is_told(statement, level):
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE oauth_session {statement}")

    assert found(database.autovacuum)[0] is level


def test_there_is_room_on_the_disk_of_this_machine():
    level, text = found(database.disk)

    assert level in {Level.OK, Level.WARN}
    assert " MB" in text


@pytest.mark.parametrize(("free", "level"), [(50 << 30, Level.OK), (900 << 20, Level.WARN), (100 << 20, Level.FAIL), (0, Level.FAIL)])
def test_a_disk_that_is_nearly_full_is_told(free, level):
    assert database.judge_disk(free, folder="/data", taken=1 << 20).level is level


# --- What the server does by itself --------------------------------------------------------------


@pytest.fixture
def rows():
    """A key that signs, and the one after it."""
    key_rotation.maintain()
    return list(SigningKey.objects.order_by("sequence"))


def test_a_key_that_signs_and_one_after_it_are_well(rows):
    assert found(work.signing_keys)[0] is Level.OK
    assert found(work.key_ages)[0] is Level.OK


def test_without_a_key_there_are_no_tokens():
    assert found(work.signing_keys) == (Level.FAIL, "There is none: no token can be issued.")
    assert found(work.key_ages)[0] is Level.WARN


def test_a_key_that_does_not_open_is_named(rows, settings):
    settings.KEY_ENCRYPTION_KEYS = ("another key, with which nothing was encrypted",)

    level, text = found(work.signing_keys)

    assert level is Level.FAIL
    assert rows[0].kid in text


def test_seeds_of_codes_that_do_not_open_are_counted(make_user, settings):
    assert found(work.second_factors) == (Level.OK, "Nobody has codes.")
    enrol(make_user("person"))
    assert found(work.second_factors) == (Level.OK, "The encryption keys open all 2 seeds of codes.")
    settings.KEY_ENCRYPTION_KEYS = ("another key, with which nothing was encrypted",)

    assert found(work.second_factors) == (Level.FAIL, "2 of 2 seeds open with none of the encryption keys.")


def test_a_key_without_one_after_it_is_told(rows):
    rows[1].delete()

    assert found(work.signing_keys)[0] is Level.WARN


def test_a_rotation_that_did_not_happen_is_told(rows, settings, later):
    later(days=settings.KEY_ROTATION_DAYS - 1)
    assert found(work.key_ages)[0] is Level.OK

    later(days=settings.KEY_ROTATION_DAYS + 1)

    level, text = found(work.key_ages)
    assert level is Level.WARN
    assert "should have been followed at" in text


def test_a_key_that_never_ends_is_told_after_a_year(rows):
    schedule, lead = key_rows.current(), timedelta(days=1)
    at = {days: clock.now() + timedelta(days=days) for days in (300, 400)}

    assert work.judge_key_ages(schedule, now=at[300], every=None, lead=lead).level is Level.OK
    assert work.judge_key_ages(schedule, now=at[400], every=None, lead=lead).level is Level.WARN


def test_a_round_of_housekeeping_that_nobody_does_is_told(settings, later):
    assert found(work.housekeeping) == (Level.WARN, "No round was done yet.")
    housekeeping.round_if_due()
    assert found(work.housekeeping)[0] is Level.OK
    later(hours=26)
    assert found(work.housekeeping)[0] is Level.WARN

    Housekeeping.objects.update(held_until=Instant(plus=timedelta(minutes=5)))

    assert found(work.housekeeping)[0] is Level.OK  # somebody is at it
    settings.HOUSEKEEPING = False
    assert "manage.py prune" in found(work.housekeeping)[1]


def test_mails_that_wait_for_long_are_told(alice, later):
    outbox.put("password_changed", user=alice, email="alice@example.com", language="en")
    assert found(work.mails_that_wait)[0] is Level.OK

    later(minutes=20)

    assert found(work.mails_that_wait) == (Level.WARN, "1 for longer than 15 minutes.")
    Outbox.objects.all().delete()


def test_a_hash_takes_its_time_on_this_machine(settings):
    level, text = found(work.hashing)

    assert level in {Level.OK, Level.WARN}
    assert f" {hash_slots.slots.slots * settings.PROCESSES} are hashed at once" in text


@pytest.mark.parametrize(
    ("seconds", "slots", "waiting", "level"),
    [(0.02, 1, 2, Level.OK), (0.6, 2, 2, Level.WARN), (0.4, 1, 2, Level.OK), (0.4, 1, 3, Level.WARN), (0.4, 2, 3, Level.OK)],
)
def test_hashes_that_take_too_long_for_those_who_wait_are_told(seconds, slots, waiting, level):
    assert work.judge_hashing(seconds, slots=slots, waiting=waiting, processes=1).level is level


@pytest.fixture
def name_argon2(settings):
    """Name a library that computes password hashes, as an operator would."""

    def name(value):
        settings.LIBARGON2 = str(value)
        libargon2.named.cache_clear()

    yield name
    libargon2.named.cache_clear()


@pytest.mark.parametrize(
    ("value", "level", "text"),
    [
        ("", Level.OK, "libsodium computes."),
        ("/nowhere/libargon2.so", Level.WARN, "/nowhere/libargon2.so cannot be loaded here"),
        ("libc.so.6", Level.FAIL, "the server does not start: it has no argon2_ctx"),
    ],
    ids=["none", "missing", "another library"],
)
def test_it_is_told_who_computes_hashes(name_argon2, value, level, text):
    name_argon2(value)

    told, said = found(work.argon2)

    assert told is level
    assert text in said


def test_what_is_no_argon2_is_told_and_the_rest_is_looked_at(run, name_argon2):
    name_argon2("libc.so.6")

    told, is_well = run(Group(gates=(), checks=(work.hashing, work.argon2, work.signing_keys)), json=True)

    assert not is_well
    assert [each["check"] for each in json.loads(told)["findings"]] == ["argon2", "signing keys"]


@pytest.mark.parametrize(("seconds", "level"), [(0.01, Level.OK), (0.02, Level.OK), (0.03, Level.WARN)])
def test_a_library_that_is_slower_than_libsodium_is_told(seconds, level):
    assert work.judge_argon2("libargon2", seconds, of_libsodium=0.02, mend="Build it.").level is level


# --- Whom it works with --------------------------------------------------------------------------


@pytest.fixture
def other():
    """Another instance that runs."""

    def make(pk="other", *, host="b.example.com", uses_redis=False, version=__version__, **changed):
        row = {"host": host, "port": 8003, "version": version, "uses_redis": uses_redis, "started_at": Instant(), "seen_at": Instant()}
        return Instance.objects.create(pk=pk, fingerprints=instances.fingerprints() | changed, **row)

    return make


def levels(check):
    return {(finding.level, finding.found) for finding in check()}


def test_instances_that_agree_are_well(other):
    assert found(neighbours.instances) == (Level.WARN, "None was seen within the last minute.")

    other()

    assert found(neighbours.instances)[0] is Level.OK


def test_settings_secrets_and_versions_that_differ_are_told(other):
    other("a", host="a.example.com")
    other("b", version="0.0.9", JWT_AUDIENCE="another", **{instances.SECRETS: "another"})

    told = {(finding.level, finding.found) for finding in neighbours.instances()}

    told = {each for each in told if "SQLite" not in each[1]}
    assert told == {
        (
            Level.WARN,
            "AUTH_SERVICE__JWT_AUDIENCE is not the same everywhere. These go together: a.example.com, this command; b.example.com.",
        ),
        (Level.FAIL, "The secrets are not the same everywhere. These go together: a.example.com, this command; b.example.com."),
        (Level.WARN, f"The version is not the same everywhere: 0.0.9 (b.example.com); {__version__} (a.example.com, this command)."),
    }


def test_a_server_that_was_not_restarted_after_an_update_is_told(other):
    other(version="0.0.9")

    assert found(neighbours.instances) == (
        Level.WARN,
        f"The version is not the same everywhere: 0.0.9 (b.example.com); {__version__} (this command).",
    )


def test_a_sqlite_serves_one_instance(other):
    other("a")
    other("b")

    assert any("run on one SQLite" in text for _, text in levels(neighbours.instances)) is (connection.vendor == "sqlite")


def test_without_redis_one_process_is_well_and_more_are_not(other, settings):
    settings.PROCESSES = 1
    other("a")
    assert found(neighbours.redis)[0] is Level.OK

    other("b")

    assert found(neighbours.redis) == (Level.WARN, "There is none: 2 processes count what an address may send, each for itself.")


def test_one_redis_for_all_is_well_and_one_that_does_not_know_an_instance_is_not(other, redis):
    instances.write()
    assert found(neighbours.redis)[0] is Level.OK

    row = other(uses_redis=True)

    level, text = found(neighbours.redis)
    assert level is Level.FAIL
    assert "b.example.com" in text
    Instance.objects.filter(pk=row.pk).update(uses_redis=False)
    assert found(neighbours.redis) == (Level.WARN, "These instances have none: b.example.com.")


def test_a_redis_that_is_gone_fails_and_one_that_is_slow_is_told(settings):
    with redis_server() as server:
        with slowly(server.port, seconds=0.03) as port:
            use_redis(settings, port)
            assert found(neighbours.redis)[0] is Level.WARN
        server.kill()
        use_redis(settings, server.port)

        level, text = found(neighbours.redis)

    assert level is Level.FAIL
    assert "ConnectionError" in text or "Interrupted" in text


def use_redis(settings, port):
    from authserver import caches

    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    settings.CACHES = caches.settings_of(settings.REDIS_URL)


def test_a_mail_server_is_asked_and_sent_nothing(settings):
    with mail_server() as server:
        use_mail(settings, server.port)
        assert found(neighbours.mail_server) == (Level.OK, f"127.0.0.1:{server.port} answers.")
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = "mailer"

        level, text = found(neighbours.mail_server)

        assert (level, server.mails) == (Level.FAIL, [])  # it takes no password
        assert "SMTPNotSupportedError" in text
        assert b"NOOP\r\n" in [line.upper() for line in server.seen]
    assert found(neighbours.mail_server)[0] is Level.FAIL  # nobody is there any more


def test_a_password_in_clear_for_the_mail_server_is_told():
    assert neighbours.judge_mail_server(250, place="mail:25", is_in_clear=True).level is Level.WARN
    assert neighbours.judge_mail_server(421, place="mail:25", is_in_clear=False).level is Level.FAIL


def test_without_a_mail_server_nobody_resets_a_password(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    assert found(neighbours.mail_server)[0] is Level.OK

    settings.DEVELOPMENT = False

    assert found(neighbours.mail_server)[0] is Level.WARN


def use_mail(settings, port):
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = neighbours.SMTP, "127.0.0.1", port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False


@pytest.mark.parametrize(
    ("hosts", "is_development", "level"),
    [
        ([], True, Level.OK),
        ([], False, Level.WARN),
        (["auth.example.com"], False, Level.WARN),
        ([".example.com"], False, Level.WARN),
        (["admin.internal"], False, Level.OK),
    ],
)
def test_an_admin_that_everybody_reaches_is_told(hosts, is_development, level, settings):
    settings.ADMIN_HOSTS, settings.DEVELOPMENT, settings.JWT_ISSUER = hosts, is_development, "https://auth.example.com"

    assert found(neighbours.admin)[0] is level


def test_the_free_room_is_that_of_the_folder_of_the_file(monkeypatch):
    asked = []
    monkeypatch.setattr(database.shutil, "disk_usage", lambda path: asked.append(path) or shutil._ntuple_diskusage(1, 1, 0))

    level, _ = found(database.disk)

    if connection.vendor == "sqlite":
        assert level is Level.FAIL
        assert (asked[0] / "test.db").exists()
    else:
        assert asked == []


def test_a_finding_says_how_to_mend_it_unless_all_is_well():
    assert findings.ok("a", "b").mend == ""
    assert findings.fail("a", "b", mend="c").mend == "c"
