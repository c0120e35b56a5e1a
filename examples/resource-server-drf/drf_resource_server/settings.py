"""All that Django needs here: no database, no accounts, no cookies. Who calls is in the token."""

import os
import secrets

from authserver_verifier import Verifier

ACCESS_TOKEN_VERIFIER = Verifier.from_environment(os.environ)

ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")
SECRET_KEY = secrets.token_urlsafe(48)  # Django wants one; nothing here is signed with it
INSTALLED_APPS = ["rest_framework"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
ROOT_URLCONF = "drf_resource_server.urls"
DATABASES: dict[str, object] = {}
DATA_UPLOAD_MAX_MEMORY_SIZE = 65536
USE_TZ, TIME_ZONE = True, "UTC"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["drf_resource_server.authentication.AccessTokenAuthentication"],
    # SECURITY: a view that names no scope is a mistake, and opens to nobody.
    "DEFAULT_PERMISSION_CLASSES": ["drf_resource_server.permissions.HasScopes"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "drf_resource_server.rendering.render",
    "UNAUTHENTICATED_USER": None,
}
