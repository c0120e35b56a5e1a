"""The data of the integration guide, for trying the server out."""

from dataclasses import dataclass

ADMIN_USERNAME = "admin"
ADMIN_PASSWORD_FILE = "admin-password"  # noqa: S105 - a file's name


@dataclass(frozen=True)
class DemoUser:
    username: str
    email: str
    password: str


@dataclass(frozen=True)
class DefaultClient:
    client_id: str
    name: str
    is_public: bool
    grant_types: tuple[str, ...]
    scopes: str
    may_introspect: bool = False
    on_request: str = ""
    redirect_uris: str = ""

    @property
    def allowed_scopes(self) -> str:
        """The default ones, and those that it is given when it asks for them."""
        return f"{self.scopes} {self.on_request}".strip()


USERS = (
    DemoUser("user", "user@example.com", "password123"),
    DemoUser("test", "test@example.com", "test123"),
)

_PUBLIC_GRANTS = ("password", "refresh_token", "authorization_code", "urn:ietf:params:oauth:grant-type:device_code")
_SCOPES = "api:read api:write"
_OPENID = "openid profile email roles offline_access"
_AT_HOME = "http://127.0.0.1/callback http://[::1]/callback http://localhost:8080/callback"

CLIENTS = (
    DefaultClient(
        "codelab-flutter-app",
        "CodeLab IDE (Flutter)",
        True,
        _PUBLIC_GRANTS,
        _SCOPES,
        on_request=_OPENID,
        redirect_uris=f"codelab://callback {_AT_HOME}",
    ),
    DefaultClient(
        "codelab-python-client", "CodeLab Python client", True, _PUBLIC_GRANTS, _SCOPES, on_request=_OPENID, redirect_uris=_AT_HOME
    ),
    DefaultClient("codelab-internal", "CodeLab services", False, ("client_credentials",), _SCOPES, may_introspect=True),
)
DEMO_CLIENTS = (
    DefaultClient(
        "test-client",
        "Integration tests",
        True,
        _PUBLIC_GRANTS,
        _SCOPES,
        on_request=f"auth:account {_OPENID}",
        redirect_uris=_AT_HOME,
    ),
)
