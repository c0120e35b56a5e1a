"""A user's other e-mail address: asked for by who knows the password, confirmed from the new mailbox, told to the old one."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from accounts import audit, epochs, identifiers, one_time_tokens, outbox
from accounts.actors import Actor
from accounts.identifiers import InvalidIdentifier
from accounts.models import User
from accounts.one_time_tokens import EMAIL_CHANGE, InvalidCode


def ensure_deliverable(email: str) -> None:
    """Raises InvalidIdentifier for what is no address that a mail can be sent to."""
    identifiers.canonical_email(email)
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidIdentifier("Enter an e-mail address, such as alice@example.com.") from None
    # SECURITY: a mailbox of letters that only look like alice's would prove nothing about hers, and be hers in its canonical form.
    if not email.partition("@")[0].isascii():
        raise InvalidIdentifier("Enter an e-mail address whose part before the @ is of ASCII characters.")


def request(user: User, *, email: str, language: str, actor: Actor, client_id: str) -> None:
    """Have a code sent to the address; an earlier one is void. If it is another user's, that user is told instead.

    `user` is as they were when they proved their password. Raises epochs.Stale when it has been changed since.
    """
    with transaction.atomic():
        held = one_time_tokens.hold_owner(user.pk)
        # SECURITY: or who knows the password that was just changed gets a code after all others were withdrawn.
        if held is None or held.session_epoch != user.session_epoch:
            raise epochs.Stale
        outbox.withdraw(held)
        # SECURITY: the same answer and the same work, or this tells who has an account.
        owner = User.objects.exclude(pk=user.pk).filter(email_canonical=identifiers.canonical_email(email)).first()
        # SECURITY: the owner is told at the address on record: another mailbox may have the same canonical form.
        recipient = owner.email if owner else email
        outbox.put("email_taken" if owner else "email_change", user=owner or held, email=recipient, language=language)
        audit.record("user:email:change_requested", target=user.pk, client_id=client_id, **actor)


def confirm(code: str, *, language: str, actor: Actor) -> None:
    """Give the code's user the address that it was sent to. Raises InvalidCode, also when another user has the address by now."""
    try:
        with transaction.atomic():
            user, email = one_time_tokens.use(code, purpose=EMAIL_CHANGE)
            # SECURITY: or who reads the old mailbox still has a code from it.
            outbox.withdraw(user)
            old, old_canonical = user.email, user.email_canonical
            canonical = identifiers.canonical_email(email)
            User.objects.filter(pk=user.pk).update(email=email, email_canonical=canonical)
            if old and old_canonical != canonical:
                outbox.put("email_changed", user=user, email=old, language=language)
            audit.record("user:email:changed", target=user.pk, **actor | {"actor_id": user.pk})
    except IntegrityError:
        raise InvalidCode("address taken meanwhile") from None
