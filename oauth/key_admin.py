"""Staff's pages of signing keys. No private key is in any field."""

from datetime import datetime

from django.contrib import admin

from accounts import clock
from accounts.careful_admin import ReadOnlyAdmin
from oauth import key_rows
from oauth.key_schedule import Place
from oauth.models import SigningKey


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    list_display = ("kid", "algorithm", "published_at", "signs_from", "revoked_at")
    fields = (
        "kid",
        "sequence",
        "algorithm",
        "state",
        "public_jwk",
        "created_at",
        "published_at",
        "signs_from",
        "signs_until",
        "removed_at",
        "revoked_at",
        "revoked_reason",
    )
    readonly_fields = ("state", "signs_until", "removed_at")

    def state(self, key: SigningKey) -> str:
        return _place_of(key).state(clock.now())

    def signs_until(self, key: SigningKey) -> datetime | None:
        return _place_of(key).signs_until

    @admin.display(description="leaves the key set")
    def removed_at(self, key: SigningKey) -> datetime | None:
        return _place_of(key).removed_at


def _place_of(key: SigningKey) -> Place[SigningKey]:
    """All keys are read for each: they are a handful."""
    return next(place for place in key_rows.current().places if place.key.pk == key.pk)
