"""A column that holds the canonical form of another one."""

from typing import Any

from django.db import models

from accounts import identifiers


class CanonicalField(models.CharField[str | None, str | None]):
    """The canonical form of another field of the row, so that saving a row keeps the two together."""

    def __init__(self, *, source: str, **kwargs: Any) -> None:
        self.source = source
        super().__init__(**{"max_length": identifiers.MAX_LENGTH, "unique": True, "editable": False} | kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"source": self.source}

    def pre_save(self, model_instance: models.Model, add: bool) -> str | None:
        typed = getattr(model_instance, self.source)
        value = identifiers.CANONICAL[self.source](typed) if typed else None
        setattr(model_instance, self.attname, value)
        return value
