"""What a thief makes of a copy of the database, of the logs, and of one of our keys: nothing, or exactly what is written here.

One life of a server fills every table; whatever honest people and programs typed, sent or were given in it is
kept beside. Then the copy is searched for it, and all that the copy holds is tried at every door.
"""

import base64
import binascii
import io
import json
import logging
import re
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings as django_settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher, check_password
from django.contrib.sessions.models import Session as BrowserSession
from django.core import mail, signing
from django.core.management import call_command
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client as Browser

from accounts import audit, clock, email_change, outbox, refusals
from accounts.actors import Actor
from accounts.models import AuditEvent, Refusal, Role, User
from accounts.sign_in_adapters import PROVED_BY_SECOND_FACTOR
from authserver.logs import ConsoleFormatter, JSONFormatter
from oauth import access_tokens, clients, refresh_tokens, sessions
from oauth.access_tokens import SessionClaims, Signer
from oauth.models import Client, Session, SigningKey
from oauth.refresh_tokens import RefreshToken
from tests import secrecy
from tests.conftest import Answer
from tests.staff import code_of, enrol

WINDOW = 16  # so many characters of a secret in a row are as bad as the whole


@pytest.fixture(autouse=True)
def _record_of_its_own(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Thousands of refusals here use up this process's allowance; the other tests keep theirs. No ceiling or lock answers for a door."""
    settings.ENABLE_RATE_LIMITING, settings.BRUTE_FORCE_THRESHOLD = False, 1_000_000
    settings.RATE_LIMIT_PER_USERNAME = settings.RATE_LIMIT_PER_USERNAME._replace(limit=1_000_000)
    monkeypatch.setattr(refusals, "allowance", refusals.Allowance())
    monkeypatch.setattr(refusals, "pruning", refusals.Pruning(every_seconds=refusals.PRUNE_EVERY_SECONDS))


# --- A life ------------------------------------------------------------------------------------------


@dataclass
class Life:
    """What went over the wire, by whom it is known, and what of it opens a door at the end."""

    random: set[str] = field(default_factory=set)
    """Tokens, secrets, keys and cookies: no part of them may be found."""
    chosen: set[str] = field(default_factory=set)
    """Passwords as people choose them: too short for parts."""
    passwords: dict[str, str] = field(default_factory=dict)
    client_secrets: dict[str, list[str]] = field(default_factory=dict)
    refresh_token: str = ""
    access_token: str = ""
    cookie: str = ""
    code: str = ""

    def keep(self, *values: str | None) -> None:
        self.random |= {value for value in values if value}


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path) -> Iterator[None]:
    """What is presented here is whatever stands in the tables, names and ids too. The run must not take those for secrets."""
    gathered = secrecy.Gathering(tmp_path / "lines")
    with secrecy.watching(gathered, secrecy.Ledger()):
        yield
    gathered.close()


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that was logged, from DEBUG up: our two formats, and pytest's."""
    outputs = []
    root = logging.getLogger()
    caplog.set_level(logging.DEBUG)
    for formatter in (JSONFormatter(), ConsoleFormatter()):
        handler = logging.StreamHandler(io.StringIO())
        handler.setFormatter(formatter)
        root.addHandler(handler)
        outputs.append(handler)
    yield lambda: "\n".join([*(handler.stream.getvalue() for handler in outputs), caplog.text])
    for handler in outputs:
        root.removeHandler(handler)


@pytest.fixture
def send(post: Callable[..., Answer], life_so_far: Life) -> Callable[..., Answer]:
    """POST to the token endpoint, keeping what is sent and what is given."""

    def call(form: dict[str, str], **headers: str) -> Answer:
        life_so_far.keep(form.get("refresh_token"), form.get("client_secret"), headers.get("HTTP_IDEMPOTENCY_KEY"))
        life_so_far.chosen |= {form["password"]} if form.get("password") else set()
        answer = post(form, **headers)
        life_so_far.keep(answer.body.get("access_token"), answer.body.get("refresh_token"))
        return answer

    return call


@pytest.fixture
def life_so_far() -> Life:
    return Life()


@pytest.fixture
def people(life_so_far, make_user):
    """alice and bob, carol who is disabled, and erin whose hash was imported."""
    for name in ("alice", "bob", "carol", "erin"):
        life_so_far.passwords[name] = secrets.token_urlsafe(18)
        make_user(name, password=life_so_far.passwords[name], roles=("reviewer",), is_active=name != "carol")
    imported = PBKDF2PasswordHasher().encode(life_so_far.passwords["erin"], "imported", iterations=1)
    User.objects.filter(username="erin").update(password=imported)
    life_so_far.keep(*life_so_far.passwords.values())


@pytest.fixture
def programs(life_so_far, make_client, editor, robot):
    """The editor, a reader with an overlap, and confidential clients whose secrets were made and rotated in each way there is."""
    make_client("reader", refresh_overlap_seconds=10)
    service = make_client("service", is_public=False, grant_types=("password", "refresh_token"))
    rotated = clients.rotate_secret(service.client, keep_old_for=timedelta(days=1))
    shown = io.StringIO()
    call_command("create_client", "billing", "--grant-type", "client_credentials", "--scope", "api:read", stdout=shown)
    call_command("rotate_client_secret", "billing", "--keep-old-for", "0", stdout=shown)
    first, second = re.findall(r"client_secret +(\S+)", shown.getvalue())
    life_so_far.client_secrets |= {"robot": [robot.secret_value], "billing": [second]}
    life_so_far.client_secrets["service"] = [service.secret_value, rotated.secret_value]
    life_so_far.keep(first, second, robot.secret_value, service.secret_value, rotated.secret_value)


@pytest.fixture
def demo(life_so_far, signing_key, settings, tmp_path):
    """What bootstrap makes, with the people of the guide and an admin."""
    settings.DATA_DIR = tmp_path
    shown = io.StringIO()
    call_command("bootstrap", "--demo", stdout=shown)
    [secret] = re.findall(r"shown once: (\S+)", shown.getvalue())
    life_so_far.client_secrets["codelab-internal"] = [secret]
    life_so_far.passwords |= {"user": "password123", "test": "test123", "admin": (tmp_path / "admin-password").read_text().strip()}
    life_so_far.chosen |= {"password123", "test123"}
    life_so_far.keep(secret, life_so_far.passwords["admin"])


@pytest.fixture
def life(life_so_far, logs, people, programs, demo, send, post, settings) -> Life:
    """Everything that the server does, well and badly."""
    life = life_so_far
    sign_in_well_and_badly(life, send, settings)
    refresh_well_and_badly(life, send)
    authenticate_clients_well_and_badly(life, send)
    send_what_is_malformed(life, post)
    call_the_api(life)
    fail_inside(life, send)
    work_in_the_admin(life)
    ask_for_mails(life)
    last = send(password_form("alice", life.passwords["alice"]))
    life.refresh_token, life.access_token = last.body["refresh_token"], last.body["access_token"]
    assert not [table for table in FILLED if not any(True for _ in rows_of(table))]
    return life


FILLED = (
    "accounts_user", "accounts_user_roles", "accounts_role", "accounts_auditevent", "accounts_refusal",
    "accounts_onetimetoken", "accounts_outbox",
    "oauth_client", "oauth_session", "oauth_signingkey", "django_session", "django_admin_log",
)  # fmt: skip


def password_form(username: str, password: str, **fields: str) -> dict[str, str]:
    return {"grant_type": "password", "username": username, "password": password, "client_id": "editor"} | fields


def refresh_form(value: str, **fields: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": value, "client_id": "editor"} | fields


def own_form(client_id: str, secret: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def sign_in_well_and_badly(life, send, settings):
    for name, password in life.passwords.items():
        assert send(password_form(name, password)).status == (400 if name == "carol" else 200)
    assert send(password_form("Alice@Example.com", life.passwords["alice"])).status == 200
    mistyped = secrets.token_urlsafe(18)
    life.keep(mistyped)
    for form in (
        password_form("alice", mistyped),
        password_form("nobody", mistyped),
        password_form(mistyped, "the name went into the wrong field"),
        password_form("alice", mistyped * 60),
        password_form("alice", life.passwords["alice"], scope=mistyped),
        password_form("alice", life.passwords["alice"], grant_type=mistyped),
        password_form("alice", life.passwords["alice"], client_id=mistyped),
        password_form("alice", mistyped) | {mistyped: "the name of a parameter", "pin": mistyped},
    ):
        assert send(form).status in {400, 401}
    settings.DEVELOPMENT = False
    assert send(password_form("admin", life.passwords["admin"])).error == "mfa_required"
    settings.DEVELOPMENT = True


def refresh_well_and_badly(life, send):
    def new(client_id="editor"):
        return send(password_form("alice", life.passwords["alice"], client_id=client_id)).body["refresh_token"]

    def key():
        return {"HTTP_IDEMPOTENCY_KEY": secrets.token_urlsafe(24)}

    first, once = new(), key()
    second = send(refresh_form(first), **once).body["refresh_token"]
    assert send(refresh_form(first), **once).body["refresh_token"] == second
    assert send(refresh_form(second, scope="api:read")).status == 200
    assert send(refresh_form(first)).error == "invalid_grant"
    assert send(refresh_form(second), **key()).error == "invalid_grant"

    shared = new("reader")
    assert {send(refresh_form(shared, client_id="reader")).status for _ in range(2)} == {200}

    kept = new()
    assert send(refresh_form(kept, client_id="reader")).error == "invalid_grant"
    assert send(refresh_form(kept, scope="api:admin")).error == "invalid_scope"
    ahead = send(refresh_form(kept)).body["refresh_token"]
    Session.objects.filter(pk=session_of(ahead).pk).update(generation=0)
    assert send(refresh_form(ahead)).status == 200
    assert send(refresh_form(ahead[:-1] + "!")).error == "invalid_grant"
    ended = new()
    sessions.revoke(session_of(ended).pk, reason="test")
    assert send(refresh_form(ended)).error == "invalid_grant"
    assert set(AuditEvent.objects.values_list("event", flat=True)) >= {
        "session:refresh:retried",
        "session:refresh:overlapped",
        "session:refresh:caught_up",
        "session:refresh_token:reused",
        "session:refresh_token:presented_by_another_client",
    }


def authenticate_clients_well_and_badly(life, send):
    wrong = secrets.token_urlsafe(32)
    life.keep(wrong)
    [robots], [_, services] = life.client_secrets["robot"], life.client_secrets["service"]
    assert send(own_form("robot", robots)).status == 200
    grant = {"grant_type": "client_credentials"}
    assert send(grant, HTTP_AUTHORIZATION=basic("robot", robots)).status == 200
    assert send(grant, HTTP_AUTHORIZATION=basic("robot", wrong)).error == "invalid_client"
    assert send(grant, HTTP_AUTHORIZATION=basic(wrong, wrong)).error == "invalid_client"
    assert send(grant, HTTP_AUTHORIZATION=f"Bearer {wrong}").error == "invalid_client"
    assert send(own_form("robot", robots), HTTP_AUTHORIZATION=basic("robot", robots)).error == "invalid_request"
    assert send(own_form("robot", wrong)).error == "invalid_client"
    assert send(own_form("editor", wrong)).error == "invalid_client"
    assert send(password_form("bob", life.passwords["bob"], client_id="service", client_secret=services)).status == 200


def send_what_is_malformed(life, post):
    typed = life.passwords["alice"]
    form = password_form("alice", typed)
    assert post(form, path=f"/oauth/token?{urlencode(form)}").error == "invalid_request"
    assert post(f"{urlencode(form)}&{urlencode({'password': typed})}".encode()).error == "invalid_request"
    assert post(form | {"password": f"{typed}\0"}).error == "invalid_request"
    assert post(json.dumps(form).encode(), content_type="application/json").error == "invalid_request"
    assert post(form, HTTP_IDEMPOTENCY_KEY=typed[:9]).error == "invalid_request"
    assert post(form, HTTP_HOST=f"{typed.lower()}.example").error == "invalid_request"
    assert post(form, path=f"/oauth/{typed}").status == 404


def call_the_api(life):
    token = next(value for value in life.random if value.count(".") == 2 and "sid" in claims_of(value))
    browser = Browser()
    for path in ("/api/v1/me", "/api/v1/sessions", "/api/v1/nothing", f"/api/v1/me?access_token={token}", f"/api/v1/{token}"):
        browser.get(path, HTTP_AUTHORIZATION=f"Bearer {token}")
        browser.post(path, HTTP_AUTHORIZATION=f"Bearer {token[:-9]}")
        browser.get(path, HTTP_AUTHORIZATION=basic("alice", life.passwords["alice"]))


def ask_for_mails(life):
    """Other addresses for bob, whose mail is sent, and for erin, whose mail waits."""
    for name in ("bob", "erin"):
        actor = Actor(actor_id=None, address="192.0.2.7", user_agent="Editor/1")
        user = User.objects.get(username=name)
        email_change.request(user, email=f"{name}.new@example.com", language="en", actor=actor, client_id="editor")
        if name == "bob":
            assert outbox.deliver() == 1
    [link] = [line for line in mail.outbox[-1].body.splitlines() if "#" in line]
    life.code = link.partition("#")[2]
    life.keep(life.code)


def fail_inside(life, send):
    """A store that is down, and a bug whose traceback is logged."""
    for error, status in ((OperationalError("made up"), 503), (ProgrammingError("made up"), 500)):

        def fail(execute, sql, params, many, context, error=error):
            if "INSERT INTO oauth_session" in sql:
                raise error
            return execute(sql, params, many, context)

        with connection.execute_wrapper(fail):
            assert send(password_form("alice", life.passwords["alice"])).status == status


def work_in_the_admin(life):
    """The admin signs in at the second try, works with users and roles, looks at everything, and signs out in one of two browsers."""
    browser = Browser(enforce_csrf_checks=True)
    name, csrf = django_settings.SESSION_COOKIE_NAME, django_settings.CSRF_COOKIE_NAME

    def submit(path, status=302, **fields):
        browser.get("/sign-in?next=/admin/")
        response = browser.post(path, fields | {"csrfmiddlewaretoken": browser.cookies[csrf].value})
        assert response.status_code == status, (path, response.status_code)
        life.keep(*(browser.cookies[each].value for each in (name, csrf) if each in browser.cookies))

    wrong, changed, made, own = (secrets.token_urlsafe(18) for _ in range(4))
    life.keep(wrong, changed, made, own)
    admin = User.objects.get(username="admin")
    life.keep(enrol(admin))
    submit("/sign-in", status=200, login="admin", password=wrong)
    submit("/sign-in", login="admin", password=life.passwords["admin"])
    submit("/sign-in/code", code=code_of(admin))
    submit("/admin/logout/", status=200)
    submit("/sign-in", login="admin@example.com", password=wrong, status=200)
    submit("/sign-in", login="admin", password=life.passwords["admin"])
    submit("/sign-in/code", code=code_of(admin))
    bob = User.objects.get(username="bob")
    submit(f"/admin/accounts/user/{bob.pk}/password/", password1=changed, password2=changed)
    submit("/admin/accounts/user/add/", username="dave", usable_password="true", password1=made, password2=made)
    submit(f"/admin/accounts/user/{User.objects.get(username='dave').pk}/delete/", post="yes", status=403)
    submit("/admin/accounts/role/add/", name="retired")
    submit(f"/admin/accounts/role/{Role.objects.get(name='retired').pk}/delete/", post="yes")
    submit("/admin/password_change/", old_password=life.passwords["admin"], new_password1=own, new_password2=own)
    for path in ("", "accounts/user/", "oauth/client/", "oauth/session/", "oauth/signingkey/", "accounts/auditevent/"):
        assert browser.get(f"/admin/{path}").status_code == 200
    life.passwords |= {"bob": changed, "admin": own}
    life.cookie = browser.cookies[name].value


def session_of(refresh_token: str) -> Session:
    return Session.objects.get(pk=refresh_tokens.decode(refresh_token, keys=django_settings.TOKEN_KEYS).session_id)


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


# --- The copy ----------------------------------------------------------------------------------------


def rows_of(table: str) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
        yield from cursor.fetchall()


def dump(*tables: str) -> Iterator[str | bytes]:
    """Every value of every row: of these tables, or of all that the database has."""
    for table in tables or connection.introspection.table_names():
        for row in rows_of(table):
            for value in row:
                yield from leaves(value)


def leaves(value: Any) -> Iterator[str | bytes]:
    match value:
        case None:
            return
        case bytes() | memoryview():
            yield bytes(value)
        case uuid.UUID():
            yield from (str(value), value.hex)
        case dict():
            yield from (leaf for pair in value.items() for each in pair for leaf in leaves(each))
        case list() | tuple():
            yield from (leaf for each in value for leaf in leaves(each))
        case str() if value[:1] in {"{", "["} and (parsed := parse_json(value)) is not None:
            yield value
            yield from leaves(parsed)
        case _:
            yield str(value)


def parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def binaries(leaf: str | bytes) -> Iterator[bytes]:
    """The bytes of a value, and those that its text may be a spelling of."""
    if isinstance(leaf, bytes):
        yield leaf
        return
    for part in {leaf, *re.split(r"[^A-Za-z0-9_+/=-]+", leaf)}:
        if len(part) >= 8 and part.isascii():
            yield from (raw for decode in (bytes.fromhex, unb64, bytes_of_uuid) if (raw := attempt(decode, part)))


def attempt(decode: Callable[[str], bytes], text: str) -> bytes | None:
    try:
        return decode(text)
    except (ValueError, binascii.Error, signing.BadSignature):
        return None


def unb64(text: str) -> bytes:
    return base64.b64decode(text.translate(str.maketrans("-_", "+/")).rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)


def bytes_of_uuid(text: str) -> bytes:
    return uuid.UUID(text).bytes


def spellings(raw: bytes) -> set[str]:
    standard, url_safe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    return {raw.hex(), raw.hex().upper(), standard, standard.rstrip("="), url_safe, url_safe.rstrip("=")}


def text_of(leaf_values: Iterable[str | bytes]) -> str:
    """All of it as one text in which a secret would be seen, whichever way it was stored."""
    parts = set()
    for leaf in leaf_values:
        parts |= {leaf} if isinstance(leaf, str) else spellings(leaf)
        parts |= {raw.hex() for raw in binaries(leaf)}
    return "\n".join(parts)


def found_in(text: str, *, random: Iterable[str], chosen: Iterable[str]) -> set[str]:
    """Those of the secrets of which the text holds the whole, or as much as counts for the whole, in any spelling."""
    windows = {text[start : start + WINDOW] for start in range(len(text) - WINDOW + 1)}
    found = {secret for secret in chosen if any(form in text for form in (secret, *spellings(secret.encode())))}
    return found | {secret for secret in random if any(not windows.isdisjoint(slices(form)) for form in forms_of(secret))}


def forms_of(secret: str) -> Iterator[str]:
    """The text, its bytes in hexadecimal, and the bytes that it spells (of a JWT the signature's: its claims are no secret)."""
    yield from (secret, secret.encode().hex())
    raw = attempt(unb64, secret.rpartition(".")[2])
    if raw is not None:
        yield raw.hex()


def slices(text: str) -> set[str]:
    return {text[start : start + WINDOW] for start in range(len(text) - WINDOW + 1)}


def words_of(logged: str) -> Iterator[str]:
    """The values of the JSON lines, and whatever stands between spaces, quotes and equals signs."""
    yield from re.split(r"[\s=\"',{}()\[\]]+", logged)
    for line in logged.splitlines():
        yield from (leaf for leaf in leaves(parse_json(line)) if isinstance(leaf, str))


def tries(leaf_values: Iterable[str | bytes], *, logged: str = "") -> set[str]:
    """What a thief would try: each value but dates and counts, each part of it, and each spelling of what is binary."""
    values = set(words_of(logged))
    for leaf in leaf_values:
        if isinstance(leaf, str):
            values |= {leaf, *re.split(r"[$:.\s]+", leaf)}
        if isinstance(leaf, bytes) or re.fullmatch(r"[0-9a-f]{16,}|[0-9a-f]{8}(-[0-9a-f]{4}){4}[0-9a-f]{8}", leaf):
            values |= {spelling for raw in binaries(leaf) for spelling in spellings(raw)}
    return {value for value in values if re.search("[A-Za-z]", value) and len(value) <= 4096}


@pytest.mark.checklist(78, 102)
def test_a_copy_of_the_database_and_of_the_logs_holds_no_secret_and_no_part_of_one(life, logs):
    copy = text_of(dump())
    logged = logs()
    assert Refusal.objects.order_by("at").first().error_id in logged
    assert len(life.random) > 60

    assert found_in(copy, random=life.random, chosen=life.chosen) == set()
    assert found_in(logged, random=life.random, chosen=life.chosen) == set()


def test_the_search_finds_whatever_is_planted_in_whichever_spelling(life):
    handles = Counter(value[:22] for value in life.random if len(value) == refresh_tokens.LENGTH)
    of_unspent = sorted(value for value in life.random if handles[value[:22]] == 1)  # those of one session would be found together
    plain, part, raw, part_of_raw, hexadecimal, listed = of_unspent[:6]
    chosen = min(life.chosen)
    first, second = Session.objects.order_by("pk")[:2]

    audit.record("user:sign_in:failed", target=plain, user_agent=unb64(hexadecimal)[1:17].hex(), detail={"tokens": [{"was": listed}]})
    User.objects.update(name=f"my password is {chosen}, my token …{part[20:36]}…")
    Session.objects.filter(pk=first.pk).update(retry_digest=unb64(raw))
    Session.objects.filter(pk=second.pk).update(retry_digest=unb64(part_of_raw)[3:14])

    found = found_in(text_of(dump()), random=life.random, chosen=life.chosen)
    assert found == {plain, part, raw, part_of_raw, hexadecimal, listed, chosen}


# --- The doors ---------------------------------------------------------------------------------------


@dataclass
class Doors:
    """Each takes a value and says whether it opened. Whatever is not a plain refusal fails the test."""

    post: Callable[..., Answer]
    browser: Browser = field(default_factory=Browser)

    def refresh(self, value: str, *, client_id: str = "editor") -> bool:
        return self._opened(self.post(refresh_form(value, client_id=client_id)))

    def client(self, client_id: str, value: str) -> bool:
        answer = self.post(own_form(client_id, value))
        # The service may not have a token of its own: it got past its secret when that is what it is told.
        return answer.error == "unauthorized_client" or self._opened(answer)

    def password(self, username: str, value: str) -> bool:
        answer = self.post(password_form(username, value))
        # Who has a second factor is told so when the password is right.
        return answer.error == "mfa_required" or self._opened(answer)

    def bearer(self, value: str) -> bool:
        response = self.browser.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {value}")
        assert response.status_code in {200, 401}, (response.status_code, response.content)
        return response.status_code == 200

    def code(self, value: str) -> bool:
        response = self.browser.post("/api/v1/confirm-email", {"token": value}, content_type="application/json")
        assert response.status_code in {204, 400}, (response.status_code, response.content)
        return response.status_code == 204

    def cookie(self, value: str) -> bool:
        response = self.browser.get("/admin/", HTTP_COOKIE=f"{django_settings.SESSION_COOKIE_NAME}={value}")
        assert response.status_code == 200 or response["Location"].startswith("/admin/login/")
        return response.status_code == 200

    @staticmethod
    def _opened(answer: Answer) -> bool:
        assert answer.status in {200, 400, 401}, answer.body
        assert answer.status == 200 or answer.error in {"invalid_grant", "invalid_client", "invalid_request"}, answer.body
        return answer.status == 200


@pytest.fixture
def doors(post: Callable[..., Answer]) -> Doors:
    return Doors(post)


def fits_a_header(value: str) -> bool:
    return value.isascii() and value.isprintable() and ";" not in value


@pytest.mark.checklist(78, 100)
def test_nothing_in_a_copy_of_the_database_and_of_the_logs_opens_any_door(life, logs, doors, capsys):
    values = tries(dump(), logged=logs())
    stored_passwords = dict(User.objects.values_list("username", "password"))
    before = list(Session.objects.order_by("pk").values("pk", "generation", "revoked_at"))
    assert len(values) > 500

    opened = [f"refresh token: {value}" for value in values if doors.refresh(value)]
    opened += [f"secret of {client_id}: {value}" for client_id in life.client_secrets for value in values if doors.client(client_id, value)]
    opened += [f"access token: {value}" for value in values if fits_a_header(value) and doors.bearer(value)]
    opened += [f"code from a mail: {value}" for value in values if doors.code(value)]
    opened += [f"cookie: {value}" for value in values if fits_a_header(value) and doors.cookie(value)]
    opened += [f"password of {name}: {v}" for name, stored in stored_passwords.items() for v in values if check_password(v, stored)]

    with capsys.disabled():
        print(f"\nstolen copies: {len(values)} values at every door, {len(opened)} opened one")
    assert opened == []
    assert list(Session.objects.order_by("pk").values("pk", "generation", "revoked_at")) == before
    assert_every_door_opens_to_whom_it_should(life, doors)


@pytest.mark.checklist(78)
def test_what_is_stored_of_people_signs_none_of_them_in(life, doors):
    values = tries(leaf for leaf in dump("accounts_user") if not re.fullmatch(r"[\d: .+-]{1,32}", str(leaf)))

    opened = [(name, value) for name in life.passwords for value in values if doors.password(name, value)]

    assert opened == []
    assert_every_door_opens_to_whom_it_should(life, doors)


def assert_every_door_opens_to_whom_it_should(life: Life, doors: Doors) -> None:
    """Or the sweep before it has shown nothing."""
    assert doors.bearer(life.access_token)
    assert doors.cookie(life.cookie)
    assert doors.code(life.code)
    assert all(doors.client(client_id, value) for client_id, values in life.client_secrets.items() for value in values)
    assert {name for name, password in life.passwords.items() if doors.password(name, password)} == life.passwords.keys() - {"carol"}
    assert doors.refresh(life.refresh_token)


@pytest.mark.checklist(78)
def test_the_stored_argon2_hash_of_a_password_is_no_password(post, make_user, editor, doors):
    password = secrets.token_urlsafe(18)
    stored = make_user("alice", password=password).password
    values = tries([stored, stored.removeprefix("argon2")])

    opened = [value for value in values if doors.password("alice", value)]

    assert stored.startswith("argon2$argon2id$")
    assert opened == []
    assert doors.password("alice", password)


# --- The database and TOKEN_KEYS -----------------------------------------------------------------------


def signed_with_our_key(handle: bytes, generation: int) -> str:
    return refresh_tokens.encode(RefreshToken(handle, generation), keys=django_settings.TOKEN_KEYS)


@pytest.mark.checklist(78)
def test_the_database_with_token_keys_makes_no_refresh_token_because_no_handle_is_stored(life, doors):
    ids = [session.pk.bytes for session in Session.objects.all()]
    halves = [half for each in ids for half in (each[:8] * 2, each[8:] * 2, each[:8] + bytes(8), bytes(8) + each[8:], each[::-1])]
    others = {raw for leaf in dump() for raw in binaries(leaf) if len(raw) == refresh_tokens.HANDLE_BYTES}
    handles = {*ids, *halves, *others, bytes(16)}

    opened = [handle.hex() for handle in handles for generation in range(4) if doors.refresh(signed_with_our_key(handle, generation))]

    assert opened == []
    assert len(handles) > 100
    assert doors.refresh(life.refresh_token)


@pytest.mark.checklist(78)
def test_no_sixteen_bytes_in_a_row_anywhere_in_the_database_are_a_handle(life):
    ids = set(Session.objects.values_list("pk", flat=True))
    size = refresh_tokens.HANDLE_BYTES

    rows = {raw[start : start + size] for leaf in dump() for raw in binaries(leaf) for start in range(len(raw) - size + 1)}

    assert len(rows) > 2000
    assert ids.isdisjoint(map(refresh_tokens.session_id, rows))
    assert refresh_tokens.session_id(unb64(life.refresh_token)[1 : 1 + size]) in ids


def test_token_keys_alone_make_no_refresh_token(life, doors):
    guesses = [signed_with_our_key(secrets.token_bytes(16), generation) for generation in range(4) for _ in range(25)]

    assert not any(map(doors.refresh, guesses))


@pytest.mark.checklist(59)
@pytest.mark.parametrize("ahead", [0, 1, 16])
def test_token_keys_and_one_spent_token_take_the_session_over_until_its_owner_refreshes_and_ends_it(signed_in, refresh, ahead):
    spent = signed_in.body["refresh_token"]
    owners = refresh(refresh(spent).body["refresh_token"]).body["refresh_token"]
    session = session_of(owners)

    handle = refresh_tokens.decode(spent, keys=django_settings.TOKEN_KEYS).handle
    thiefs = refresh(signed_with_our_key(handle, session.generation + ahead))
    assert thiefs.status == 200
    assert AuditEvent.objects.filter(event="session:refresh:caught_up").exists() == (ahead > 0)

    assert refresh(owners).error == "invalid_grant"
    assert refresh(thiefs.body["refresh_token"]).error == "invalid_grant"
    assert Browser().get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {thiefs.body['access_token']}").status_code == 401
    session.refresh_from_db()
    assert session.revoked_reason == "refresh_token_reused"
    assert AuditEvent.objects.latest().event == "session:refresh_token:reused"


def test_token_keys_and_one_spent_token_reach_no_further_ahead_than_a_failover_could_lose(signed_in, refresh):
    spent = signed_in.body["refresh_token"]
    owners = refresh(spent).body["refresh_token"]

    handle = refresh_tokens.decode(spent, keys=django_settings.TOKEN_KEYS).handle
    far = refresh(signed_with_our_key(handle, 1 + django_settings.REFRESH_CATCH_UP_GENERATIONS + 1))

    assert far.error == "invalid_grant"
    assert refresh(owners).status == 200


def test_token_keys_and_one_spent_token_that_name_a_spent_generation_end_the_session_they_would_take(signed_in, refresh):
    spent = signed_in.body["refresh_token"]
    owners = refresh(refresh(spent).body["refresh_token"]).body["refresh_token"]

    handle = refresh_tokens.decode(spent, keys=django_settings.TOKEN_KEYS).handle

    assert refresh(signed_with_our_key(handle, 1)).error == "invalid_grant"
    assert refresh(owners).error == "invalid_grant"


def test_the_database_and_one_spent_token_without_token_keys_make_no_other_token(signed_in, refresh):
    spent = signed_in.body["refresh_token"]
    owners = refresh(spent).body["refresh_token"]
    raw, live = unb64(spent), unb64(owners)
    next_body = raw[:17] + (1).to_bytes(4, "big")
    digests = [bytes(value) for value in Session.objects.values_list("retry_digest", flat=True)]
    tags = [raw[21:], bytes(18), *(digest[:18] for digest in digests), *(digest[-18:] for digest in digests)]
    assert live[:21] == next_body

    forged = [refresh(base64.urlsafe_b64encode(next_body + tag).decode()).error for tag in tags]

    assert forged == ["invalid_grant"] * 4
    assert refresh(owners).status == 200


# --- The database and KEY_ENCRYPTION_KEYS -----------------------------------------------------------------


def opened_with(key: str, row: SigningKey) -> Any:
    """The private key of the row, as its documentation says it is encrypted. Raises InvalidToken."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"authserver signing keys").derive(key.encode())
    der = Fernet(base64.urlsafe_b64encode(derived)).decrypt(row.private_key.encode())
    return serialization.load_der_private_key(der, password=None)


@pytest.fixture
def forge_access_token(client, alice, signing_key):
    """A token for alice, signed with what the database and KEY_ENCRYPTION_KEYS give."""
    [row] = SigningKey.objects.all()
    private_key = opened_with(django_settings.KEY_ENCRYPTION_KEYS[0], row)

    def make(sid: uuid.UUID) -> str:
        return access_tokens.mint(
            signer=Signer(row.kid, row.algorithm, private_key),
            issuer=django_settings.JWT_ISSUER,
            audience=django_settings.JWT_AUDIENCE,
            subject=str(alice.pk),
            client_id="editor",
            scope="api:read auth:admin",
            lifetime=timedelta(minutes=15),
            now=clock.now(),
            session=SessionClaims(sid=sid, roles=("owner",), auth_time=clock.now(), amr=("pwd", "otp")),
        )

    return make


@pytest.mark.checklist(96)
def test_the_database_without_key_encryption_keys_opens_no_signing_key(life):
    row, _standby = SigningKey.objects.order_by("sequence")
    numbers = opened_with(django_settings.KEY_ENCRYPTION_KEYS[0], row).private_numbers()
    copy = text_of(dump())

    for other in (django_settings.SECRET_KEY, *django_settings.TOKEN_KEYS, row.kid, row.thumbprint, row.public_jwk["n"]):
        with pytest.raises(InvalidToken):
            opened_with(other, row)
    assert "BEGIN" not in copy
    assert not [n for n in (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp) if f"{n:x}"[2:34] in copy]
    assert f"{numbers.public_numbers.n:x}"[2:34] in copy


@pytest.mark.checklist(96)
def test_the_database_with_key_encryption_keys_signs_what_offline_verifiers_believe(client, forge_access_token, alice):
    forged = forge_access_token(uuid.uuid4())

    published = jwt.PyJWKSet.from_json(client.get("/.well-known/jwks.json").content.decode())
    key = published[jwt.get_unverified_header(forged)["kid"]]
    claims = jwt.decode(forged, key, algorithms=["RS256"], audience=django_settings.JWT_AUDIENCE, issuer=django_settings.JWT_ISSUER)

    assert (claims["sub"], claims["roles"]) == (str(alice.pk), ["owner"])


@pytest.mark.checklist(96)
def test_the_database_with_key_encryption_keys_signs_nothing_that_our_api_takes_without_a_live_session(
    forge_access_token, doors, sign_in, session_of, signed_in, make_user
):
    make_user("bob")
    of_bob, ended = session_of(sign_in("bob")).pk, session_of(sign_in()).pk
    sessions.revoke(ended, reason="test")

    assert not any(doors.bearer(forge_access_token(sid)) for sid in (uuid.uuid4(), of_bob, ended, signed_in_user_id(signed_in)))


def signed_in_user_id(answer: Answer) -> uuid.UUID:
    return uuid.UUID(claims_of(answer.body["access_token"])["sub"])


def test_the_database_with_key_encryption_keys_speaks_to_our_api_for_whoever_has_a_live_session_until_it_ends(
    forge_access_token, doors, session_of, signed_in
):
    """The session's id is its row's: this is why those two are kept apart, and why a stolen pair means rotate_signing_key --emergency."""
    forged = forge_access_token(session_of(signed_in).pk)

    assert doors.bearer(forged)
    sessions.revoke(session_of(signed_in).pk, reason="test")
    assert not doors.bearer(forged)


@pytest.mark.checklist(96)
def test_the_database_with_key_encryption_keys_makes_no_refresh_token(signed_in, refresh, session_of):
    [row] = SigningKey.objects.all()
    private_key = opened_with(django_settings.KEY_ENCRYPTION_KEYS[0], row)
    secret = private_key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    handle = unb64(signed_in.body["refresh_token"])[1:17]

    for key in (*django_settings.KEY_ENCRYPTION_KEYS, secret.hex(), row.private_key):
        forged = refresh_tokens.encode(RefreshToken(handle, 0), keys=[key])
        assert refresh(forged).error == "invalid_grant"
    assert session_of(signed_in).revoked_at is None


# --- The database and SECRET_KEY ----------------------------------------------------------------------------


@pytest.mark.checklist(78, 100)
def test_the_database_with_secret_key_makes_no_cookie_that_opens_the_admin(life, doors):
    admin = User.objects.get(username="admin")
    rows = list(BrowserSession.objects.all())
    contents = [row.get_decoded() for row in rows]
    forged_content = {
        "_auth_user_id": str(admin.pk),
        "_auth_user_backend": django_settings.AUTHENTICATION_BACKENDS[0],
        "_auth_user_hash": admin.get_session_auth_hash(),  # of the password's row and SECRET_KEY: the thief has both
    }
    forged_content[PROVED_BY_SECOND_FACTOR] = str(admin.pk)
    assert any(forged_content.items() <= content.items() for content in contents)

    salts = ["django.contrib.sessions.backends.signed_cookies", "django.contrib.sessions.SessionStore", "django.core.signing", ""]
    cookies = {row.session_key for row in rows} | {row.session_data for row in rows} | {admin.get_session_auth_hash()}
    for salt in salts:
        cookies |= {signing.dumps(content, salt=salt) for content in (forged_content, *contents)}
        cookies |= {signing.dumps(forged_content, salt=salt, compress=True)}
        cookies |= {signing.TimestampSigner(salt=salt or "x").sign(row.session_key) for row in rows}
        cookies |= {signing.Signer(salt=salt or "x").signature(row.session_key) for row in rows}

    assert not [value for value in cookies if doors.cookie(value)]
    assert doors.cookie(life.cookie)


@pytest.mark.checklist(78)
def test_the_database_with_secret_key_makes_no_token_and_no_secret_of_a_client(life, doors):
    """In production, where TOKEN_KEYS and KEY_ENCRYPTION_KEYS are their own; in development they are derived from SECRET_KEY."""
    handle = unb64(life.refresh_token)[1:17]
    forged = refresh_tokens.encode(RefreshToken(handle, 0), keys=[django_settings.SECRET_KEY])

    assert not doors.refresh(forged)
    assert not doors.bearer(jwt.encode(claims_of(life.access_token), django_settings.SECRET_KEY, algorithm="HS256"))
    assert not any(doors.client(client.client_id, signing.dumps(client.client_id)) for client in Client.objects.exclude(secret_digest=None))
    assert doors.refresh(life.refresh_token)
