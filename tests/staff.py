"""What staff do in a browser."""

import re
from importlib import import_module
from types import SimpleNamespace

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from allauth.mfa.utils import decrypt
from django.apps import apps
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group
from django.db import connection
from django.urls import reverse

from accounts import clock
from accounts.models import User
from accounts.sign_in_adapters import PROVED_BY_SECOND_FACTOR
from tests import secrecy
from tests.conftest import PASSWORD

BROWSER = "Mozilla/5.0 (staff)"
roles_of_staff = import_module("oauth.migrations.0006_roles_of_staff")


def make_roles():
    """As the migration does; a test with transactions of its own leaves a database without them."""
    roles_of_staff.make_roles(apps, SimpleNamespace(connection=connection))


def give_role(user, role):
    """Make a user what staff of this role are. An owner is a superuser."""
    make_roles()
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=role == "owner")
    user.groups.set([] if role == "owner" else [Group.objects.get(name=role)])
    return User.objects.get(pk=user.pk)


def page(action, of, *args):
    """The address of an admin page of a model, or of a row."""
    model = of if isinstance(of, type) else type(of)
    pk = () if isinstance(of, type) else (of.pk,)
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{action}", args=(*pk, *args))


def password_page(user):
    return reverse("admin:auth_user_password_change", args=(user.pk,))


def token_in(response):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', response.content.decode())[1]


def enrol(user):
    """Give the user an authenticator app and recovery codes, unless there is one; its seed."""
    found = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    if found is None:
        found = TOTP.activate(user, _remembered(generate_totp_secret())).instance
        RecoveryCodes.activate(user)
    return decrypt(found.data["secret"])


def _remembered(seed):
    secrecy.remember("the seed of an authenticator app", seed)
    return seed


def code_of(user, *, steps=0):
    """What the user's app shows now, or `steps` half minutes from now; as if none had been used before."""
    User.objects.filter(pk=user.pk).update(last_totp_step=0)
    return totp_code(enrol(user), steps=steps)


def totp_code(seed, *, steps=0):
    return format_hotp_value(hotp_value(seed, int(clock.now().timestamp()) // 30 + steps))


def send_password(browser, username, password=PASSWORD, *, to="/admin/", **extra):
    """Fill in the form of /sign-in as a person does."""
    form = browser.get("/sign-in", {"next": to})
    credentials = {"login": username, "password": password, "csrfmiddlewaretoken": token_in(form), "next": to}
    return browser.post("/sign-in", credentials, **extra)


def send_code(browser, code, **extra):
    form = browser.get("/sign-in/code")
    return browser.post("/sign-in/code", {"code": code, "csrfmiddlewaretoken": token_in(form)}, **extra)


def log_in(browser, username, password=PASSWORD, **extra):
    """Sign in with the password, and with the second factor that every member of staff has in these tests."""
    try:
        user = User.objects.get_by_natural_key(username)
    except User.DoesNotExist:
        user = None
    if user is not None and user.is_staff:
        enrol(user)
    answer = send_password(browser, username, password, **extra)
    if user is None or answer.status_code != 302 or answer["Location"] != "/sign-in/code":
        return answer
    return send_code(browser, code_of(user), **extra)


def let_in(browser, user, *, ago=clock.NONE):
    """Django's force_login, as if the second factor had been given, so long ago."""
    enrol(user)
    browser.force_login(user, backend="accounts.authentication.Backend")
    session = browser.session
    session[PROVED_BY_SECOND_FACTOR] = str(user.pk)
    record = {"method": "mfa", "type": "totp", "at": (clock.now() - ago).timestamp()}
    session["account_authentication_methods"] = [record]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def form_of(response):
    """What a browser would send back of the form on this page."""
    form = response.context["adminform"].form
    fields = {name: form[name].value() for name, field in form.fields.items() if not field.disabled}
    return {
        name: [str(getattr(each, "pk", each)) for each in value] if isinstance(value, list) else value
        for name, value in fields.items()
        if value not in (None, False)
    }


def errors_in(response):
    """What the form on this page is told, by field."""
    assert response.status_code == 200, response.status_code
    form = response.context.get("adminform", response.context.get("adminForm")).form
    return {field: [*texts] for field, texts in form.errors.items()}


def act(browser, name, rows, **form):
    """Choose rows of a list and an action for them; with `confirmed`, as from the page that asks for it."""
    return browser.post(page("changelist", type(rows[0])), {"action": name, ACTION_CHECKBOX_NAME: [row.pk for row in rows]} | form)


def confirm(browser, name, rows, *, reason="an incident"):
    return act(browser, name, rows, confirmed="True", reason=reason)


def messages_in(response):
    """What the next page says at its top."""
    return [str(message) for message in response.context["messages"]]
