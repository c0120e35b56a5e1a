"""What staff do in a browser."""

import re

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from tests.conftest import PASSWORD

BROWSER = "Mozilla/5.0 (staff)"


def page(action, of, *args):
    """The address of an admin page of a model, or of a row."""
    model = of if isinstance(of, type) else type(of)
    pk = () if isinstance(of, type) else (of.pk,)
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{action}", args=(*pk, *args))


def password_page(user):
    return reverse("admin:auth_user_password_change", args=(user.pk,))


def token_in(response):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', response.content.decode())[1]


def log_in(browser, username, password=PASSWORD, **extra):
    """Fill in the form of /admin/login/ as a person does."""
    form = browser.get("/admin/login/", {"next": "/admin/"})
    credentials = {"username": username, "password": password, "csrfmiddlewaretoken": token_in(form), "next": "/admin/"}
    return browser.post("/admin/login/", credentials, **extra)


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


def confirm(browser, name, rows, *, reason=""):
    return act(browser, name, rows, confirmed="True", reason=reason)


def messages_in(response):
    """What the next page says at its top."""
    return [str(message) for message in response.context["messages"]]
