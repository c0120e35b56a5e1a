"""Another password for somebody who has forgotten theirs and can read their mail."""

from django.db import transaction

from accounts import audit, epochs, identifiers, lockout, one_time_tokens, outbox, passwords
from accounts.actors import Actor
from accounts.even_time import Beat
from accounts.models import User
from accounts.one_time_tokens import PASSWORD_RESET, InvalidCode

ANSWER_SECONDS = 0.05


def request(email: str, *, language: str, actor: Actor) -> None:
    """Have a code sent to the user with this address, if there is one: with the same work, or this tells who has an account.

    Raises identifiers.InvalidIdentifier for what is no address.
    """
    canonical, beat = identifiers.canonical_email(email), Beat(ANSWER_SECONDS)
    user = User.objects.filter(email_canonical=canonical, is_active=True).first()
    with transaction.atomic():
        # SECURITY: to the address on record, not to the one that was typed: another mailbox may have the same canonical form.
        outbox.put("password_reset", user=user, email="" if user is None else user.email, language=language)
        audit.record("user:password:reset_requested", target="" if user is None else user.pk, **actor)
    # SECURITY: a user who exists is read, and the database looks whether they are still there: a third of a millisecond.
    beat.wait()


def can_be_sent(user: User) -> bool:
    """Whether there is an address for a code, and a server that takes mails there."""
    return bool(user.is_active and user.email and outbox.is_set_up())


def send(user: User, *, language: str, actor: Actor, reason: str) -> None:
    """Have a code sent to a user for a member of staff, to the address on record. Nothing of the account changes until it is used."""
    with transaction.atomic():
        outbox.put("password_reset", user=user, email=user.email, language=language)
        audit.record("user:password:reset_requested", target=user.pk, detail={"by": "staff", "reason": reason}, **actor)


def confirm(code: str, *, password: str, language: str, actor: Actor) -> None:
    """Give the code's user this password. It ends all their sessions and lifts their locks; a second factor stays as it is.

    Raises InvalidCode, passwords.Refused, hash_slots.Full. A password that is refused leaves the code good.
    """
    owner = one_time_tokens.find_owner(code, purpose=PASSWORD_RESET)
    if owner is None:
        raise InvalidCode("code unknown, used or expired")
    passwords.ensure_allowed(password, user=owner)
    encoded = passwords.encode(password)
    with transaction.atomic():
        user, email = one_time_tokens.use(code, purpose=PASSWORD_RESET)
        epochs.begin(user, password=encoded)
        outbox.withdraw(user)
        lockout.unlock(user.pk, actor=actor | {"actor_id": user.pk}, reason="password reset")
        outbox.put("password_changed", user=user, email=email, language=language)
        audit.record("user:password:reset", target=user.pk, **actor | {"actor_id": user.pk})
