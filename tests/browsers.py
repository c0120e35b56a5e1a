"""What an app and a person at a browser do for an authorization code, over Django's test client."""

import base64
import hashlib
import re
import secrets
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from accounts import clock

REDIRECT_URI = "https://app.example/cb"


class Verifier:
    """A code_verifier and its challenge (RFC 7636 §4)."""

    def __init__(self):
        self.value = secrets.token_urlsafe(32)
        self.challenge = base64.urlsafe_b64encode(hashlib.sha256(self.value.encode()).digest()).rstrip(b"=").decode()


def request_of(client, verifier=None, **changes):
    """The parameters of an authorization request; a change to None leaves one out."""
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": REDIRECT_URI,
        "state": "Zu:stand/1 ü",
        "code_challenge": verifier.challenge if verifier else None,
        "code_challenge_method": "S256" if verifier else None,
    } | changes
    return {name: value for name, value in parameters.items() if value is not None}


def authorize(browser, parameters):
    return browser.get(f"/oauth/authorize?{urlencode(parameters, doseq=True)}")


def returned(response, *, to=REDIRECT_URI):
    """What the app is told."""
    assert response.status_code == 303, (response.status_code, response.get("Location"), response.content[:500])
    location = response["Location"]
    assert location.startswith(to), location
    return dict(parse_qsl(urlsplit(location).query, keep_blank_values=True))


def hidden(response, name):
    return re.search(rf'name="{name}" value="([^"]*)"', response.content.decode())[1].replace("&amp;", "&")


def decide(browser, page, decision="allow", **changes):
    form = {"csrfmiddlewaretoken": hidden(page, "csrfmiddlewaretoken"), "request": hidden(page, "request"), "decision": decision}
    return browser.post("/oauth/authorize/decision", form | changes)


def sign_in(browser, user, *, ago=clock.NONE, methods=("password",)):
    """As if the person had filled in the page of sign-in, so long ago."""
    browser.force_login(user, backend="accounts.authentication.Backend")
    session = browser.session
    at = (clock.now() - ago).timestamp()
    kinds = {
        "password": {"method": "password"},
        "totp": {"method": "mfa", "type": "totp"},
        "passkey": {"method": "mfa", "type": "webauthn"},
    }
    session["account_authentication_methods"] = [kinds[method] | {"at": at} for method in methods]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def next_of(response):
    """Where a redirect to the sign-in comes back to."""
    return parse_qs(urlsplit(response["Location"]).query)["next"][0]
