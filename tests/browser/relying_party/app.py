"""A site whose users come from elsewhere, by mozilla-django-oidc.

The environment has ISSUER, CLIENT_ID, CLIENT_SECRET, and FOLDER for its database. What else the library asks for is discovered.
"""

import os
import secrets
import sys
from urllib.parse import urlencode

import django
import requests
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.urls import include, path
from django.utils.html import format_html

METADATA = requests.get(f"{os.environ['ISSUER']}/.well-known/openid-configuration", timeout=20).json()

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(48),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="app",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "mozilla_django_oidc"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{os.environ['FOLDER']}/relying-party.db"}},
    AUTHENTICATION_BACKENDS=["mozilla_django_oidc.auth.OIDCAuthenticationBackend"],
    OIDC_RP_CLIENT_ID=os.environ["CLIENT_ID"],
    OIDC_RP_CLIENT_SECRET=os.environ["CLIENT_SECRET"],
    OIDC_RP_SIGN_ALGO="RS256",
    OIDC_RP_SCOPES="openid email profile",
    OIDC_USE_PKCE=True,
    OIDC_TOKEN_USE_BASIC_AUTH=True,
    OIDC_STORE_ID_TOKEN=True,
    OIDC_OP_AUTHORIZATION_ENDPOINT=METADATA["authorization_endpoint"],
    OIDC_OP_TOKEN_ENDPOINT=METADATA["token_endpoint"],
    OIDC_OP_USER_ENDPOINT=METADATA["userinfo_endpoint"],
    OIDC_OP_JWKS_ENDPOINT=METADATA["jwks_uri"],
    OIDC_OP_LOGOUT_URL_METHOD="app.logout_url",
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"]},
    },
    LOGIN_REDIRECT_URL="/",
    LOGOUT_REDIRECT_URL="/",
    LOGIN_REDIRECT_URL_FAILURE="/?failed",
)

PAGE = """<!doctype html><html lang="en"><title>Relying party</title><link rel="icon" href="data:,"><h1>{}</h1>
<a href="/oidc/authenticate/">Sign in elsewhere</a>
<form method="post" action="/oidc/logout/"><input type="hidden" name="csrfmiddlewaretoken" value="{}"><button>Sign out</button></form>"""


def home(request: HttpRequest) -> HttpResponse:
    user = request.user
    return HttpResponse(format_html(PAGE, user.email if user.is_authenticated else "Nobody is signed in", get_token(request)))


def logout_url(request: HttpRequest) -> str:
    """RP-Initiated Logout 1.0 §2."""
    back = {"id_token_hint": request.session["oidc_id_token"], "post_logout_redirect_uri": request.build_absolute_uri("/")}
    return f"{METADATA['end_session_endpoint']}?{urlencode(back)}"


urlpatterns = [path("", home), path("oidc/", include("mozilla_django_oidc.urls"))]

if __name__ == "__main__":
    sys.modules["app"] = sys.modules["__main__"]
    django.setup()
    execute_from_command_line(sys.argv)
