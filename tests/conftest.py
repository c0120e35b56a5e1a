"""The cast (alice, bob, mallory), the clients (editor, robot), and makers of what tests need."""

import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings as django_settings
from django.core.cache import caches
from django.db import connection
from django.http import HttpResponse
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django_ratelimit import core as ratelimit

from accounts import clock, lockout, name_counts, refusals, shared_store
from accounts.models import Role, User
from accounts.pruning import Pruning
from authserver import caches as server_caches
from oauth import clients, cors, foreign_tokens, key_pairs, key_rotation, keys
from oauth.models import Client, Session
from tests import secrecy
from tests.redis import RedisServer, redis_server

PASSWORD = "correct horse battery"
PUBLIC_GRANTS = ("password", "refresh_token")


def pytest_collection_finish() -> None:
    """What is there now stays until the end: to look through it for garbage again and again took a seventh of the run's CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def _no_secret_in_the_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The run fails at its end when one of its secrets stands in a line of any logger."""
    gathered = secrecy.Gathering(tmp_path_factory.mktemp("log") / "lines")
    secrecy.remember_settings(secrecy.ledger)
    secrecy.ledger.remember("a user's password", PASSWORD)
    with secrecy.watching(gathered, secrecy.ledger):
        yield
    gathered.close()
    leaks = "\n".join(map(str, secrecy.ledger.leaks(gathered.path)))
    assert not leaks, leaks


@pytest.fixture(autouse=True)
def _fast_hashes(request: pytest.FixtureRequest, settings: Any) -> None:
    """MD5 wherever the hash itself is not what is tested (marked by the module's name)."""
    if "hash" not in request.node.nodeid:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Each test starts like a new process: nothing cached, no clock moved."""
    clients.cache.forget()
    cors.cache.forget()
    keys.ring.forget()
    caches["default"].clear()
    name_counts.here.forget()
    name_counts.waiting.take()
    foreign_tokens.recent.forget()
    shared_store.shared.forget()
    refusals.allowance = refusals.Allowance()
    for module in (refusals, lockout):
        module.pruning = Pruning(every_seconds=module.PRUNE_EVERY_SECONDS)
        assert module.pruning.is_due()  # and not again within this test, or statements could not be counted
    yield
    clock.offset = clock.NONE


class HeldClock:
    """Stands at the moment it was made, and moves when a test moves the clock (`later`)."""

    def __init__(self) -> None:
        self._made_at = time.time()

    def time(self) -> float:
        return self._made_at + clock.offset.total_seconds()


@pytest.fixture(autouse=True)
def _no_window_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows of ceilings are fixed: one that ended between two requests of a test would forget the first of them."""
    monkeypatch.setattr(ratelimit, "time", HeldClock())


@pytest.fixture(scope="session")
def key_pairs_of_the_run() -> list[rsa.RSAPrivateKey]:
    """Such as the server makes: no kid of them begins with a dash."""
    return [key_pairs.generate("RS256", rsa_bits=2048).private_key for _ in range(6)]


@pytest.fixture(scope="session")
def key_pair(key_pairs_of_the_run: list[rsa.RSAPrivateKey]) -> rsa.RSAPrivateKey:
    return key_pairs_of_the_run[0]


@pytest.fixture
def signing_key(db: None, monkeypatch: pytest.MonkeyPatch, key_pairs_of_the_run: list[rsa.RSAPrivateKey]) -> Any:
    """The server's first key. The pairs are made once for all tests, and given out in their order in each."""
    pairs, generate = iter(key_pairs_of_the_run), rsa.generate_private_key
    monkeypatch.setattr(key_pairs.rsa, "generate_private_key", lambda **options: next(pairs, None) or generate(**options))
    return key_rotation.ensure_first()


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    def make(username: str, *, roles: tuple[str, ...] = (), **fields: Any) -> User:
        password = fields.pop("password", PASSWORD)
        secrecy.remember("a user's password", password)
        user = User.objects.create_user(username, fields.pop("email", f"{username}@example.com"), password, **fields)
        user.roles.set([Role.objects.get_or_create(name=name)[0] for name in roles])
        return user

    return make


@pytest.fixture
def alice(make_user: Callable[..., User]) -> User:
    """Writes code in the editor and has two roles."""
    return make_user("alice", roles=("reviewer", "author"))


@pytest.fixture
def bob(make_user: Callable[..., User]) -> User:
    """Another user of the same editor."""
    return make_user("bob")


@pytest.fixture
def make_client(db: None) -> Callable[..., clients.Registration]:
    def make(client_id: str, **fields: Any) -> clients.Registration:
        made = clients.register(
            client_id,
            **{
                "name": client_id.title(),
                "is_public": True,
                "grant_types": PUBLIC_GRANTS,
                "allowed_scopes": "api:read api:write",
                "default_scopes": "api:read api:write",
            }
            | fields,
        )
        secrecy.remember("a client's secret", made.secret_value, client_id=client_id)
        return made

    return make


@pytest.fixture
def editor(make_client: Callable[..., clients.Registration]) -> Client:
    """A public app in its users' hands."""
    return make_client("editor").client


@pytest.fixture
def robot(make_client: Callable[..., clients.Registration]) -> clients.Registration:
    """A confidential service with tokens of its own."""
    return make_client("robot", is_public=False, grant_types=("client_credentials",))


@pytest.fixture
def redis(settings: Any) -> Iterator[RedisServer]:
    """A Redis of this test's, in which ceilings are counted."""
    with redis_server() as server:
        settings.REDIS_URL, settings.CACHES = server.url, server_caches.settings_of(server.url)
        yield server
        shared_store.shared.forget()


@dataclass(frozen=True)
class Answer:
    """An answer of the server, and its JSON."""

    response: HttpResponse
    body: dict[str, Any]

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def error(self) -> str | None:
        return self.body.get("error")


@pytest.fixture
def post(signing_key: Any) -> Callable[..., Answer]:
    """POST a form to the token endpoint; headers as keyword arguments in WSGI's spelling."""
    browser = Browser(raise_request_exception=False, enforce_csrf_checks=True)

    def send(
        form: dict[str, str] | bytes, *, path: str = "/oauth/token", content_type: str = "application/x-www-form-urlencoded", **headers: str
    ) -> Answer:
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        for name in ("password", "client_secret", "refresh_token") if isinstance(form, dict) else ():
            secrecy.remember(f"a {name} that was typed", form.get(name))
        response = browser.generic("POST", path, body, content_type=content_type, **headers)
        return Answer(response, json.loads(response.content))

    return send


@pytest.fixture
def sign_in(post: Callable[..., Answer], alice: User, editor: Client) -> Callable[..., Answer]:
    def send(username: str = "alice", password: str = PASSWORD, **extra: str) -> Answer:
        form = {"grant_type": "password", "username": username, "password": password, "client_id": "editor"}
        headers = {name: extra.pop(name) for name in [*extra] if name.isupper()}
        return post(form | extra, **headers)

    return send


@pytest.fixture
def refresh(post: Callable[..., Answer]) -> Callable[..., Answer]:
    def send(refresh_token: str, *, client_id: str = "editor", key: str = "", **extra: str) -> Answer:
        headers = {name: extra.pop(name) for name in [*extra] if name.isupper()}
        if key:
            headers["HTTP_IDEMPOTENCY_KEY"] = key
        return post({"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id} | extra, **headers)

    return send


@pytest.fixture
def signed_in(sign_in: Callable[..., Answer]) -> Answer:
    """Alice, signed in to the editor."""
    answer = sign_in()
    assert answer.status == 200, answer.body
    return answer


@pytest.fixture
def later() -> Callable[..., None]:
    """Move the clock, of the process and of the statements, for the rest of the test."""

    def move(**duration: float) -> None:
        clock.offset += timedelta(**duration)

    return move


@pytest.fixture
def claims_of(signing_key: Any) -> Callable[[Answer], dict[str, Any]]:
    """The claims of an answer's access token, its signature verified and its times not."""

    def decode(answer: Answer) -> dict[str, Any]:
        public_key = keys.ring.view().verification_keys[signing_key.kid].public_key
        return jwt.decode(
            answer.body["access_token"],
            public_key,
            algorithms=["RS256"],
            audience=django_settings.JWT_AUDIENCE,
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )

    return decode


@pytest.fixture
def session_of(claims_of: Callable[[Answer], dict[str, Any]]) -> Callable[[Answer], Session]:
    def find(answer: Answer) -> Session:
        return Session.objects.get(pk=claims_of(answer)["sid"])

    return find


@pytest.fixture
def count_statements() -> Callable[[], CaptureQueriesContext]:
    """A context whose `len` is the statements sent to the database, transaction control left out."""
    return lambda: StatementsOnly(connection)


class StatementsOnly(CaptureQueriesContext):
    def __len__(self) -> int:
        control = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
        return sum(not query["sql"].upper().startswith(control) for query in self.captured_queries)


def public_pem(private_key: rsa.RSAPrivateKey) -> bytes:
    return private_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
