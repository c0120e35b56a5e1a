"""Every setting of the server, read once from the environment and `.env` (docs/settings.md)."""

import hashlib
import multiprocessing
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import allauth
import django_stubs_ext

from authserver import __version__, admin_hosts, caches, database_url, email_url, otel
from authserver.env import ConfigurationError, Environment
from oauth import origins

BASE_DIR = Path(__file__).resolve().parent.parent
django_stubs_ext.monkeypatch()  # so that ModelAdmin[User] can be written where it is declared
env = Environment.load(BASE_DIR / ".env")

# --- What kind of server this is ---------------------------------------------------------------
VERSION = __version__
ENVIRONMENT = env.text(
    "AUTH_SERVICE__ENVIRONMENT",
    default=env.text("ENVIRONMENT", default="production", choices=("production", "development")),
    choices=("production", "development"),
)
DEVELOPMENT = ENVIRONMENT == "development"
PORT = env.integer("AUTH_SERVICE__PORT", default=env.integer("PORT", default=8003, least=1, most=65535), least=1, most=65535)
# gunicorn marks its process, so that the limits of a server do not cut a migration short.
SERVING = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")
DATA_DIR = BASE_DIR / env.text("AUTH_SERVICE__DATA_DIR", default="data")
DEBUG = False  # Also in development: an answer must never carry a traceback or a setting.


def _folder(name: str, path: Path) -> Path:
    """The folder, made when it is not there, for nobody else to read. `name` is the variable to mend when that fails."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{name}: the folder {path} cannot be made: {error.strerror}.") from None
    return path


# --- Secrets -----------------------------------------------------------------------------------
def _development_secret() -> str:
    """The secret of this checkout, made at the first start and kept in the data folder."""
    path = _folder("AUTH_SERVICE__DATA_DIR", DATA_DIR) / "secret-key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        value = secrets.token_urlsafe(48)
        file.write(value + "\n")
    return value


def _derived(purpose: str) -> str:
    return hashlib.sha256(f"authserver {purpose} {SECRET_KEY}".encode()).hexdigest()


SECRET_KEY = env.secret("AUTH_SERVICE__SECRET_KEY", default=_development_secret if DEVELOPMENT else None)
SECRET_KEY_FALLBACKS = list(env.optional_secrets("AUTH_SERVICE__SECRET_KEY_FALLBACKS"))
TOKEN_KEYS = env.secrets("AUTH_SERVICE__TOKEN_KEYS", default=(lambda: _derived("token keys")) if DEVELOPMENT else None)
KEY_ENCRYPTION_KEYS = env.secrets(
    "AUTH_SERVICE__KEY_ENCRYPTION_KEYS", default=(lambda: _derived("key encryption keys")) if DEVELOPMENT else None
)

# --- Tokens ------------------------------------------------------------------------------------
JWT_ISSUER = env.text("AUTH_SERVICE__JWT_ISSUER", default=f"http://localhost:{PORT}" if DEVELOPMENT else None)
try:
    _issuer = urlsplit(JWT_ISSUER)
except ValueError:  # a bracket that is not closed
    _issuer = urlsplit("")
if _issuer.scheme not in {"http", "https"} or not _issuer.hostname or _issuer.query or _issuer.fragment:
    raise ConfigurationError(
        f"AUTH_SERVICE__JWT_ISSUER is {JWT_ISSUER!r}, but must be an URL without query, such as https://auth.example.com."
    )
JWT_AUDIENCE = env.text("AUTH_SERVICE__JWT_AUDIENCE", default="codelab-api")
ACCESS_TOKEN_LIFETIME = env.seconds("AUTH_SERVICE__ACCESS_TOKEN_LIFETIME", default=timedelta(minutes=15), most=86400)
REFRESH_TOKEN_LIFETIME = env.seconds("AUTH_SERVICE__REFRESH_TOKEN_LIFETIME", default=timedelta(days=30))
SESSION_MAX_AGE = env.seconds("AUTH_SERVICE__SESSION_MAX_AGE", default=timedelta(0), least=0) or None
REFRESH_OVERLAP_SECONDS = env.integer("AUTH_SERVICE__REFRESH_OVERLAP_SECONDS", default=0, most=60)
REFRESH_CATCH_UP_GENERATIONS = env.integer("AUTH_SERVICE__REFRESH_CATCH_UP_GENERATIONS", default=16, most=1024)
INVALID_GRANT_STATUS = int(env.text("AUTH_SERVICE__INVALID_GRANT_STATUS", default="400", choices=("400", "401")))
CLOCK_SKEW = env.seconds("AUTH_SERVICE__CLOCK_SKEW", default=timedelta(seconds=60), least=0, most=300)
JWKS_MAX_AGE = env.seconds("AUTH_SERVICE__JWKS_MAX_AGE", default=timedelta(hours=1), least=0, most=86400)
PASSWORD_GRANT = env.flag("AUTH_SERVICE__PASSWORD_GRANT", default=True)

# --- Signing keys (oauth.key_rotation) -----------------------------------------------------------
KEY_ALGORITHM = env.text("AUTH_SERVICE__KEY_ALGORITHM", default="RS256", choices=("RS256", "ES256", "EdDSA"))
KEY_RSA_BITS = int(env.text("AUTH_SERVICE__KEY_RSA_BITS", default="2048", choices=("2048", "3072", "4096")))
# Verifiers keep the key set for JWKS_MAX_AGE, the guide's for an hour, and a cache before them for as long again.
_least_lead = 2 * (JWKS_MAX_AGE if DEVELOPMENT else max(JWKS_MAX_AGE, timedelta(hours=1)))
KEY_PUBLISH_LEAD = env.seconds(
    "AUTH_SERVICE__KEY_PUBLISH_LEAD", default=max(timedelta(days=1), _least_lead), least=int(_least_lead.total_seconds())
)
KEY_ROTATION_DAYS = env.integer("AUTH_SERVICE__KEY_ROTATION_DAYS", default=90, most=3650)
KEY_ROTATION_PERIOD = timedelta(days=KEY_ROTATION_DAYS) or None
PRIVATE_KEY_PATH = env.text("AUTH_SERVICE__PRIVATE_KEY_PATH", default="")
PRIVATE_KEY_ID = env.text("AUTH_SERVICE__PRIVATE_KEY_ID", default="")
if PRIVATE_KEY_ID and not PRIVATE_KEY_PATH:
    raise ConfigurationError("AUTH_SERVICE__PRIVATE_KEY_ID names the key of AUTH_SERVICE__PRIVATE_KEY_PATH, which is not set.")

# --- HTTP --------------------------------------------------------------------------------------
ALLOWED_HOSTS = list(env.words("AUTH_SERVICE__ALLOWED_HOSTS", default=("localhost", "127.0.0.1", "[::1]")))
ADMIN_HOSTS = [name.lower() for name in env.words("AUTH_SERVICE__ADMIN_HOSTS", default=())]
for _name in admin_hosts.unserved(ADMIN_HOSTS, allowed=ALLOWED_HOSTS):
    raise ConfigurationError(f"AUTH_SERVICE__ADMIN_HOSTS names {_name!r}, which AUTH_SERVICE__ALLOWED_HOSTS lacks: add it there.")
TRUSTED_PROXIES = env.networks("AUTH_SERVICE__TRUSTED_PROXIES")
REQUIRE_HTTPS = env.flag("AUTH_SERVICE__REQUIRE_HTTPS", default=not DEVELOPMENT)
if REQUIRE_HTTPS and _issuer.scheme != "https":
    raise ConfigurationError(
        f"AUTH_SERVICE__JWT_ISSUER is {JWT_ISSUER!r}, but must begin with https:// while AUTH_SERVICE__REQUIRE_HTTPS is true."
    )
CORS_ORIGINS = frozenset(env.words("AUTH_SERVICE__CORS_ORIGINS", default=()))  # beside those of each client (oauth.cors)
for _origin in sorted(CORS_ORIGINS):
    if not origins.is_origin(_origin):
        raise ConfigurationError(
            f"AUTH_SERVICE__CORS_ORIGINS has {_origin!r}, but an origin is scheme, host and port in small letters, without a path and "
            "without the usual port, such as https://app.example.com."
        )
ROOT_URLCONF = "authserver.urls"
WEB_CONCURRENCY = env.integer("WEB_CONCURRENCY", default=multiprocessing.cpu_count(), least=1, most=1024)
THREADS = 4  # of each process
DRAIN_SECONDS = env.integer("AUTH_SERVICE__DRAIN_SECONDS", default=0 if DEVELOPMENT else 5, most=20)
WSGI_APPLICATION = "authserver.wsgi.application"
# No page takes a file: of one that is sent all the same nothing reaches a disk, and what is too large for memory is passed over.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
CSRF_FAILURE_VIEW = "authserver.pages.forged"
APPEND_SLASH = False  # A redirect would lose or re-post a body.

# --- Storage -----------------------------------------------------------------------------------
DB_URL = env.url("AUTH_SERVICE__DB_URL", default=f"sqlite:///{DATA_DIR}/auth.db")
DB_BEHIND_POOLER = env.flag("AUTH_SERVICE__DB_BEHIND_POOLER", default=False)
DATABASE_LIMITS = database_url.LIMITS  # of a serving process, on PostgreSQL
_database = database_url.settings_of(DB_URL, folder=BASE_DIR, serving=SERVING, pooled=DB_BEHIND_POOLER)
if _database["ENGINE"] == database_url.SQLITE and _database["NAME"] != ":memory:":
    _folder("AUTH_SERVICE__DB_URL", _database["NAME"].parent)
DATABASES = {"default": _database}
PROCESSES = 1 if _database["ENGINE"] == database_url.SQLITE else WEB_CONCURRENCY
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Passwords ---------------------------------------------------------------------------------
ARGON2_MEMORY_KIB = env.integer("AUTH_SERVICE__ARGON2_MEMORY_KIB", default=19456, least=8192, most=1048576)
ARGON2_TIME_COST = env.integer("AUTH_SERVICE__ARGON2_TIME_COST", default=2, least=1, most=16)
LIBARGON2 = env.text("AUTH_SERVICE__LIBARGON2", default="")  # a path, or a name for the system's loader (accounts.libargon2)
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.authentication.Backend"]
PASSWORD_HASHERS = [
    "accounts.hashers.Argon2idHasher",
    # Of imported users, until they sign in.
    "accounts.foreign_hashers.PBKDF2SHA256Hasher",
    "accounts.foreign_hashers.PBKDF2SHA1Hasher",
    "accounts.foreign_hashers.ScryptHasher",
    "accounts.foreign_hashers.BCryptSHA256Hasher",
    "accounts.foreign_hashers.BCryptHasher",
    "accounts.foreign_hashers.PasslibPBKDF2Hasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("username", "email", "name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "accounts.passwords.MaximumLengthValidator"},
    {"NAME": "accounts.passwords.PrintableValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# --- Attempts to sign in (accounts.lockout) ------------------------------------------------------
BRUTE_FORCE_THRESHOLD = env.integer("AUTH_SERVICE__BRUTE_FORCE_THRESHOLD", default=5, least=1, most=1000)
BRUTE_FORCE_LOCKOUT_DURATION = env.seconds("AUTH_SERVICE__BRUTE_FORCE_LOCKOUT_DURATION", default=timedelta(minutes=15), most=86400)
RATE_LIMIT_PER_USERNAME = env.rate("AUTH_SERVICE__RATE_LIMIT_PER_USERNAME", default="50/d")

# --- Sessions of browsers (accounts.browser_sessions) --------------------------------------------
BROWSER_SESSION_IDLE = env.seconds("AUTH_SERVICE__BROWSER_SESSION_IDLE", default=timedelta(hours=1), least=60, most=86400)
BROWSER_SESSION_MAX_AGE = env.seconds("AUTH_SERVICE__BROWSER_SESSION_MAX_AGE", default=timedelta(hours=12), least=60, most=604800)

# --- Ceilings on what one address may send (accounts.throttling) ---------------------------------
ENABLE_RATE_LIMITING = env.flag("AUTH_SERVICE__ENABLE_RATE_LIMITING", default=True)
RATE_LIMIT_PER_IP = env.rate("AUTH_SERVICE__RATE_LIMIT_PER_IP", default="1200/m")
RATE_LIMIT_FAILURES_PER_IP = env.rate("AUTH_SERVICE__RATE_LIMIT_FAILURES_PER_IP", default="20/5m")
REDIS_URL = env.url("AUTH_SERVICE__REDIS_URL", default="")
CACHES = caches.settings_of(REDIS_URL)
RATELIMIT_USE_CACHE = "ceilings"
RATELIMIT_FAIL_OPEN = True  # for a counter that vanished between two questions; without Redis this process counts

# --- E-mail ------------------------------------------------------------------------------------
EMAIL_URL = env.url("AUTH_SERVICE__EMAIL_URL", default="console:" if DEVELOPMENT else "")
# EMAIL_BACKEND, EMAIL_HOST and the others, and DEFAULT_FROM_EMAIL.
globals().update(email_url.settings_of(EMAIL_URL, issuer_host=_issuer.hostname, folder=BASE_DIR))

REGISTRATION = env.text("AUTH_SERVICE__REGISTRATION", default="closed", choices=("closed", "open"))

CLIENT_REGISTRATION_TOKEN = env.secret("AUTH_SERVICE__CLIENT_REGISTRATION_TOKEN", default=str)

AUDIT_RETENTION_DAYS = env.integer("AUTH_SERVICE__AUDIT_RETENTION_DAYS", default=365, most=36500)
if 0 < AUDIT_RETENTION_DAYS < 30:
    raise ConfigurationError(f"AUTH_SERVICE__AUDIT_RETENTION_DAYS is {AUDIT_RETENTION_DAYS}, but must be 0 (for ever) or 30 and more.")
AUDIT_RETENTION = timedelta(days=AUDIT_RETENTION_DAYS) or None
HOUSEKEEPING = env.flag("AUTH_SERVICE__HOUSEKEEPING", default=True)

# --- Logging -----------------------------------------------------------------------------------
LOG_LEVEL = env.text("AUTH_SERVICE__LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.text("AUTH_SERVICE__LOG_FORMAT", default="console" if DEVELOPMENT else "json", choices=("console", "json"))
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "authserver.logs.JSONFormatter"},
        "console": {"()": "authserver.logs.ConsoleFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"level": "INFO", "handlers": []},
        # Our own refusals carry their reason and error_id; Django's line about the same answer adds nothing.
        "django.request": {"level": "CRITICAL"},
        "django.security": {"level": "CRITICAL"},
        # This is no answer that we render: nothing else would tell of it.
        "django.security.SuspiciousSession": {"level": "WARNING"},
    },
}

# --- Metrics -----------------------------------------------------------------------------------
METRICS_TOKEN = env.secret("AUTH_SERVICE__METRICS_TOKEN", default=str)

# --- Traces (authserver.tracing) -----------------------------------------------------------------
# OpenTelemetry reads its variables out of the process's environment: those of the file are put there.
os.environ.update(env.beginning_with(otel.PREFIX))
TRACING = otel.is_wanted(os.environ)
if TRACING and not otel.is_installed():
    TRACING = False
    env.notes.append(otel.NOT_INSTALLED)

# --- Of the older service -----------------------------------------------------------------------
env.explain(
    "AUTH_SERVICE__MASTER_KEY", "It is of the older service; here AUTH_SERVICE__KEY_ENCRYPTION_KEYS encrypts the signing keys. Remove it."
)
env.explain("AUTH_SERVICE__PUBLIC_KEY_PATH", "It is of the older service; the public key follows from the private one. Remove it.")
env.ensure_nothing_unread()
CONFIGURATION_NOTES = tuple(env.notes)

# --- Django ------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "authserver.admin.apps.Config",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "authserver.static_files.Config",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "oauth2_provider",
    "accounts.apps.AllauthAccountConfig",
    "allauth.mfa",
    "accounts",
    "oauth",
]
# Programs carry no cookie and see no form, so this is all that their requests pass (authserver.wsgi).
MIDDLEWARE_OF_MACHINES = [
    "django.middleware.security.SecurityMiddleware",
    "authserver.middleware.Gate",
    "oauth.cors.Cors",
]
MIDDLEWARE = [
    *MIDDLEWARE_OF_MACHINES,
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "authserver.page_middleware.Pages",
    "authserver.admin_hosts.AdminHosts",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.themes.context",
            ]
        },
    }
]
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
LOCALE_PATHS = [BASE_DIR / "locale", Path(allauth.__file__).parent / "locale"]
FORMAT_MODULE_PATH = "authserver.formats"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = None if DEVELOPMENT else BASE_DIR / "staticfiles"  # in development straight from the sources
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = DEVELOPMENT
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage" if DEVELOPMENT else "authserver.static_files.Storage"
    },
}

# --- Cookies and headers of the pages for people -----------------------------------------------
_cookie_prefix = "__Host-" if REQUIRE_HTTPS else ""
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no cookie that holds what a page says
SESSION_ENGINE = "accounts.browser_sessions"
SESSION_COOKIE_NAME = f"{_cookie_prefix}authserver-session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = REQUIRE_HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = int(BROWSER_SESSION_MAX_AGE.total_seconds())  # the server's own limits end it earlier
THEME_COOKIE_NAME = f"{_cookie_prefix}authserver-theme"
LANGUAGE_COOKIE_NAME = f"{_cookie_prefix}authserver-language"
LANGUAGE_COOKIE_AGE = 365 * 86400
LANGUAGE_COOKIE_SECURE = REQUIRE_HTTPS
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = f"{_cookie_prefix}authserver-csrf"
CSRF_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = None  # authserver.middleware.Gate sets it, by the kind of answer
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 63072000 if REQUIRE_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # User.username is unique by its canonical form, username_canonical.
    "security.W002",  # X-Frame-Options comes from authserver.middleware.Gate.
    "security.W005",  # Subdomains belong to others than this server; its operator decides at the proxy.
    "security.W008",  # Gate refuses plain HTTP: a redirect would let a client go on sending passwords in clear.
    "security.W022",  # Referrer-Policy comes from authserver.middleware.Gate.
    "security.W021",  # HSTS preload is for the owner of the domain to ask.
    "oauth2_provider.W002",  # The password grant is this server's own and can be switched off (PASSWORD_GRANT).
]

# --- Sign-in in a browser: allauth's pages and second factors, over our own passwords, lockout and audit ----
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/account"  # staff go to the admin (accounts.next_page)
ACCOUNT_ADAPTER = "accounts.sign_in_adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_USER_MODEL_USERNAME_FIELD = "username"
ACCOUNT_SESSION_REMEMBER = True  # no box for it: the limits of the session are the server's
ACCOUNT_LOGOUT_REDIRECT_URL = "/sign-in"
ACCOUNT_RATE_LIMITS = False  # accounts.lockout and accounts.throttling count, for every door together
ACCOUNT_REAUTHENTICATION_TIMEOUT = 15 * 60
ACCOUNT_FORMS = {"login": "accounts.sign_in_forms.SignInForm", "reauthenticate": "accounts.sign_in_forms.PasswordAgainForm"}
MFA_ADAPTER = "accounts.sign_in_adapters.MFAAdapter"
MFA_FORMS = {
    "authenticate": "accounts.sign_in_forms.CodeForm",
    "reauthenticate": "accounts.sign_in_forms.CodeAgainForm",
    "authenticate_webauthn": "accounts.sign_in_forms.PasskeyForm",
    "reauthenticate_webauthn": "accounts.sign_in_forms.PasskeyAgainForm",
    "login_webauthn": "accounts.sign_in_forms.PasskeyAloneForm",
    "add_webauthn": "accounts.sign_in_forms.NewPasskeyForm",
    "activate_totp": "accounts.sign_in_forms.NewAuthenticatorForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses are confirmed by accounts.email_change
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RATE_LIMITS = False
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_WEBAUTHN_USER_VERIFICATION = "required"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEVELOPMENT  # a browser has passkeys at http://localhost alone

# --- django-oauth-toolkit: the frame. Its own token rows are never written. ----------------------
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth.Client"
SCOPES = {
    "openid": "Know who you are",
    "profile": "Know your name",
    "email": "Know your e-mail address",
    "roles": "Know your roles",
    "offline_access": "Stay signed in while you are away",
    "api:read": "Read your data",
    "api:write": "Change your data",
    "auth:account": "Change your profile, password and sessions",
    "auth:admin": "Administer this server, as far as you may",
}
OAUTH2_PROVIDER = {
    "SCOPES": SCOPES,
    "ALLOW_URI_WILDCARDS": False,
    "PKCE_REQUIRED": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"] if REQUIRE_HTTPS else ["http", "https"],
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
}

# --- JSON API ----------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["oauth.bearer.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["oauth.bearer.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["oauth.json_parser.StrictJSONParser"],
    "EXCEPTION_HANDLER": "oauth.bearer.render_exception",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "oauth.bearer.JSONAlone",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "authserver.openapi_views.Schema",
    "DEFAULT_METADATA_CLASS": None,  # what the views say of themselves is for who reads the code
}
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.0",
    "TITLE": "authserver",
    "VERSION": VERSION,
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "SERVERS": [{"url": JWT_ISSUER.rstrip("/")}],
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "authserver.openapi.complete"],
}
