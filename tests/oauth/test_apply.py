"""Configuration as code: what a file declares is there afterwards, all of it or nothing."""

import io
import re
import shlex
import stat
import threading
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import AuditEvent, Role
from oauth import clients
from oauth.models import Client
from tests import secrecy

ROOT = Path(__file__).parents[2]
ROBOT = """
[clients.robot]
type = "confidential"
grant_types = ["client_credentials"]
allowed_scopes = ["api:read"]
"""
EDITOR = """
[clients.editor]
name = "Editor"
type = "public"
grant_types = ["password", "refresh_token"]
allowed_scopes = ["api:write", "api:read"]
"""

pytestmark = pytest.mark.django_db


@pytest.fixture
def apply(tmp_path):
    """Apply a text as a file: what is printed, and what goes wrong as a CommandError with all that was told."""

    def run(text, *options):
        (tmp_path / "clients.toml").write_text(text, encoding="utf-8")
        printed, errors = io.StringIO(), io.StringIO()
        try:
            call_command("apply", str(tmp_path / "clients.toml"), *options, stdout=printed, stderr=errors)
        except CommandError as error:
            raise CommandError(f"{printed.getvalue()}{errors.getvalue()}{error}", returncode=error.returncode) from None
        for path in tmp_path.rglob("*.secret"):
            secrecy.remember("a client's secret", path.read_text(encoding="utf-8").strip())
        return printed.getvalue()

    return run


def events():
    return [*AuditEvent.objects.order_by("pk").values_list("event", flat=True)]


# --- What a file brings about --------------------------------------------------------------------


def test_the_example_of_the_documentation_prints_what_is_printed_there(tmp_path, monkeypatch):
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    section = page.partition("### manage.py apply\n")[2].partition("\n### ")[0]
    toml, commands, shown = (re.findall(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL) for kind in ("toml", "sh", "text"))
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/clients.toml").write_text((ROOT / "examples/clients.toml").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)

    printed = []
    for command in "".join(commands).splitlines():
        _, _, *arguments = shlex.split(command)
        output = io.StringIO()
        call_command(*arguments, stdout=output)
        printed.append(output.getvalue())
    secrecy.remember("a client's secret", (tmp_path / "secrets/billing-service.secret").read_text(encoding="utf-8").strip())

    assert len(printed) == len(shown) == 3
    assert printed == shown
    assert toml == [(ROOT / "examples/clients.toml").read_text(encoding="utf-8").partition("\n\n")[2]]


def test_a_client_and_a_role_are_made_on_record(apply):
    apply(f'{EDITOR}\nrefresh_token_lifetime = 600\nis_active = false\n[roles.author]\ndescription = "Writes"', "--reason", "ticket 7")

    editor = Client.objects.get(client_id="editor")
    assert editor.is_public
    assert not editor.is_active
    assert (editor.name, editor.grant_types, editor.refresh_token_lifetime) == ("Editor", ["password", "refresh_token"], 600)
    assert editor.default_scopes == "api:read api:write"
    assert Role.objects.get().description == "Writes"
    assert events() == [
        "role:registration:created",
        "client:registration:created",
        "client:registration:changed",
        "client:registration:disabled",
    ]
    assert {event.detail["reason"] for event in AuditEvent.objects.all()} == {"ticket 7"}


def test_a_second_run_changes_nothing_and_records_nothing(apply):
    apply(EDITOR)
    recorded = events()

    said = apply(EDITOR)

    assert said == "= client editor\nDone: 0 created, 0 changed, 1 unchanged.\n"
    assert events() == recorded


def test_what_differs_is_changed_and_what_is_not_named_stays(apply, make_client):
    make_client("editor", redirect_uris="https://one.example.com https://two.example.com", refresh_overlap_seconds=10)
    Role.objects.create(name="author", description="Writes")

    said = apply(f"{EDITOR}redirect_uris = ['https://two.example.com', 'https://new.example.com']\n[roles.author]\ndescription = 'Reads'")

    editor = Client.objects.get(client_id="editor")
    assert editor.redirect_uris == "https://two.example.com https://new.example.com"
    assert editor.refresh_overlap_seconds == 10
    assert Role.objects.get().description == "Reads"
    assert said == (
        '~ role author\n    description: "Writes" → "Reads"\n'
        "~ client editor\n    redirect_uris: -https://one.example.com +https://new.example.com\n"
        "Done: 0 created, 2 changed, 0 unchanged.\n"
    )
    assert AuditEvent.objects.get(event="role:registration:changed").detail["changes"] == {
        "description": {"before": "Writes", "after": "Reads"}
    }


def test_a_client_is_disabled_and_enabled_again(apply, editor):
    apply(f"{EDITOR}is_active = false")
    assert not Client.objects.get(pk=editor.pk).is_active

    apply(f"{EDITOR}is_active = true")
    assert Client.objects.get(pk=editor.pk).is_active
    assert events()[-2:] == ["client:registration:disabled", "client:registration:enabled"]


def test_clients_that_the_file_does_not_name_are_left_alone(apply, robot):
    before = Client.objects.filter(client_id="robot").values().get()

    apply(EDITOR)

    assert Client.objects.filter(client_id="robot").values().get() == before


# --- Plans ---------------------------------------------------------------------------------------


def test_a_plan_says_the_same_and_changes_nothing(apply, tmp_path):
    arguments = (ROBOT + EDITOR, "--secrets-dir", str(tmp_path / "secrets"))

    planned = apply(*arguments, "--plan")
    with pytest.raises(CommandError) as drift:
        apply(*arguments, "--check")

    assert drift.value.returncode == 3  # argparse ends with 2
    assert planned in str(drift.value)
    assert "Plan: 2 to create, 0 to change, 0 unchanged." in planned
    assert not Client.objects.exists()
    assert events() == []
    assert not (tmp_path / "secrets").exists()
    assert marked(planned) == marked(apply(*arguments))


def marked(said):
    return [line for line in said.splitlines() if line[0] in "+~="]


def test_a_check_is_content_when_nothing_is_to_be_done(apply):
    apply(EDITOR)

    assert "Plan: 0 to create, 0 to change, 1 unchanged." in apply(EDITOR, "--check")


# --- Secrets -------------------------------------------------------------------------------------


def test_a_secret_is_written_for_its_owner_alone_and_never_printed(apply, tmp_path):
    said = apply(ROBOT, "--secrets-dir", str(tmp_path / "secrets"))

    path = tmp_path / "secrets/robot.secret"
    value = path.read_text(encoding="utf-8").strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert Client.objects.get().secret_digest == clients.digest(value)
    assert f"secret: was written to {path}" in said
    assert value not in said
    assert value not in str([*AuditEvent.objects.values()])


def test_a_client_id_leads_out_of_no_folder(apply, tmp_path):
    apply(ROBOT.replace("robot", '"../robot"'), "--secrets-dir", str(tmp_path / "secrets"))

    assert [path.name for path in tmp_path.rglob("*.secret")] == ["..%2Frobot.secret"]


def test_no_secret_is_made_that_nobody_will_know(apply, tmp_path):
    with pytest.raises(CommandError, match=r"clients\.robot: it gets a secret\. Say with --secrets-dir"):
        apply(ROBOT)
    (tmp_path / "robot.secret").write_text("an older one, which somebody may still need")
    with pytest.raises(CommandError, match=r"robot\.secret is there already"):
        apply(ROBOT, "--secrets-dir", str(tmp_path))
    (tmp_path / "robot.secret").unlink()
    (tmp_path / "robot.secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match="cannot be written: File exists"):
        apply(ROBOT, "--secrets-dir", str(tmp_path))

    assert not Client.objects.exists()
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_of_a_secret_goes_when_another_cannot_be_written(apply, tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "late.secret").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(CommandError, match="cannot be written"):
        apply(ROBOT + ROBOT.replace("robot", "late"), "--secrets-dir", str(folder))

    assert not (folder / "robot.secret").exists()
    assert not Client.objects.exists()


# --- What is wrong -------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_with_its_place_and_nothing_is_changed(apply, make_client):
    make_client("old")

    with pytest.raises(CommandError) as told:
        apply(
            EDITOR
            + """
            [roles.author]
            [clients.old]
            type = "confidential"
            [clients.new]
            type = "public"
            grant_types = ["client_credentials"]
            allowed_scopes = ["api:read"]
            default_scopes = ["api:write"]
            redirect_uris = ["javascript:alert(1)"]
            [clients.half]
            type = "public"
            """
        )

    lines = str(told.value).splitlines()
    assert {line.partition(": ")[0] for line in lines} == {
        "clients.old.type",
        "clients.new.grant_types",
        "clients.new.default_scopes",
        "clients.new.redirect_uris",
        "clients.half.grant_types",
        "clients.half.allowed_scopes",
        "Nothing was changed",
    }
    assert [client.client_id for client in Client.objects.all()] == ["old"]
    assert not Role.objects.exists()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[clients.x]\ncolour = 'red'", "clients.x.colour: there is no such member"),
        ("[clients.x]\nsecret = 'never here'", "clients.x.secret: there is no such member"),
        ("[clients.x]\ntype = 'secret'", "clients.x.type: has to be one of public, confidential"),
        ("[clients.x]\ntype = ['public']", "clients.x.type: has to be one of public, confidential"),
        ("[clients.x]\ngrant_types = 'password'", "clients.x.grant_types: has to be a list"),
        ("[clients.x]\nallowed_scopes = ['api:read api:write']", "clients.x.allowed_scopes: has to be a list of words without spaces"),
        ("[clients.x]\nredirect_uris = ['https://x', 'https://x']", "clients.x.redirect_uris: names something twice"),
        ("[clients.x]\nis_active = 1", "clients.x.is_active: has to be true or false"),
        ("[clients.x]\naccess_token_lifetime = true", "clients.x.access_token_lifetime: has to be a number of seconds"),
        ("clients = 1", "clients: is no table"),
        ("[clients]\nx = 1", "clients.x: is no table"),
        ("[users.alice]", "users: the file declares clients and roles, and nothing else"),
        ("[roles.author]\nname = 'x'", "roles.author.name: there is no such member"),
        ('[roles.author]\ndescription = "\\u0000"', "roles.author.description: has to be a text without"),
        ('[roles."\\u0000"]', "roles: '\\x00' has control characters"),
        ("[clients.x]\nname = ' Editor'", "clients.x.name: has spaces around it"),
        ("[clients.x", "is no TOML"),
        ("[clients.x]\naccess_token_lifetime = 999999\n" + EDITOR.partition("\n[clients.editor]\n")[2], "clients.x.access_token_lifetime"),
    ],
)
def test_a_file_that_is_wrong_is_told_where(apply, text, place):
    with pytest.raises(CommandError) as told:
        apply(text)

    assert place in str(told.value)
    assert told.value.returncode == 1


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("apply", str(tmp_path / "none.toml"), stderr=io.StringIO())


# --- Two at once ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_does_it_and_the_other_finds_it_done(tmp_path):
    (tmp_path / "clients.toml").write_text(EDITOR, encoding="utf-8")
    barrier, said = threading.Barrier(2), []

    def run():
        output = io.StringIO()
        barrier.wait()
        try:
            call_command("apply", str(tmp_path / "clients.toml"), stdout=output)
        finally:
            connection.close()
        said.append(output.getvalue().splitlines()[-1])

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(said) == ["Done: 0 created, 0 changed, 1 unchanged.", "Done: 1 created, 0 changed, 0 unchanged."]
    assert events() == ["client:registration:created"]


def test_a_change_that_contradicts_what_the_file_does_not_name_is_told(apply, make_client):
    make_client("editor")  # by default it gets api:write too

    with pytest.raises(CommandError, match=r"clients\.editor.*: Not among the allowed scopes: api:write\."):
        apply("[clients.editor]\nallowed_scopes = ['api:read']")

    assert Client.objects.get().allowed_scopes == "api:read api:write"
