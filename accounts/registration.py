"""An account that somebody makes for themself. It is of no use until its e-mail address is confirmed."""

from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import audit, identifiers, one_time_tokens, outbox, passwords
from accounts.actors import Actor
from accounts.clock import Instant
from accounts.models import User
from accounts.one_time_tokens import REGISTRATION, InvalidCode

# Whoever has not confirmed by then has to begin anew.
KEPT_FOR = timedelta(days=1)
PRUNE_BATCH = 1000


class NameTaken(Exception):
    """Another user has this user name, perhaps in other letters."""


def is_open() -> bool:
    """Whether people make accounts here: only where mails are sent, too."""
    return bool(settings.REGISTRATION == "open") and outbox.is_set_up()


def register(username: str, *, email: str, password: str, name: str, language: str, actor: Actor) -> None:
    """Make a user who cannot sign in yet, and have a code sent to the address; if it is another user's, that user is told instead.

    Raises NameTaken, ValidationError, passwords.Refused, hash_slots.Full. The answer for an address does not depend on whose it is.
    """
    # The address is the user's only when it is confirmed: nobody keeps another's from being used.
    user = User(username=username.strip(), name=name, awaits_confirmation=True)
    try:
        user.full_clean(exclude={"password"})
    except ValidationError as error:
        if any(each.code == "taken" for each in error.error_dict.get("username", [])):
            raise NameTaken from None
        raise
    passwords.ensure_allowed(password, user=User(username=user.username, email=email, name=name))
    user.password = passwords.encode(password)
    owner = User.objects.filter(email_canonical=identifiers.canonical_email(email)).first()
    # SECURITY: the owner is told at the address on record: another mailbox may have the same canonical form.
    recipient = owner.email if owner else email
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            # SECURITY: the same rows whoever has the address, or this tells who has an account.
            outbox.put("email_taken" if owner else "registration", user=owner or user, email=recipient, language=language)
            audit.record("user:account:registered", target=user.pk, **actor)
    except IntegrityError:
        raise NameTaken from None


def confirm(code: str, *, actor: Actor) -> None:
    """Give the code's user the address that it was sent to; from now on they can sign in. Raises InvalidCode."""
    try:
        with transaction.atomic():
            user, email = one_time_tokens.use(code, purpose=REGISTRATION)
            confirmed = User.objects.filter(pk=user.pk, awaits_confirmation=True).update(
                email=email, email_canonical=identifiers.canonical_email(email), awaits_confirmation=False
            )
            if not confirmed:
                raise InvalidCode("confirmed already")
            audit.record("user:account:confirmed", target=user.pk, **actor | {"actor_id": user.pk})
    except IntegrityError:
        raise InvalidCode("address taken meanwhile") from None


def prune() -> int:
    """Remove a batch of accounts that nobody confirmed in time; how many."""
    late = User.objects.filter(awaits_confirmation=True, created_at__lt=Instant(plus=-KEPT_FOR)).order_by("created_at")
    removed = 0
    for user in late[:PRUNE_BATCH]:
        with transaction.atomic():
            # Held first: Django reads what it deletes, and who confirms in between would be gone.
            held = User.objects.select_for_update().filter(pk=user.pk, awaits_confirmation=True).first()
            removed += 0 if held is None else held.delete()[1].get("accounts.User", 0)
    return removed
