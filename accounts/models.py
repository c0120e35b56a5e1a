"""Who may sign in, what they are to applications, and what happened."""

import uuid
from typing import Any, ClassVar

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models.expressions import RawSQL
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts import clock, identifiers, roles
from accounts.fields import CanonicalField

# What may stand beside a password; recovery codes come with them and are none by themselves.
SECOND_FACTORS = ("totp", "webauthn")


class Role(models.Model):
    """What a user is to the applications: its name stands in their access tokens. Staff permissions are Django's groups."""

    name = models.CharField(max_length=64, unique=True)
    description = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class UserQuerySet(models.QuerySet["User"]):
    def with_role_names(self) -> "UserQuerySet":
        """Each user with `role_names_json` (roles.parse_names), in the same statement."""
        return self.annotate(role_names_json=RawSQL(roles.names_sql(user_column="accounts_user.id"), ()))  # noqa: S611 - a constant

    def with_second_factor(self) -> "UserQuerySet":
        """Each user with `second_factor_enrolled`, in the same statement."""
        factors = apps.get_model("mfa", "Authenticator").objects.filter(user=models.OuterRef("pk"), type__in=SECOND_FACTORS)
        return self.annotate(second_factor_enrolled=models.Exists(factors))

    def identified_by(self, canonical: str) -> "UserQuerySet":
        field = "email_canonical" if identifiers.is_email(canonical) else "username_canonical"
        return self.filter(**{field: canonical})


class UserManager(BaseUserManager.from_queryset(UserQuerySet)):  # type: ignore[misc] # a class made at run time
    """The only place where users are made."""

    def create_user(self, username: str, email: str = "", password: str | None = None, **fields: Any) -> "User":
        """Make a user who can sign in. Raises ValidationError when a name is taken or not allowed; does not apply the password policy."""
        user: User = self.model(username=username.strip(), email=email.strip(), **fields)
        user.set_password(password)
        user.full_clean(exclude={"password"})
        try:
            with transaction.atomic():
                user.save(using=self._db)
        except IntegrityError:
            raise ValidationError(_("Another user took this name or e-mail just now.")) from None
        return user

    def create_superuser(self, username: str, email: str = "", password: str | None = None, **fields: Any) -> "User":
        return self.create_user(username, email, password, **{"is_staff": True, "is_superuser": True} | fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """By user name or e-mail, in any spelling. Raises User.DoesNotExist."""
        try:
            canonical = identifiers.canonical(username or "")
        except identifiers.InvalidIdentifier:
            raise User.DoesNotExist from None
        user: User = self.identified_by(canonical).get()
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person. `id` is the `sub` of their tokens and is never given to anyone else."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField("user name", max_length=identifiers.MAX_LENGTH, help_text="Without @ and spaces; case does not matter.")
    username_canonical = CanonicalField(source="username")
    email = models.CharField("e-mail", max_length=identifiers.MAX_LENGTH, blank=True)
    email_canonical = CanonicalField(source="email", null=True)
    name = models.CharField("name", max_length=200, blank=True)
    is_active = models.BooleanField("active", default=True, help_text="A disabled user can neither sign in nor refresh.")
    awaits_confirmation = models.BooleanField(
        "awaits confirmation",
        default=False,
        db_default=False,
        editable=False,
        help_text="Registered, and the e-mail address is not confirmed.",
    )
    is_staff = models.BooleanField("staff", default=False, help_text="May sign in to the admin.")
    session_epoch = models.PositiveIntegerField(default=0, editable=False)
    last_totp_step = models.PositiveBigIntegerField(
        default=0, db_default=0, editable=False, help_text="the time step of the last code of an authenticator app that was taken"
    )
    last_sign_in_at = models.DateTimeField("last sign-in", null=True, blank=True, editable=False)
    created_at = models.DateTimeField("created", default=clock.now, editable=False)
    roles = models.ManyToManyField(Role, blank=True, related_name="users")

    last_login = None  # ours is last_sign_in_at

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["email"]

    class Meta:
        ordering = ("username",)
        # Staff are few among many: the overview asks for them.
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("username",), condition=models.Q(is_staff=True), name="user_staff")]
        permissions = (
            ("sign_out_user", "Can sign a user out everywhere"),
            ("send_password_reset", "Can send a user a code for another password"),
            ("disable_user", "Can disable and enable a user"),
        )

    def __str__(self) -> str:
        return self.username

    def clean(self) -> None:
        """Refuse a name that is not allowed or, in its canonical form, another user's."""
        errors: dict[str, str | ValidationError] = {}
        for source in ("username", "email"):
            column = f"{source}_canonical"
            typed = getattr(self, source)
            if not typed:
                continue
            try:
                canonical = identifiers.CANONICAL[source](typed)
            except identifiers.InvalidIdentifier as error:
                errors[source] = str(error)
            else:
                if User.objects.exclude(pk=self.pk).filter(**{column: canonical}).exists():
                    errors[source] = ValidationError(_("Another user has this one, perhaps in other letters."), code="taken")
        if errors:
            raise ValidationError(errors)

    def set_password(self, raw_password: str | None) -> None:
        """Also raises the epoch: whoever was signed in by the password before is not any more."""
        super().set_password(raw_password)
        # SECURITY: or a stolen session outlives the password that was changed because of it.
        self.session_epoch += 1

    def set_unusable_password(self) -> None:
        super().set_unusable_password()
        self.session_epoch += 1

    @property
    def has_second_factor(self) -> bool:
        """Whether an authenticator app or a passkey is enrolled; asks the database unless `with_second_factor` did."""
        known: bool | None = self.__dict__.get("second_factor_enrolled")
        if known is None:
            known = User.objects.filter(pk=self.pk).with_second_factor().values_list("second_factor_enrolled", flat=True).first()
        return bool(known)

    def get_session_auth_hash(self) -> str:
        """Of Django's own sessions: also a raised epoch ends them."""
        return self._auth_hash()

    def get_session_auth_fallback_hash(self) -> Any:
        for secret in settings.SECRET_KEY_FALLBACKS:
            yield self._auth_hash(secret=secret)

    def _auth_hash(self, secret: str | None = None) -> str:
        return salted_hmac("accounts.User.session", f"{self.password}:{self.session_epoch}", secret=secret, algorithm="sha256").hexdigest()


class LoginCounterQuerySet(models.QuerySet["LoginCounter"]):
    def locked(self) -> "LoginCounterQuerySet":
        """Lanes that are locked right now."""
        return self.filter(locked_until__gt=clock.SteadyInstant())


class LoginCounter(models.Model):
    """Failed and running attempts on one name from one source, or, with the source `*`, from all that are not known for it.

    `digest` is keyed (lockout.py), so that the table does not tell what was typed. `in_flight` maps each running
    attempt to the second at which it counts as abandoned.
    """

    digest = models.BinaryField(max_length=32)
    source = models.CharField(max_length=45)
    user_id = models.UUIDField(null=True, help_text="whose name it is, if anyone's")
    failures = models.PositiveIntegerField(default=0)
    window_started_at = models.DateTimeField(null=True)
    in_flight = models.JSONField(default=dict)
    locked_until = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    lane_failures = models.PositiveIntegerField(default=0, help_text="in the 30 days from lane_started_at, whatever succeeded in between")
    lane_started_at = models.DateTimeField(null=True)
    unrecorded = models.PositiveIntegerField(default=0, help_text="failures since the last audit event")
    to_record = models.PositiveIntegerField(default=0, help_text="failures that the last statement gave to the audit")
    recorded_at = models.DateTimeField(null=True)
    used_at = models.DateTimeField(db_index=True)

    objects: ClassVar[models.Manager["LoginCounter"]] = LoginCounterQuerySet.as_manager()

    class Meta:
        verbose_name = "lockout"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("digest", "source"), name="login_counter_lane")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("locked_until",), condition=models.Q(locked_until__isnull=False), name="login_counter_locked")
        ]
        permissions = (("unlock_user", "Can lift a lock"),)

    def __str__(self) -> str:
        return f"{self.user_id or 'nobody'} from {self.source}"


class OneTimeToken(models.Model):
    """A code that was sent by mail to prove who reads it. Only its digest is stored; the row goes when the code is used."""

    digest = models.BinaryField(primary_key=True, max_length=32)
    purpose = models.CharField(max_length=32)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    email = models.CharField(max_length=identifiers.MAX_LENGTH, help_text="where it was sent")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("user", "purpose"), name="one_time_token_newest_alone")
        ]

    def __str__(self) -> str:
        return f"{self.purpose} for {self.user_id}"


class Outbox(models.Model):
    """A mail to be sent. It holds no code: that is made when the mail is sent, so that no row opens anything."""

    kind = models.CharField(max_length=32)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")
    email = models.CharField(max_length=identifiers.MAX_LENGTH, help_text="where to")
    language = models.CharField(max_length=8)
    created_at = models.DateTimeField()
    next_try_at = models.DateTimeField(db_index=True)
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Refusal(models.Model):
    """Why a request was refused, for staff who are given its `error_id`. Kept for two weeks; holds nothing that was typed."""

    error_id = models.CharField(max_length=16, primary_key=True)
    at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField()
    error = models.CharField(max_length=64)
    reason = models.CharField(max_length=200, help_text="the true one")
    client_id = models.CharField(max_length=255, blank=True, help_text="of a registered client")
    user_id = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    shape = models.JSONField(default=dict, help_text="which parameters were sent and how, without their values")
    skipped_before = models.PositiveIntegerField(
        default=0, help_text="refusals of this process since the last row that were too many to store"
    )

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"{self.error_id} {self.error}: {self.reason}"


class AppendOnly(Exception):
    """An audit event is never changed, and removed by audit_retention alone."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def update(self, **kwargs: Any) -> int:
        raise AppendOnly

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnly

    delete.alters_data = True  # type: ignore[attr-defined] # as Django marks its own, for templates


class AuditEvent(models.Model):
    """Something that happened, written by `audit.record` alone. It holds ids as values, so that it outlives what it tells of.

    Rows are only added: the model refuses the rest, and on PostgreSQL a trigger does.
    """

    at = models.DateTimeField()
    event = models.CharField(max_length=64, help_text="subject:object:outcome")
    actor_id = models.UUIDField(null=True, help_text="the user who did it")
    target = models.CharField(max_length=64, blank=True, help_text="the id of the user, session or key it was done to")
    client_id = models.CharField(max_length=255, blank=True)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    error_id = models.CharField(max_length=16, blank=True)
    detail = models.JSONField(default=dict)

    objects: ClassVar[models.Manager["AuditEvent"]] = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        get_latest_by = "id"
        # One for each question that the admin asks, newest first within it.
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("at",), name="audit_at"),
            models.Index(fields=("event", "at"), name="audit_event"),
            models.Index(fields=("address", "at"), condition=models.Q(address__isnull=False), name="audit_address"),
            models.Index(fields=("actor_id", "at"), condition=models.Q(actor_id__isnull=False), name="audit_actor"),
            models.Index(fields=("target", "at"), condition=~models.Q(target=""), name="audit_target"),
            models.Index(fields=("client_id", "at"), condition=~models.Q(client_id=""), name="audit_client"),
            models.Index(fields=("error_id",), condition=~models.Q(error_id=""), name="audit_error_id"),
        ]
        permissions = (("export_audit", "Can export audit events"),)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.event}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly


class AuditTally(models.Model):
    """The sign-ins of one hour, counted from the audit once it was over (audit_tally.py)."""

    hour = models.DateTimeField(primary_key=True)
    sign_ins = models.PositiveBigIntegerField()
    failures = models.PositiveBigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00"
