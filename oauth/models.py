"""What a client may do, what was opened through it, the keys that sign, and what the servers that run know of each other."""

import re
import uuid
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F
from django.utils.translation import gettext as _
from oauth2_provider.models import AbstractApplication

from accounts.clock import Instant
from oauth import origins, redirect_uris, scopes

PASSWORD = "password"  # noqa: S105 - the name of a grant type
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant type
CLIENT_CREDENTIALS = "client_credentials"
AUTHORIZATION_CODE = "authorization_code"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPE_CHOICES = (PASSWORD, REFRESH_TOKEN, CLIENT_CREDENTIALS, AUTHORIZATION_CODE, DEVICE_CODE)

_AUDIENCE = re.compile(r"[\x21-\x7e]*")
_AUDIENCES = re.compile(r"([\x21-\x7e]+( [\x21-\x7e]+)*)?")


def _validate_scope(value: str) -> None:
    try:
        scopes.parse(value)
    except scopes.Malformed:
        raise ValidationError("Scopes are words parted by single spaces, without quotes and backslashes.") from None


class Client(AbstractApplication):
    """A piece of software that may ask for tokens (RFC 6749 §2). Its secrets are kept as digests, two of them live at once."""

    # Of the toolkit's columns these say what others here say better: grant_types, the secret digests, our own keys.
    client_secret = None
    hash_client_secret = None
    authorization_grant_type = None
    algorithm = None
    user = None

    client_id = models.CharField(
        "client_id",
        max_length=255,
        unique=True,
        validators=[RegexValidator(r"^[\x21-\x7e]+$", "A client_id is of visible ASCII characters.")],
    )
    is_active = models.BooleanField("active", default=True, help_text="A disabled client gets no token, and its sessions do not refresh.")
    grant_types = models.JSONField(default=list, help_text="Grant types this client may use.")
    allowed_scopes = models.TextField(blank=True, validators=[_validate_scope], help_text="Scopes parted by spaces.")
    default_scopes = models.TextField(blank=True, validators=[_validate_scope], help_text="Given when none is asked for.")
    audience = models.CharField(max_length=255, blank=True, help_text="aud of its tokens; empty: the server's.")
    access_token_lifetime = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(86400)], help_text="Seconds; empty: the server's."
    )
    refresh_token_lifetime = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(315360000)], help_text="Seconds; empty: the server's."
    )
    refresh_overlap_seconds = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(60)],
        help_text="How long after a refresh the token it replaced is still answered, with the same successor. "
        "0 is strict; 10 suits an app that fires refreshes in parallel and sends no Idempotency-Key; empty: the server's.",
    )
    may_introspect = models.BooleanField(default=False, help_text="May ask whether tokens are active.")
    served_audiences = models.TextField(
        blank=True,
        db_default="",
        help_text="Audiences it answers for, parted by spaces: it may ask about tokens meant for them. Empty: the server's.",
    )
    skip_authorization = models.BooleanField(
        "of our own",
        default=False,
        help_text="A first-party app: users sign in to it without being asked what it may do.",
    )
    require_pkce = models.BooleanField(
        "PKCE required",
        default=True,
        db_default=True,
        help_text="An authorization request without a code_challenge is refused (RFC 7636). A public client always needs one.",
    )
    resources = models.TextField(
        blank=True,
        db_default="",
        help_text="Absolute URIs, parted by spaces: what it may name as `resource` to get tokens for (RFC 8707), beside its audience.",
    )
    secret_digest = models.BinaryField(null=True, editable=False)
    secret_created_at = models.DateTimeField(null=True, editable=False)
    foreign_secret_hash = models.CharField(
        max_length=128,
        blank=True,
        db_default="",
        editable=False,
        help_text="bcrypt, of the service it came from, until it shows the secret",
    )
    previous_secret_digest = models.BinaryField(null=True, editable=False)
    previous_secret_expires_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("name", "client_id")
        verbose_name = "client"
        permissions = (
            ("rotate_client_secret", "Can give a client another secret"),
            ("disable_client", "Can disable and enable a client"),
        )

    def clean(self) -> None:
        """Refuse what the wire contract excludes: an ambiguous client_id, grants and scopes that this client cannot have."""
        errors: dict[str, str] = {}
        taken = {settings.JWT_ISSUER, settings.JWT_AUDIENCE}
        others = Client.objects.exclude(pk=self.pk)
        if _is_uuid(self.client_id) or self.client_id in taken or others.filter(audience=self.client_id).exists():
            # Of a client that exists no form has the field, and a setting may have changed.
            field = "client_id" if self._state.adding else NON_FIELD_ERRORS
            errors[field] = "A client_id looks like no user's id and is neither the issuer nor an audience."
        if self.audience and (self.audience == self.client_id or others.filter(client_id=self.audience).exists()):
            errors["audience"] = "An audience is no client's client_id."
        elif not _AUDIENCE.fullmatch(self.audience):
            errors["audience"] = "An audience is of visible ASCII characters, without spaces."
        for column in ("redirect_uris", "post_logout_redirect_uris", "resources"):
            # SECURITY: an address that runs as a script, or that is none, must never get a code (RFC 6749 §3.1.2, RFC 9700 §2.1).
            bad = [uri for uri in getattr(self, column).split() if not redirect_uris.is_registrable(uri)]
            if bad:
                errors[column] = _("Not an absolute URI without a fragment: %(uri)s") % {"uri": ", ".join(bad)}
        if not _AUDIENCES.fullmatch(self.served_audiences):
            errors["served_audiences"] = "Audiences are of visible ASCII characters, parted by single spaces."
        if not all(map(origins.is_origin, self.allowed_origins.split())):
            errors["allowed_origins"] = (
                "An origin is scheme, host and port in small letters, without a path and the usual port: https://app.example.com."
            )
        if not isinstance(self.grant_types, list):
            raise ValidationError(errors | {"grant_types": 'A list of grant types, such as ["password", "refresh_token"].'})
        unknown = [grant for grant in self.grant_types if grant not in GRANT_TYPE_CHOICES]
        if unknown:
            errors["grant_types"] = f"Not a grant type: {', '.join(map(str, unknown))}."
        elif CLIENT_CREDENTIALS in self.grant_types and self.is_public:
            errors["grant_types"] = "client_credentials is for confidential clients (RFC 6749 §4.4)."
        allowed, default = frozenset(self.allowed_scopes.split()), frozenset(self.default_scopes.split())
        if default - allowed:
            errors["default_scopes"] = f"Not among the allowed scopes: {scopes.format(default - allowed)}."
        elif default & scopes.NEVER_DEFAULT:
            errors["default_scopes"] = f"Only given when asked for: {scopes.format(default & scopes.NEVER_DEFAULT)}."
        if errors:
            raise ValidationError(errors)

    @property
    def is_public(self) -> bool:
        return bool(self.client_type == self.CLIENT_PUBLIC)

    def allows_grant_type(self, *grant_types: str) -> bool:
        return not set(grant_types).isdisjoint(self.grant_types)

    def is_usable(self, request: object) -> bool:
        return self.is_active

    @property
    def allowed_scope_set(self) -> frozenset[str]:
        return scopes.parse(self.allowed_scopes)

    @property
    def token_audience(self) -> str:
        return self.audience or settings.JWT_AUDIENCE

    def audience_of(self, resource: str) -> str | None:
        """The aud of a token for this `resource` (RFC 8707 §2); None when it is not the client's. The issuer stands for our own API."""
        named = settings.JWT_AUDIENCE if resource == settings.JWT_ISSUER else resource
        return named if named in {self.token_audience, *self.resources.split()} else None

    @property
    def needs_pkce(self) -> bool:
        return self.require_pkce or self.is_public

    @property
    def served_audience_set(self) -> frozenset[str]:
        """Whose tokens it may ask about, beside its own."""
        return frozenset(self.served_audiences.split()) or frozenset({settings.JWT_AUDIENCE})

    @property
    def access_lifetime(self) -> timedelta:
        return _seconds_or(self.access_token_lifetime, settings.ACCESS_TOKEN_LIFETIME)

    @property
    def refresh_lifetime(self) -> timedelta:
        return _seconds_or(self.refresh_token_lifetime, settings.REFRESH_TOKEN_LIFETIME)

    @property
    def refresh_overlap(self) -> timedelta:
        return _seconds_or(self.refresh_overlap_seconds, timedelta(seconds=settings.REFRESH_OVERLAP_SECONDS))


def _seconds_or(seconds: int | None, default: timedelta) -> timedelta:
    return default if seconds is None else timedelta(seconds=seconds)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


class SessionQuerySet(models.QuerySet["Session"]):
    def live(self) -> "SessionQuerySet":
        """Sessions whose tokens are accepted right now. For reading: a write decides by own columns (sessions.py)."""
        return self.filter(
            revoked_at=None,
            expires_at__gt=Instant(),
            user__is_active=True,
            user__session_epoch=F("user_epoch"),
            client__is_active=True,
        )


class Session(models.Model):
    """One sign-in of one user through one client, for ever one row. `id` is the claim `sid`.

    `generation` is that of the refresh token that is live. No column that a refresh writes has an
    index, so that PostgreSQL updates in place (HOT).
    """

    id = models.UUIDField(primary_key=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False, related_name="oauth_sessions")
    user_epoch = models.PositiveIntegerField()
    client = models.ForeignKey(Client, on_delete=models.CASCADE, db_index=False, related_name="sessions")
    scope = models.TextField(help_text="what was granted")
    generation = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    refreshed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, help_text="no refresh moves expires_at past it")
    retry_digest = models.BinaryField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=64, blank=True)
    audience = models.CharField(max_length=255, blank=True, db_default="", help_text="the resource it was asked for; empty: the client's")
    auth_time = models.DateTimeField()
    amr = models.CharField(max_length=64, help_text="how the user signed in (RFC 8176), parted by spaces")
    address = models.GenericIPAddressField(null=True, help_text="of the last use")
    user_agent = models.CharField(max_length=200, blank=True)

    objects: ClassVar[models.Manager["Session"]] = SessionQuerySet.as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("user", "created_at"), name="session_user_created"),
            models.Index(fields=("client", "created_at"), name="session_client_created"),
            models.Index(fields=("created_at",), condition=models.Q(revoked_reason="refresh_token_reused"), name="session_reused"),
        ]
        permissions = (
            ("revoke_session", "Can end a session"),
            ("end_all_sessions", "Can end all sessions of a client, or of everybody"),
        )

    def __str__(self) -> str:
        return str(self.pk)


class SigningKey(models.Model):
    """A key pair and what was decided of it; what it may do at an instant follows from all rows together (key_schedule.py)."""

    sequence = models.PositiveIntegerField(unique=True)
    kid = models.CharField(max_length=255, unique=True)
    thumbprint = models.CharField(max_length=43, help_text="RFC 7638; an imported key may have another kid")
    algorithm = models.CharField(max_length=8)
    public_jwk = models.JSONField()
    private_key = models.TextField(blank=True, editable=False, help_text="encrypted; erased when retired or revoked")
    created_at = models.DateTimeField()
    published_at = models.DateTimeField()
    signs_from = models.DateTimeField(null=True, help_text="empty: when rotation is due")
    longest_lifetime = models.PositiveIntegerField(db_default=86400, help_text="seconds; no token that it signs lives longer")
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("sequence",)
        permissions = (
            ("rotate_signing_key", "Can let the next signing key sign"),
            ("revoke_signing_key", "Can revoke a signing key"),
        )

    def __str__(self) -> str:
        return self.kid


class KeySetUse(models.Model):
    """How often the key set was answered within one hour, over all processes (key_set_use.py)."""

    hour = models.DateTimeField(primary_key=True)
    answered_200 = models.PositiveBigIntegerField()
    answered_304 = models.PositiveBigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00"


class Consent(models.Model):
    """What a user has let a client do: asked once, and remembered until it is taken back."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="consents")
    client = models.ForeignKey(Client, on_delete=models.CASCADE, db_index=False, related_name="consents")
    scope = models.TextField()
    granted_at = models.DateTimeField(help_text="of the newest scope")

    class Meta:
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("client", "user"), name="one_consent_of_a_user_to_a_client")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} to {self.client_id}"


class AuthorizationCode(models.Model):
    """A sign-in that waits for its client to fetch it, for a minute, once (RFC 6749 §4.1.2).

    Kept for a day after it was used, so that a second use is known for what it is and ends `session_id`.
    """

    digest = models.BinaryField(primary_key=True, max_length=32)
    client = models.ForeignKey(Client, on_delete=models.CASCADE, db_index=False, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    user_epoch = models.PositiveIntegerField()
    redirect_uri = models.TextField(blank=True, help_text="as it was sent; empty: it was not")
    scope = models.TextField()
    audience = models.CharField(max_length=255, blank=True, help_text="the resource it was asked for; empty: the client's")
    code_challenge = models.CharField(max_length=43, blank=True)
    nonce = models.CharField(max_length=255, blank=True)
    auth_time = models.DateTimeField()
    amr = models.CharField(max_length=64)
    expires_at = models.DateTimeField(db_index=True)
    session_id = models.UUIDField(null=True, help_text="the session that it was exchanged for")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"code of {self.user_id} for {self.client_id}"


class DeviceCode(models.Model):
    """A device that waits until somebody lets it in (RFC 8628).

    `digest` is of the device's own code, `user_code_digest` is keyed, because that code is short. The columns about the person are
    those of who approved it: what they proved then is what the session of the device rests on.
    """

    class Decision(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        DENIED = "denied"
        CONSUMED = "consumed"

    digest = models.BinaryField(primary_key=True, max_length=32)
    user_code_digest = models.BinaryField(unique=True, max_length=32)
    client = models.ForeignKey(Client, on_delete=models.CASCADE, db_index=False, related_name="+")
    scope = models.TextField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    interval = models.PositiveSmallIntegerField(help_text="seconds that the device has to leave between two polls")
    last_polled_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=8, choices=Decision.choices, default=Decision.PENDING)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")
    user_epoch = models.PositiveIntegerField(null=True)
    auth_time = models.DateTimeField(null=True)
    amr = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField(null=True, help_text="of the device")
    source = models.CharField(max_length=45, help_text="the address, or its /64: how many may wait is counted by it")
    user_agent = models.CharField(max_length=200, blank=True)

    class Meta:
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("client", "source", "expires_at"), name="device_code_open")]

    def __str__(self) -> str:
        return f"device of {self.client_id}, {self.decision}"


class Housekeeping(models.Model):
    """Whose turn it is to remove what is past its time (housekeeping.py): one row, with the id 1."""

    id = models.PositiveSmallIntegerField(primary_key=True)
    holder = models.CharField(max_length=16, help_text="the process that is at it, or was last")
    held_until = models.DateTimeField()
    due_at = models.DateTimeField(help_text="when the next round may begin")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"due at {self.due_at}"


class Instance(models.Model):
    """A server that runs: one gunicorn with its processes (instances.py). Written while it lives, and removed when it is gone."""

    id = models.CharField(max_length=16, primary_key=True, help_text="drawn when it starts")
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField()
    version = models.CharField(max_length=32)
    uses_redis = models.BooleanField()
    fingerprints = models.JSONField(help_text="of each setting that has to be the same everywhere; of the secrets one for all together")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.id} on {self.host}"
