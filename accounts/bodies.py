"""The JSON bodies that the API takes: an object of known members, each of one type and not what could be turned into it."""

import unicodedata
from typing import Any

from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.settings import api_settings


class Text(serializers.CharField):
    """A string, and not what could be turned into one. As at the token endpoint, without control characters."""

    default_error_messages = {"unprintable": "Control characters are not allowed."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        # SECURITY: PostgreSQL refuses NUL and half a surrogate pair; a password with others could never be typed at the token endpoint.
        if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in data):
            self.fail("unprintable")
        return super().to_internal_value(data)


class Secret(Text):
    """A password or code, exactly as it was sent."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, write_only=True, **kwargs)


class Flag(serializers.BooleanField):
    """true or false, and neither "yes" nor 1."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input="")
        return data


class Number(serializers.IntegerField):
    """A whole number, and no text of one."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class Words(serializers.ListField):
    """A list of strings without spaces."""

    child = Text(max_length=2000)
    default_error_messages = {"spaced": "No entry has spaces, and none comes twice."}

    def to_internal_value(self, data: Any) -> list[str]:
        words: list[str] = super().to_internal_value(data)
        if len({*words}) != len(words) or any(word.split() != [word] for word in words):
            self.fail("spaced")
        return words


class Body(serializers.Serializer[Any]):
    def to_internal_value(self, data: Any) -> Any:
        """Refuse a member that nobody reads: whoever sent it believes that it does something."""
        if set(data) - set(self.fields):
            text = f"The body has these members and no others: {', '.join(self.fields)}."
            raise serializers.ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [text]})
        return super().to_internal_value(data)

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """The members of this request's body. Raises what REST framework raises for a malformed one."""
        if request.META.get("HTTP_TRANSFER_ENCODING"):
            raise exceptions.ParseError("Send the body in one piece, with its Content-Length.")
        body = cls(data=request.data)
        body.is_valid(raise_exception=True)
        members: dict[str, Any] = body.validated_data
        return members
