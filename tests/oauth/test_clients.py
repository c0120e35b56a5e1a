"""Client authentication (RFC 6749 §2.3): one method, the right client, the right secret."""

import base64
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import AuditEvent
from oauth import clients
from oauth.models import Client

GRANT = {"grant_type": "client_credentials"}


def basic(client_id, secret):
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.fixture
def ask(post, robot):
    """Ask for a token as the test says; the robot's own credentials are `robot` and its secret."""
    return lambda form=None, **headers: post(GRANT | (form or {}), **headers)


def assert_invalid_client(answer, *, challenged):
    assert (answer.status, answer.error) == (401, "invalid_client"), answer.body
    assert answer.response.has_header("WWW-Authenticate") == challenged
    if challenged:
        assert answer.response["WWW-Authenticate"].startswith("Basic ")


def test_a_client_authenticates_by_basic_or_in_the_body(ask, robot):
    secret = robot.secret_value

    assert ask(HTTP_AUTHORIZATION=basic("robot", secret)).status == 200
    assert ask({"client_id": "robot"}, HTTP_AUTHORIZATION=basic("robot", secret)).status == 200
    assert ask({"client_id": "robot", "client_secret": secret}).status == 200


@pytest.mark.checklist(21)
def test_wrong_secret_unknown_client_and_none_at_all_get_one_answer(ask):
    answers = [
        ask({"client_id": "robot", "client_secret": "wrong"}),
        ask({"client_id": "nobody", "client_secret": "wrong"}),
        ask({"client_id": "robot"}),
        ask(),
    ]

    for answer in answers:
        assert_invalid_client(answer, challenged=False)
    assert len({(answer.body["error"], answer.body["error_description"]) for answer in answers}) == 1


@pytest.mark.checklist(12, 21)
@pytest.mark.spec("RFC 6749", "5.2", "MUST respond with 401 and the WWW-Authenticate that matches the scheme used")
@pytest.mark.parametrize(
    "authorization",
    [
        basic("robot", "wrong"),
        basic("nobody", "wrong"),
        "Bearer x",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no-colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic " + base64.b64encode(b"robot:%ff").decode(),
        "Basic " + base64.b64encode(b"a\x00b:x").decode(),
        "Basic " + base64.b64encode(b"robot:a%00b").decode(),
        basic("robot", "x") + "," + basic("robot", "x"),
        "Basic é",
        "",
    ],
)
def test_a_broken_or_wrong_authorization_header_is_challenged(ask, authorization):
    assert_invalid_client(ask(HTTP_AUTHORIZATION=authorization), challenged=True)


@pytest.mark.checklist(22)
def test_two_methods_at_once_are_refused_even_when_both_are_right(ask, robot):
    answer = ask({"client_secret": robot.secret_value}, HTTP_AUTHORIZATION=basic("robot", robot.secret_value))

    assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.checklist(23, 24)
def test_a_body_that_names_another_client_than_the_header_is_refused(ask, robot, editor):
    for form in ({"client_id": "editor"}, {"client_id": "editor", "grant_type": "password", "username": "alice", "password": "x"}):
        answer = ask(form, HTTP_AUTHORIZATION=basic("robot", robot.secret_value))

        assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.checklist(26)
def test_a_confidential_client_cannot_act_as_a_public_one(ask):
    assert_invalid_client(ask({"client_id": "robot"}), challenged=False)
    assert_invalid_client(ask({"client_id": "robot", "client_secret": ""}), challenged=False)
    assert_invalid_client(ask(HTTP_AUTHORIZATION=basic("robot", "")), challenged=True)


@pytest.mark.checklist(27)
def test_a_public_client_may_present_no_secret_but_an_empty_one(sign_in):
    assert_invalid_client(sign_in(client_secret="x"), challenged=False)
    assert_invalid_client(sign_in(client_id="", HTTP_AUTHORIZATION=basic("editor", "x")), challenged=True)
    assert sign_in(client_secret="").status == 200
    assert sign_in(client_id="", HTTP_AUTHORIZATION=basic("editor", "")).status == 200


@pytest.mark.checklist(28)
@pytest.mark.spec("RFC 6749", "2.3.1", "the client identifier is encoded using application/x-www-form-urlencoded")
def test_both_parts_of_basic_are_form_encoded(post, make_client):
    made = make_client("c+1:%", is_public=False, grant_types=("client_credentials",))
    pair = f"c%2B1%3A%25:{made.secret_value}"

    answer = post(GRANT, HTTP_AUTHORIZATION="Basic " + base64.b64encode(pair.encode()).decode())

    assert answer.status == 200


@pytest.mark.checklist(29)
def test_a_disabled_client_is_refused_like_an_unknown_one(ask, robot):
    Client.objects.update(is_active=False)
    clients.cache.forget()

    assert_invalid_client(ask({"client_id": "robot", "client_secret": robot.secret_value}), challenged=False)


@pytest.mark.checklist(29)
def test_disabling_a_client_ends_its_own_tokens_although_it_is_cached(ask, robot):
    form = {"client_id": "robot", "client_secret": robot.secret_value}
    assert ask(form).status == 200
    Client.objects.update(is_active=False)

    assert_invalid_client(ask(form), challenged=False)


@pytest.mark.checklist(30)
def test_after_a_rotation_both_secrets_work_until_the_old_one_ends(ask, robot, later):
    new = clients.rotate_secret(robot.client, keep_old_for=timedelta(hours=1))

    def status(secret):
        return ask({"client_id": "robot", "client_secret": secret}).status

    assert (status(robot.secret_value), status(new.secret_value)) == (200, 200)
    later(minutes=61)
    assert (status(robot.secret_value), status(new.secret_value)) == (401, 200)


@pytest.mark.checklist(31)
def test_a_secret_has_256_bits_and_only_its_digest_is_stored(robot):
    stored = Client.objects.values().get(client_id="robot")

    assert len(base64.urlsafe_b64decode(robot.secret_value + "=")) == 32
    assert robot.secret_value not in str(stored)
    assert bytes(stored["secret_digest"]) == clients.digest(robot.secret_value)
    assert robot.secret_value not in repr(robot)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"client_id": "6f1f1f5e-8e36-4d7b-9d6b-0a8f2a6c7d11"}, "client_id"),
        ({"client_id": "codelab-api"}, "client_id"),
        ({"client_id": "http://localhost:8003"}, "client_id"),
        ({"client_id": "white space"}, "client_id"),
        ({"client_id": ""}, "client_id"),
        ({"grant_types": ("zzz",)}, "grant_types"),
        ({"grant_types": ("client_credentials",)}, "grant_types"),
        ({"allowed_scopes": 'quo"ted'}, "allowed_scopes"),
        ({"default_scopes": "api:admin"}, "default_scopes"),
        ({"allowed_scopes": "auth:account", "default_scopes": "auth:account"}, "default_scopes"),
    ],
    ids=str,
)
def test_a_client_that_the_contract_excludes_is_not_registered(make_client, fields, complaint):
    with pytest.raises(ValidationError) as refusal:
        make_client(**({"client_id": "new"} | fields))

    assert complaint in refusal.value.message_dict


def test_a_client_id_is_given_once(make_client, editor):
    with pytest.raises(ValidationError):
        make_client("editor")


def test_create_client_prints_a_secret_that_works_once(post, signing_key, capsys):
    call_command("create_client", "billing", "--grant-type", "client_credentials", "--scope", "api:read")

    output = capsys.readouterr().out
    secret = output.split("client_secret")[1].split()[0]
    answer = post(GRANT, HTTP_AUTHORIZATION=basic("billing", secret))
    assert answer.status == 200
    assert AuditEvent.objects.get(event="client:registration:created").client_id == "billing"


def test_create_client_says_what_is_wrong(editor):
    with pytest.raises(CommandError, match="client_id"):
        call_command("create_client", "editor", "--public", "--grant-type", "password", "--scope", "api:read")


def test_rotate_client_secret_prints_the_new_one_and_refuses_public_clients(ask, robot, editor, capsys):
    call_command("rotate_client_secret", "robot", "--keep-old-for", "0")

    secret = capsys.readouterr().out.split()[1]
    assert ask({"client_id": "robot", "client_secret": secret}).status == 200
    assert ask({"client_id": "robot", "client_secret": robot.secret_value}).status == 401
    with pytest.raises(CommandError, match="public"):
        call_command("rotate_client_secret", "editor")
    with pytest.raises(CommandError, match="no client"):
        call_command("rotate_client_secret", "nobody")
