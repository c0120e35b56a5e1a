"""A small world for pictures: two weeks of a service with fifty people, a locked name, a thief, an attack, and staff at work."""

import io
import json
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client as Browser

from accounts import audit, audit_tally, clock, lockout, password_reset, users
from accounts.models import Role, User
from oauth import client_switch, clients
from oauth.models import Client

NOW = datetime(2026, 3, 10, 14, 32, tzinfo=UTC)  # a Tuesday
PASSWORD = "a password of nobody"
PEOPLE = (
    *("Anna Lindqvist", "Boris Orlov", "Chiara Ricci", "David Okafor", "Elena Petrova", "Farid Haddad", "Greta Vogel", "Hugo Martin"),
    *("Irina Sokolova", "Jonas Weber", "Katya Ivanova", "Liam Byrne", "Maya Cohen", "Nikita Volkov", "Olga Smirnova", "Pedro Alves"),
    *("Quentin Roy", "Rosa Jimenez", "Sofia Rossi", "Tomas Novak", "Uma Patel", "Viktor Hansen", "Wanda Nowak", "Yusuf Demir"),
)
STAFF = (("maria", "Maria Costa", "owner"), ("sam", "Sam Taylor", "support"), ("nadia", "Nadia Karim", "security-admin"))
DEVICES = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
)
APPS = ("codelab-flutter-app", "codelab-python-client")
ATTACKER, GUESSER = "203.0.113.45", "198.51.100.7"


@dataclass(frozen=True)
class World:
    locked: User
    error_id: str  # of a refused sign-in
    staff: dict[str, User]  # by role


@contextmanager
def at(**ago: float) -> Iterator[None]:
    """While it is so long before NOW."""
    before, clock.offset = clock.offset, NOW - timedelta(**ago) - datetime.now(UTC)
    try:
        yield
    finally:
        clock.offset = before


def make() -> World:
    """In an empty, migrated database. Afterwards it is NOW."""
    dice = random.Random(7)
    with at(days=70):
        call_command("bootstrap", stdout=io.StringIO())
    with at(days=60):
        people = [make_user(name.replace(" ", ".").lower(), name) for name in PEOPLE]
        staff = {role: make_staff(username, name, role) for username, name, role in STAFF}
        register_clients()
    days_of_use(people, dice)
    for minutes in (540, 522, 497):
        with at(minutes=minutes):
            attack(people[3:21])
    with at(minutes=4):
        error_id = lock(people[0])
    clock.offset = NOW - datetime.now(UTC)
    work_of(staff, people)
    while audit_tally.close_hours():  # as manage.py prune does
        pass
    return World(people[0], error_id, staff)


def make_user(username: str, name: str, **fields: object) -> User:
    key = uuid.uuid5(uuid.NAMESPACE_DNS, f"{username}.example.com")
    user = User.objects.create_user(username, f"{username}@example.com", PASSWORD, id=key, name=name, **fields)
    user.roles.set([Role.objects.get_or_create(name="author")[0]])
    return user


def make_staff(username: str, name: str, role: str) -> User:
    user = make_user(username, name, is_staff=True, is_superuser=role == "owner")
    user.groups.set(Group.objects.filter(name=role))
    TOTP.activate(user, generate_totp_secret())
    return user


def register_clients() -> None:
    for client_id, name, grants in (
        ("grafana", "Grafana", ("authorization_code", "refresh_token")),
        ("nightly-reports", "Nightly reports", ("client_credentials",)),
        ("legacy-importer", "Legacy importer", ("client_credentials",)),
    ):
        clients.register(client_id, name=name, is_public=False, grant_types=grants, allowed_scopes="api:read", default_scopes="api:read")
    Client.objects.filter(client_id="grafana").update(redirect_uris="https://grafana.example.com/login/generic_oauth")
    Client.objects.update(created=clock.now(), updated=clock.now())
    client_switch.disable(Client.objects.get(client_id="legacy-importer"), actor=_actor(None), reason="replaced by nightly-reports")


def sign_in(user: User, *, password: str = PASSWORD, app: str = APPS[0], address: str, device: str = DEVICES[0]) -> dict[str, str]:
    form = {"grant_type": "password", "username": user.username, "password": password, "client_id": app}
    encoded = "application/x-www-form-urlencoded"
    answer = Browser().post("/oauth/token", urlencode(form), encoded, HTTP_HOST="localhost", REMOTE_ADDR=address, HTTP_USER_AGENT=device)
    assert answer.status_code == 200 or password != PASSWORD, answer.content
    body: dict[str, str] = json.loads(answer.content)
    return body


def days_of_use(people: list[User], dice: random.Random) -> None:
    """People sign in by day, a few of them mistype their password; those of the last days have sessions."""
    for day in range(14, 0, -1):
        with at(days=day - 1, hours=dice.uniform(1, 6)):
            for number, user in enumerate(people):
                if dice.random() < (0.25 if clock.now().weekday() > 4 else 0.6):
                    mistyped = dice.random() < 0.12
                    password = "mistyped" if mistyped else PASSWORD
                    sign_in(user, password=password, app=dice.choice(APPS), address=f"192.0.2.{10 + number}", device=dice.choice(DEVICES))


def attack(people: list[User]) -> None:
    for user in people:
        sign_in(user, password="guessed", address=ATTACKER, device="python-requests/2.32")


def lock(user: User) -> str:
    """Somebody guesses until the name is locked; the number of the last refusal."""
    with at(hours=30):
        sign_in(user, address="192.0.2.10", device=DEVICES[1])
    with at(hours=3):
        sign_in(user, address="192.0.2.10", device=DEVICES[3], app=APPS[1])
    for _ in range(6):
        refused = sign_in(user, password="guessed", address=GUESSER, device=DEVICES[2])
    return refused["error_id"]


def work_of(staff: dict[str, User], people: list[User]) -> None:
    sam, nadia = _actor(staff["support"]), _actor(staff["security-admin"])
    with at(hours=5, minutes=10):
        users.sign_out_everywhere(people[5], actor=sam, reason="lost his phone on the train")
    with at(hours=2, minutes=41):
        password_reset.send(people[8], language="en", actor=sam, reason="forgot it, called from her number on file")
    with at(hours=1, minutes=15):
        lockout.unlock(people[12].pk, actor=sam, reason="caps lock")
        users.disable(people[20], actor=nadia, reason="left the company")
    with at(minutes=50):
        clients.rotate_secret(
            Client.objects.get(client_id="grafana"), keep_old_for=timedelta(days=1), actor=_actor(staff["owner"]), reason="every year"
        )
        audit.record("user:lockout:lifted", target=people[3].pk, **sam, detail={"reason": "on holiday, other keyboard"})


def _actor(user: User | None) -> dict[str, object]:
    return {"actor_id": None if user is None else user.pk, "address": "192.0.2.200", "user_agent": DEVICES[2]}
