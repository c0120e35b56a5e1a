"""Users come in from a file and go out to one (manage.py import_users, export_users; accounts/bulk.py)."""

import io
import json
import os
import stat
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from accounts import bulk, bulk_plan, user_lines
from accounts.clock import Instant
from accounts.models import AuditEvent, OneTimeToken, Role, User
from tests.accounts.spellings import wide
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

ALICE_ID = "6f2f1c4e-9d3b-4c55-8a4e-2f6f7a0b1c2d"
BCRYPT = "$2b$12$" + "KIXQDhhbAWrXHFrpBa0Jqe" + "abcdefghijklmnopqrstuvwxyz0123u"
ANOTHER_BCRYPT = "$2b$12$" + "KIXQDhhbAWrXHFrpBa0Jqe" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123u"
STORED = f"bcrypt${BCRYPT}"


class Ran:
    """What a command printed, and why it stopped if it did."""

    def __init__(self, command, *arguments, stdout=None):
        self.stdout, self.stderr, self.stopped = stdout or io.StringIO(), io.StringIO(), ""
        try:
            call_command(command, *map(str, arguments), stdout=self.stdout, stderr=self.stderr)
        except CommandError as error:
            self.stopped = str(error)

    @property
    def output(self):
        return self.stdout.getvalue()

    @property
    def errors(self):
        return self.stderr.getvalue()

    @property
    def counts(self):
        """What was summed up: {"created": 2, …}."""
        rows = [line.rsplit(maxsplit=1) for line in self.output.splitlines()]
        return {row[0]: int(row[1].replace(",", "")) for row in rows if len(row) == 2 and row[1].replace(",", "").isdecimal()}


@pytest.fixture
def write_lines(tmp_path):
    """Writes a file; what is not a dict is written as it is."""

    def write(*lines, name="users.jsonl"):
        path = tmp_path / name
        path.write_text("".join((json.dumps(line) if isinstance(line, dict) else line) + "\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def import_lines(write_lines):
    return lambda *lines, options=(): Ran("import_users", write_lines(*lines), *options)


@pytest.fixture
def export_lines(tmp_path):
    """The text of an export."""

    def export(*options, name="export.jsonl"):
        ran = Ran("export_users", tmp_path / name, *options)
        assert ran.stopped == ""
        return (tmp_path / name).read_text(encoding="utf-8")

    return export


def everything():
    """All that an import may write."""
    return (
        list(User.objects.order_by("pk").values()),
        list(User.roles.through.objects.order_by("user_id", "role_id").values_list("user_id", "role_id")),
        list(Role.objects.order_by("pk").values()),
        list(AuditEvent.objects.order_by("pk").values()),
    )


# --- What a line holds -------------------------------------------------------------------------


def test_a_line_becomes_a_user_with_all_that_stands_in_it(import_lines):
    line = {
        "id": ALICE_ID,
        "username": " Alice ",
        "email": "Alice@Example.com",
        "name": "Alice 👩‍🚀",
        "is_active": False,
        "roles": ["reviewer", "author"],
        "password_hash": BCRYPT,
        "created_at": "2024-01-31T12:00:00+02:00",
        "last_sign_in_at": "2024-02-01T00:00:00Z",
    }

    ran = import_lines(line)

    alice = User.objects.get(pk=ALICE_ID)
    assert ran.counts == {
        "lines": 1,
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "bad, left out": 0,
        "roles made": 2,
        "staff made": 0,
        "made without a password": 0,
    }
    assert (alice.username, alice.username_canonical) == ("Alice", "alice")
    assert (alice.email, alice.email_canonical) == ("Alice@Example.com", "alice@example.com")
    assert (alice.name, alice.is_active, alice.is_staff, alice.is_superuser) == ("Alice 👩‍🚀", False, False, False)
    assert alice.password == STORED
    assert alice.created_at == datetime(2024, 1, 31, 10, tzinfo=UTC)
    assert alice.last_sign_in_at == datetime(2024, 2, 1, tzinfo=UTC)
    assert [role.name for role in alice.roles.order_by("name")] == ["author", "reviewer"]


def test_a_row_of_the_older_service_goes_in_as_it_is(import_lines):
    """As SQLite's json_object and PostgreSQL's row_to_json write its table."""
    row = {
        "id": ALICE_ID,
        "username": "alice",
        "email": "alice@example.com",
        "password_hash": BCRYPT,
        "is_active": 1,
        "is_verified": 0,
        "created_at": "2024-01-15 10:30:00.123456",
        "updated_at": "2024-01-15T10:30:00",
        "last_login_at": "2024-01-16T10:30:00.5",
    }

    ran = import_lines(row, row | {"id": uuid.uuid4().hex, "username": "bob", "email": "bob@example.com", "last_login_at": None})

    alice, bob = User.objects.order_by("username")
    assert ran.errors == ""
    assert (str(alice.pk), alice.password, alice.is_active) == (ALICE_ID, STORED, True)
    assert alice.created_at == datetime(2024, 1, 15, 10, 30, 0, 123456, tzinfo=UTC)
    assert (alice.last_sign_in_at, bob.last_sign_in_at) == (datetime(2024, 1, 16, 10, 30, 0, 500000, tzinfo=UTC), None)


@pytest.mark.parametrize("nothing", [{}, {"password_hash": None}, {"password_hash": "!" + "x" * 40}])
def test_a_user_without_a_hash_has_no_password(import_lines, nothing):
    ran = import_lines({"username": "alice"} | nothing)

    alice = User.objects.get()
    assert not alice.has_usable_password()
    assert ran.counts["made without a password"] == 1
    assert (alice.email, alice.email_canonical, alice.is_active) == ("", None, True)
    assert datetime.now(UTC) - alice.created_at < timedelta(minutes=1)


def test_blank_lines_another_end_of_line_and_a_byte_order_mark_do_no_harm(tmp_path):
    path = tmp_path / "users.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"username": "alice"}\r\n\r\n   \n{"username": "bob"}')

    Ran("import_users", path)

    assert {user.username for user in User.objects.all()} == {"alice", "bob"}


BAD = {
    "not JSON": ("alice", "no JSON"),
    "cut short": ('{"username": "alice"', "no JSON"),
    "a list": ("[1]", "no JSON object"),
    "nested": ("[" * 10_000, "no JSON"),
    "a long number": ('{"username": ' + "1" * 5000 + "}", "too many digits"),
    "too long": (json.dumps({"username": "alice", "name": "n" * 70_000}), "longer than 65536 bytes"),
    "a member twice": ('{"username": "alice", "is_active": false, "is_active": true}', "stands twice"),
    "an unknown member": ({"username": "alice", "passwordhash": BCRYPT}, "unknown members: passwordhash"),
    "a strange member": ({"username": "alice", BCRYPT: 1}, "unknown members: ?"),
    "a plain password": ({"username": "alice", "password": PASSWORD}, "plain passwords are not imported"),
    "a plain password as a hash": ({"username": "alice", "password_hash": PASSWORD}, "of none of the kinds argon2"),
    "a hash that costs too much": ({"username": "alice", "password_hash": BCRYPT.replace("$12$", "$20$")}, "of 20, over the limit of 14"),
    "no user name": ({"email": "alice@example.com"}, "username is missing"),
    "an empty user name": ({"username": " "}, "username is missing"),
    "a user name that is null": ({"username": None}, "username is missing"),
    "a user name with @": ({"username": "alice@example.com"}, "no @"),
    "a user name with a space": ({"username": "alice smith"}, "no spaces"),
    "what cannot be seen": ({"username": "al\u200dice"}, "U+200D"),
    "a long user name": ({"username": "a" * 255}, "at most 254"),
    "a number as user name": ({"username": 1}, "username is no string"),
    "an e-mail without a domain": ({"username": "alice", "email": "alice"}, "e-mail address, such as"),
    "a long name": ({"username": "alice", "name": "n" * 201}, "name: "),
    "NUL": ({"username": "alice", "name": "a\x00b"}, "control character"),
    "half a character": ('{"username": "alice", "name": "\\ud800"}', "control character"),
    "no UUID": ({"username": "alice", "id": "1"}, "id is no UUID"),
    "a UUID in another form": ({"username": "alice", "id": f"urn:uuid:{ALICE_ID}"}, "id is no UUID"),
    "a number as id": ({"username": "alice", "id": 1}, "id is no string"),
    "a word as flag": ({"username": "alice", "is_active": "false"}, "is_active is neither"),
    "a flag that is null": ({"username": "alice", "is_active": None}, "is_active is neither"),
    "a flag of 2": ({"username": "alice", "is_active": 2}, "is_active is neither"),
    "a role alone": ({"username": "alice", "roles": "author"}, "roles is no list"),
    "a role that is no string": ({"username": "alice", "roles": [1]}, "a role is no string"),
    "an empty role": ({"username": "alice", "roles": [""]}, "a role has 1 to 64"),
    "a long role": ({"username": "alice", "roles": ["r" * 65]}, "a role has 1 to 64"),
    "no time": ({"username": "alice", "created_at": "yesterday"}, "created_at is no time"),
    "a time before all": ({"username": "alice", "created_at": "0001-01-01T00:00:00+14:00"}, "created_at is no time"),
    "a number as time": ({"username": "alice", "created_at": 1700000000}, "created_at is no string"),
    "staff": ({"username": "alice", "is_staff": True}, "--allow-staff"),
    "a superuser": ({"username": "alice", "is_superuser": 1}, "--allow-staff"),
}


@pytest.mark.parametrize(("line", "reason"), BAD.values(), ids=BAD)
def test_a_bad_line_is_told_with_its_number_and_stops_all(import_lines, line, reason):
    ran = import_lines({"username": "carol"}, line, {"username": "bob"})

    assert ran.stopped == "Nothing was imported: 1 of 3 lines are bad."
    assert ran.errors.startswith("line 2: ")
    assert reason in ran.errors
    assert BCRYPT[7:20] not in ran.errors
    assert PASSWORD not in ran.errors
    assert not User.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_line_that_is_not_in_utf_8_is_bad(tmp_path):
    path = tmp_path / "users.jsonl"
    path.write_bytes(b'{"username": "al\xefce"}\n')

    assert Ran("import_users", path).errors.startswith("line 1: not in UTF-8")


def test_a_line_and_a_change_show_no_hash():
    line = user_lines.parse(json.dumps({"username": "alice", "password_hash": BCRYPT}).encode(), allow_staff=False)
    change = bulk_plan.Change(line.user, columns={}, role_names=None, password=STORED)

    assert change
    assert BCRYPT not in f"{line!r} {change!r}"


# --- What is another's -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"username": "ALICE"}, "the user name is also in line 1"),
        ({"username": wide("alice")}, "the user name is also in line 1"),
        ({"username": "bob", "email": wide("Alice@example.com")}, "the e-mail address is also in line 1"),
        ({"username": "bob", "id": ALICE_ID.upper()}, "the id is also in line 1"),
    ],
)
def test_what_stands_in_two_lines_is_bad_in_the_second(import_lines, second, reason):
    first = {"id": ALICE_ID, "username": "alice", "email": "alice@example.com"}

    assert reason in import_lines(first, second).errors
    assert not User.objects.exists()


def test_a_line_that_was_left_out_keeps_its_name_from_nobody(import_lines):
    import_lines({"username": "alice", "name": "n" * 201}, {"username": "alice"}, options=["--skip-bad"])

    assert User.objects.get().username == "alice"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"id": ALICE_ID, "username": "BOB"}, "the user name is that of another user"),
        ({"id": ALICE_ID, "username": "carol", "email": "BOB@example.com"}, "the e-mail address is that of another user"),
        ({"username": "carol", "email": "bob@example.com"}, "the e-mail address is that of another user"),
        ({"username": "alice", "email": "bob@example.com"}, "the e-mail address is that of another user"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--update"]])
def test_what_is_another_users_here_is_bad(alice, bob, import_lines, line, reason, options):
    before = everything()

    ran = import_lines(line, options=options)

    assert f"line 1: {reason}, {bob.pk}" in ran.errors
    assert everything() == before


@pytest.mark.parametrize("line", [{"username": "Alice"}, {"username": "Alice", "id": ALICE_ID}])
def test_a_name_that_was_registered_and_not_confirmed_is_not_given_to_who_registered_it(import_lines, line):
    User.objects.create_user("alice", password=PASSWORD, awaits_confirmation=True)
    before = everything()

    ran = import_lines(line | {"email": "alice@example.com", "roles": ["author"]}, options=["--update", "--skip-bad"])

    assert "line 1: " in ran.errors
    assert everything() == before


# --- What is done with a file ------------------------------------------------------------------


def test_the_good_lines_come_in_when_that_is_asked_for(import_lines):
    ran = import_lines({"username": "alice"}, "nonsense", {"username": "bob"}, options=["--skip-bad"])

    assert {user.username for user in User.objects.all()} == {"alice", "bob"}
    assert (ran.counts["created"], ran.counts["bad, left out"]) == (2, 1)
    assert ran.errors.count("line 2: ") == 1


def test_a_dry_run_says_what_would_be_done_and_does_nothing(alice, import_lines):
    before = everything()

    ran = import_lines({"username": "alice"}, {"username": "bob", "roles": ["author", "editor", "judge"]}, options=["--dry-run"])

    assert "nothing was" in ran.output
    assert (ran.counts["created"], ran.counts["unchanged"], ran.counts["roles made"]) == (1, 1, 2)
    assert everything() == before


@pytest.mark.parametrize("given_id", [{}, {"id": ALICE_ID}])
@pytest.mark.parametrize("options", [[], ["--update"]])
def test_the_same_file_again_changes_nothing(import_lines, given_id, options):
    lines = [
        {"username": "alice", "email": "alice@example.com", "roles": ["author"], "password_hash": BCRYPT} | given_id,
        {"username": "bob"},
    ]
    import_lines(*lines)
    before = everything()

    ran = import_lines(*lines, options=options)

    assert "There was nothing to do." in ran.output
    assert (ran.counts["created"], ran.counts["updated"], ran.counts["unchanged"]) == (0, 0, 2)
    assert everything() == before


def test_who_exists_is_left_as_they_are(alice, import_lines):
    before = everything()

    line = {"username": "ALICE", "email": "new@example.com", "name": "New", "is_active": False, "roles": [], "password_hash": BCRYPT}
    ran = import_lines(line, line | {"id": str(alice.pk), "username": "renamed"}, options=["--skip-bad"])

    assert ran.counts["unchanged"] == 1
    assert everything() == before


def test_a_user_who_has_left_their_name_is_known_by_id(alice, import_lines):
    ran = import_lines({"id": str(alice.pk), "username": "renamed"})

    assert ran.counts["unchanged"] == 1
    assert User.objects.get().username == "alice"


def test_an_import_is_on_record_once_with_what_it_did(import_lines):
    import_lines({"username": "alice", "roles": ["author"]}, {"username": "bob", "roles": ["author"], "password_hash": BCRYPT})

    role, run = AuditEvent.objects.order_by("pk")
    assert (role.event, role.target, role.detail) == ("role:registration:created", "author", {"by": "import_users"})
    assert run.event == "users:import:finished"
    assert run.detail == {
        "lines": 2,
        "created": 2,
        "updated": 0,
        "unchanged": 0,
        "bad": 0,
        "staff": 0,
        "without_password": 1,
        "roles_created": 1,
    }


def test_two_thousand_users_are_a_few_statements_each_batch(write_lines, count_statements):
    path = write_lines(
        *(
            {"username": f"user{n}", "email": f"user{n}@example.com", "roles": [f"role{n % 7}"], "password_hash": BCRYPT}
            for n in range(2000)
        )
    )

    with count_statements() as statements:
        ran = Ran("import_users", path)

    assert ran.counts["created"] == User.objects.count() == User.roles.through.objects.count() == 2000
    assert Role.objects.count() == 7
    assert len(statements) < 300


def test_a_name_that_is_taken_between_the_two_readings_stops_all(write_lines, make_user):
    path = write_lines(*({"username": f"user{n}"} for n in range(600)))
    rules = {"update": False, "allow_staff": False}

    with path.open("rb") as file:
        bulk.check(file, **rules, refuse=pytest.fail, progress=lambda lines: None)
        make_user("somebody", email="")
        User.objects.update(username="User599", username_canonical="user599", awaits_confirmation=True)
        with pytest.raises(bulk.Overtaken, match="line 600 was good a moment ago"):
            bulk.write(file, **rules, skip_bad=False, progress=lambda lines: None)

    assert User.objects.count() == 1


@pytest.mark.parametrize("path", ["there-is-none.jsonl", "."])
def test_a_file_that_cannot_be_read_is_told(path):
    assert "cannot be read" in Ran("import_users", path).stopped


def test_standard_input_is_read_like_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"username": "alice"}\n')))

    Ran("import_users", "-")

    assert User.objects.get().username == "alice"


def test_what_can_be_read_only_once_is_read_like_a_file():
    reading, writing = os.pipe()
    os.write(writing, b'{"username": "alice"}\n')
    os.close(writing)

    Ran("import_users", f"/dev/fd/{reading}")
    os.close(reading)

    assert User.objects.get().username == "alice"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal_alone(write_lines, monkeypatch):
    path = write_lines(*({"username": f"user{n}"} for n in range(600)))
    terminal, file = Terminal(), io.StringIO()

    monkeypatch.setattr(sys, "stderr", terminal)
    Ran("import_users", path)
    monkeypatch.setattr(sys, "stderr", file)
    Ran("import_users", path)

    assert "600 of 600" in terminal.getvalue()
    assert file.getvalue() == ""


# --- Following the file ------------------------------------------------------------------------


def update(import_lines, user, *options, **members):
    return import_lines({"id": str(user.pk), "username": user.username} | members, options=["--update", *options])


def test_who_exists_follows_the_file_when_that_is_asked_for(alice, import_lines):
    members = {"username": "Alicia", "email": "alicia@example.com", "name": "Alicia", "roles": ["author", "judge"]}

    ran = update(import_lines, alice, **members)

    row = User.objects.get(pk=alice.pk)
    assert (ran.counts["updated"], ran.counts["roles made"]) == (1, 1)
    assert (row.username, row.username_canonical) == ("Alicia", "alicia")
    assert (row.email, row.email_canonical) == ("alicia@example.com", "alicia@example.com")
    assert (row.name, row.is_active) == ("Alicia", True)
    assert {role.name for role in row.roles.all()} == {"author", "judge"}
    assert (row.password, row.session_epoch, row.created_at) == (alice.password, alice.session_epoch, alice.created_at)
    assert AuditEvent.objects.latest().detail["updated"] == 1


def test_what_does_not_stand_in_the_line_stays(alice, import_lines):
    update(import_lines, alice, email=None, roles=None, name="Alice")

    row = User.objects.get(pk=alice.pk)
    assert (row.email, row.name, row.roles.count()) == ("alice@example.com", "Alice", 2)


def test_an_empty_address_and_no_roles_are_followed_too(alice, import_lines):
    update(import_lines, alice, email="", roles=[])

    row = User.objects.get(pk=alice.pk)
    assert (row.email, row.email_canonical, row.roles.count()) == ("", None, 0)


def test_a_password_that_was_set_here_is_not_undone(alice, import_lines):
    ran = update(import_lines, alice, password_hash=BCRYPT)

    assert ran.counts["unchanged"] == 1
    assert User.objects.get().password == alice.password


def test_who_has_no_password_gets_the_hash_and_whoever_was_signed_in_is_not_any_more(make_user, import_lines):
    alice = make_user("alice", password=None)

    update(import_lines, alice, password_hash=BCRYPT)
    update(import_lines, alice, password_hash=ANOTHER_BCRYPT)

    row = User.objects.get()
    assert (row.password, row.session_epoch) == (STORED, alice.session_epoch + 1)


def give_code(user):
    OneTimeToken.objects.create(
        digest=b"d" * 32, purpose="email_change", user=user, email="x@example.com", created_at=Instant(), expires_at=Instant()
    )


def test_who_is_disabled_is_signed_out_and_gets_in_by_no_code(alice, import_lines):
    give_code(alice)

    update(import_lines, alice, is_active=False)

    row = User.objects.get()
    assert (row.is_active, row.session_epoch) == (False, alice.session_epoch + 1)
    assert not OneTimeToken.objects.exists()


def test_another_address_voids_the_codes_and_ends_no_session(alice, import_lines):
    give_code(alice)

    update(import_lines, alice, email="new@example.com")

    assert User.objects.get().session_epoch == alice.session_epoch
    assert not OneTimeToken.objects.exists()


def test_another_display_name_voids_no_code(alice, import_lines):
    give_code(alice)

    update(import_lines, alice, name="New")

    assert OneTimeToken.objects.exists()


# --- Staff -------------------------------------------------------------------------------------


def test_staff_are_made_when_that_is_allowed(import_lines):
    ran = import_lines(
        {"username": "root", "is_staff": True, "is_superuser": True}, {"username": "help", "is_staff": True}, options=["--allow-staff"]
    )

    assert {(user.username, user.is_staff, user.is_superuser) for user in User.objects.all()} == {
        ("root", True, True),
        ("help", True, False),
    }
    assert ran.counts["staff made"] == AuditEvent.objects.latest().detail["staff"] == 2


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_staff_who_exist_follow_the_file_when_that_is_allowed_alone(make_user, import_lines, flag):
    root = make_user("root", **{flag: True})

    refused = update(import_lines, root, email="mallory@example.com")
    assert "line 1: the user is staff here" in refused.errors
    assert User.objects.get().email == "root@example.com"

    update(import_lines, root, "--allow-staff", email="new@example.com")
    assert User.objects.get().email == "new@example.com"


def test_nobody_who_exists_becomes_staff_by_a_file(alice, import_lines):
    update(import_lines, alice, "--allow-staff", is_staff=True, is_superuser=True)

    row = User.objects.get()
    assert (row.is_staff, row.is_superuser) == (False, False)


# --- Out and in again --------------------------------------------------------------------------


def test_an_export_that_is_imported_is_exported_the_same(import_lines, export_lines, make_user, tmp_path):
    import_lines(
        {
            "id": ALICE_ID,
            "username": "Alice",
            "email": "Alice@Example.com",
            "name": "Алиса 👩‍🚀",
            "roles": ["b", "a"],
            "password_hash": BCRYPT,
        },
        {"username": "bob", "is_active": False, "created_at": "1999-12-31T23:59:59.000001Z", "last_sign_in_at": "2024-02-29T00:00:00Z"},
        {"username": "root", "is_staff": True, "is_superuser": True},
        options=["--allow-staff"],
    )
    exported = export_lines("--with-password-hashes")
    User.objects.all().delete()
    Role.objects.all().delete()

    Ran("import_users", tmp_path / "export.jsonl", "--allow-staff")

    assert export_lines("--with-password-hashes", name="again.jsonl") == exported
    assert "There was nothing to do." in Ran("import_users", tmp_path / "again.jsonl", "--allow-staff", "--update").output
    assert len(exported.splitlines()) == 3


def test_an_export_is_ordered_by_id_and_leaves_out_who_has_only_registered(make_user, export_lines):
    for number in range(20):
        make_user(f"user{number}")
    make_user("mallory", awaits_confirmation=True)

    ids = [json.loads(line)["id"] for line in export_lines().splitlines()]

    assert ids == sorted(ids)
    assert len(ids) == 20


def test_hashes_are_exported_when_that_is_asked_for_alone(alice, make_user, export_lines):
    make_user("bob", password=None)

    without, with_hashes = export_lines(), export_lines("--with-password-hashes", name="hashes.jsonl")

    assert "password" not in without
    assert {json.loads(line)["password_hash"] for line in with_hashes.splitlines()} == {alice.password, None}


def test_an_export_is_on_record(alice, export_lines):
    export_lines()
    export_lines("--with-password-hashes", name="hashes.jsonl")

    events = AuditEvent.objects.order_by("pk").values_list("event", "detail")
    assert list(events) == [
        ("users:export:finished", {"count": 1, "with_password_hashes": False}),
        ("users:export:finished", {"count": 1, "with_password_hashes": True}),
    ]


def test_an_exported_file_is_for_its_owner_alone(alice, export_lines, tmp_path):
    umask = os.umask(0)
    try:
        export_lines()
    finally:
        os.umask(umask)

    assert stat.S_IMODE((tmp_path / "export.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize("there", ["a file", "a link"])
def test_an_export_overwrites_nothing(alice, tmp_path, there):
    path, target = tmp_path / "export.jsonl", tmp_path / "target"
    if there == "a file":
        path.write_text("something")
    else:
        path.symlink_to(target)

    ran = Ran("export_users", path)

    assert "cannot be made" in ran.stopped
    assert not target.exists()
    assert there == "a link" or path.read_text() == "something"
    assert not AuditEvent.objects.exists()


def test_an_export_goes_to_standard_output(alice):
    ran = Ran("export_users")

    assert json.loads(ran.output)["username"] == "alice"
    assert "1 users exported" in ran.errors


def test_hashes_are_not_shown_on_a_terminal(alice):
    refused = Ran("export_users", "--with-password-hashes", stdout=Terminal())
    shown = Ran("export_users", stdout=Terminal())

    assert "not shown on a terminal" in refused.stopped
    assert refused.output == ""
    assert "alice" in shown.output


@pytest.fixture
def read_only():
    """A database that can be read and not be written, as while a replica is promoted."""
    begin, end = {
        "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
        "sqlite": ("PRAGMA query_only = on", "PRAGMA query_only = off"),
    }[connection.vendor]

    def run(statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)

    yield lambda: run(begin)
    run(end)


@pytest.mark.django_db(transaction=True)
def test_an_export_that_cannot_be_recorded_leaves_no_file(alice, read_only, tmp_path):
    read_only()

    with pytest.raises(DatabaseError):
        call_command("export_users", str(tmp_path / "export.jsonl"), stdout=io.StringIO(), stderr=io.StringIO())

    assert not (tmp_path / "export.jsonl").exists()
