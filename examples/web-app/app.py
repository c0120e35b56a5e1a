"""A web app that lets its users in by the authorization server: AUTH_ISSUER=http://localhost:8003 … python app.py runserver 8080

One file of Django with Authlib, which is given the issuer and finds the rest there. Tokens stay on this server; the browser has a
session cookie.
"""

import os
import secrets
import sys

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import path
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_POST

ISSUER = os.environ["AUTH_ISSUER"].rstrip("/")

settings.configure(
    SECRET_KEY=os.environ.get("APP_SECRET_KEY") or secrets.token_urlsafe(48),
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",  # in the memory of this one process; take a shared cache for more
    SESSION_COOKIE_NAME="web_app",  # cookies know no ports: another name than the authorization server's, beside it on localhost
    CSRF_COOKIE_NAME="web_app_csrf",
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    SESSION_COOKIE_SECURE=not ISSUER.startswith("http://localhost"),
)

oauth = OAuth()
oauth.register(
    "authserver",
    client_id=os.environ["AUTH_CLIENT_ID"],
    client_secret=os.environ["AUTH_CLIENT_SECRET"],
    server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
    client_kwargs={"scope": "openid profile api:read", "code_challenge_method": "S256"},
)

SIGNED_IN = """<h1>Hello {}</h1>
<form method="post" action="/logout"><input type="hidden" name="csrfmiddlewaretoken" value="{}"><button>Sign out</button></form>"""


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    if "user" not in request.session:
        return HttpResponse('<h1>Web app</h1><p><a href="/login">Sign in</a></p>')
    token = request.session["access_token"]
    answer = requests.get(f"{ISSUER}/api/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    if answer.status_code == 401:  # it has expired, or the user has signed out elsewhere
        request.session.flush()
        return HttpResponseRedirect("/login")
    answer.raise_for_status()
    return HttpResponse(format_html(SIGNED_IN, answer.json()["username"], get_token(request)))


@require_GET
def login(request: HttpRequest) -> HttpResponse:
    """State, nonce and code_verifier are made and kept in the session by Authlib."""
    away: HttpResponse = oauth.authserver.authorize_redirect(request, request.build_absolute_uri("/callback"))
    return away


@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Authlib compares the state, sends the code_verifier, and verifies the id_token with the published keys."""
    try:
        tokens = oauth.authserver.authorize_access_token(request)
    except OAuthError as refusal:
        return HttpResponse(format_html('<p>Not signed in: {}. <a href="/">Back</a></p>', refusal.error), status=403)
    request.session.cycle_key()  # or whoever knew the cookie before would be signed in too
    request.session["user"] = tokens["userinfo"]["sub"]
    request.session["access_token"] = tokens["access_token"]
    request.session["id_token"] = tokens["id_token"]
    return HttpResponseRedirect("/")


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """Out here, and out there: the authorization server asks the user, and sends them back."""
    id_token = request.session.get("id_token")
    request.session.flush()
    away = oauth.authserver.create_logout_url(post_logout_redirect_uri=request.build_absolute_uri("/"), id_token_hint=id_token)
    return HttpResponseRedirect(away["url"])


urlpatterns = [path("", home), path("login", login), path("callback", callback), path("logout", logout)]

if __name__ == "__main__":
    execute_from_command_line([sys.argv[0], *(sys.argv[1:] or ["runserver", "8080", "--noreload"])])
