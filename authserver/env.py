"""Typed readers of the environment and `.env`; a wrong value stops the start with one clear line."""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import NamedTuple, TypeVar

from dotenv.parser import parse_stream

PREFIX = "AUTH_SERVICE__"
MIN_SECRET_LENGTH = 32

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")


class ConfigurationError(SystemExit):
    """A variable is wrong. As a SystemExit it ends the start with its line alone, without a traceback."""

    def __init__(self, line: str) -> None:
        super().__init__(f"authserver: {line}")


class Rate(NamedTuple):
    """So many in a period."""

    limit: int
    period: timedelta


class Environment:
    """The variables of one start. Each reader notes the name it read, so that the rest can be told."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._known: set[str] = set()
        self.notes: list[str] = []

    @classmethod
    def load(cls, default_file: Path) -> "Environment":
        """Read `.env` under the process's own variables, which win. AUTH_SERVICE__ENV_FILE names another file, or none when empty."""
        name = os.environ.get(f"{PREFIX}ENV_FILE", str(default_file))
        values: dict[str, str] = {}
        if name and Path(name).is_file():
            values = _read_env_file(Path(name))
        elif name and name != str(default_file):
            raise ConfigurationError(f"{PREFIX}ENV_FILE names {name}, which is not a file.")
        # An empty variable of the process counts as not set, and does not hide what the file says.
        environment = cls(dict(os.environ) | values | {key: value for key, value in os.environ.items() if value.strip()})
        environment._known.add(f"{PREFIX}ENV_FILE")
        return environment

    def text(self, name: str, *, default: str | None = None, choices: tuple[str, ...] = ()) -> str:
        value = self._raw(name)
        if value is None:
            if default is None:
                raise ConfigurationError(f"{name} is required and not set. Set it in the environment or in .env.{self._misspelt(name)}")
            return default
        if choices and value not in choices:
            hint = did_you_mean(value, choices)
            raise ConfigurationError(f"{name} is {value!r}, but must be one of {', '.join(choices)}.{hint}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
        return self._parsed(name, default, lambda value: words[value.lower()], "true or false")

    def integer(self, name: str, *, default: int, least: int = 0, most: int = 2**31 - 1) -> int:
        def parse(value: str) -> int:
            number = int(value) if value.isascii() and value.isdigit() else -1
            if not least <= number <= most:
                raise ValueError
            return number

        return self._parsed(name, default, parse, f"a whole number from {least} to {most}")

    def seconds(self, name: str, *, default: timedelta, least: int = 1, most: int = 10 * 365 * 86400) -> timedelta:
        number = self.integer(name, default=int(default.total_seconds()), least=least, most=most)
        return timedelta(seconds=number)

    def words(self, name: str, *, default: tuple[str, ...]) -> tuple[str, ...]:
        """Words parted by commas or white space."""
        return self._parsed(name, default, _split, "words")

    def networks(self, name: str) -> tuple[Network, ...]:
        return tuple(
            self._convert(name, word, ipaddress.ip_network, "addresses in CIDR form, such as 10.0.0.0/8")
            for word in self.words(name, default=())
        )

    def rate(self, name: str, *, default: str) -> Rate:
        """A count per period in seconds, minutes, hours or days, such as 20/5m."""

        def parse(value: str) -> Rate:
            match = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,5})?([smhd])", value)
            if match is None:
                raise ValueError
            seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[3]]
            period = timedelta(seconds=int(match[2] or 1) * seconds)
            if period > timedelta(days=30):
                raise ValueError
            return Rate(int(match[1]), period)

        return self._parsed(name, parse(default), parse, "a rate such as 1200/m or 20/5m, over 30 days at most")

    def secret(self, name: str, *, default: Callable[[], str] | None = None) -> str:
        """A secret, given as NAME or in the file that NAME_FILE names; `default` makes one where none is given."""
        value = self._secret_text(name)
        if value is None:
            if default is None:
                raise ConfigurationError(
                    f"{name} is required in production.{self._misspelt(name)} Set it, or {name}_FILE, to a random value; "
                    "python -c 'import secrets; print(secrets.token_urlsafe(48))' makes one. "
                    "To try the server out, use make run."
                )
            return default()
        self._ensure_strong(name, value)
        return value

    def secrets(self, name: str, *, default: Callable[[], str] | None = None) -> tuple[str, ...]:
        """Secrets parted by commas or white space: the first is used, all are accepted."""
        value = self._secret_text(name)
        if value is None:
            return (self.secret(name, default=default),)
        values = _split(value)
        for each in values:
            self._ensure_strong(name, each)
        return values

    def optional_secrets(self, name: str) -> tuple[str, ...]:
        return self.secrets(name) if self._secret_text(name) is not None else ()

    def url(self, name: str, *, default: str) -> str:
        """An URL, which may hold a password: given as NAME or in the file that NAME_FILE names."""
        value = self._secret_text(name)
        if value is not None and len(value.splitlines()) > 1:
            # SECURITY: what stands in it stays out of the message.
            raise ConfigurationError(f"{name} has several lines, but must be one URL.")
        return default if value is None else value

    def beginning_with(self, prefix: str) -> dict[str, str]:
        """The variables of somebody else's that are set, as they are."""
        return {name: value for name, value in self._values.items() if name.startswith(prefix) and value.strip()}

    def explain(self, name: str, note: str) -> None:
        """Accept a variable that has no effect, and say so in the notes when it is set."""
        if self._raw(name) is not None or self._values.get(f"{name}_FILE"):
            self.notes.append(f"{name} is set. {note}")

    def ensure_nothing_unread(self) -> None:
        """Raise for a name under our prefix that no reader knows: a typo must not pass for a setting."""
        for name in sorted(self._values):
            if name.upper().startswith(PREFIX) and name not in self._known:
                raise ConfigurationError(f"{name} is not a setting of this server.{did_you_mean(name, tuple(self._known))}")

    def _misspelt(self, name: str) -> str:
        """A hint at a variable that is set and reads like the one that is missing."""
        others = [other for other in self._values if other.startswith(PREFIX) and other not in self._known]
        close = difflib.get_close_matches(name, others, n=1, cutoff=0.85)
        return f" {close[0]} is set: is that it, misspelt?" if close else ""

    def _raw(self, name: str) -> str | None:
        """An empty value counts as not set, as in a compose file that passes variables through."""
        self._known.add(name)
        return self._values.get(name, "").strip() or None

    def _parsed(self, name: str, default: T, parse: Callable[[str], T], form: str) -> T:
        value = self._raw(name)
        return default if value is None else self._convert(name, value, parse, form)

    @staticmethod
    def _convert(name: str, value: str, parse: Callable[[str], T], form: str) -> T:
        try:
            return parse(value)
        except (ValueError, KeyError):
            raise ConfigurationError(f"{name} is {value!r}, but must be {form}.") from None

    def _secret_text(self, name: str) -> str | None:
        value, path = self._raw(name), self._raw(f"{name}_FILE")
        if value is not None and path is not None:
            raise ConfigurationError(f"{name} and {name}_FILE are both set. Keep one.")
        if path is None:
            return value
        try:
            content = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{name}_FILE names {path}, which cannot be read: {error}.") from None
        if not content:  # a mount that failed must not pass for a setting that is not set
            raise ConfigurationError(f"{name}_FILE names {path}, which is empty.")
        return content

    @staticmethod
    def _ensure_strong(name: str, value: str) -> None:
        # SECURITY: the value itself stays out of the message.
        if len(value) < MIN_SECRET_LENGTH:
            raise ConfigurationError(f"{name} has a value of {len(value)} characters, at least {MIN_SECRET_LENGTH} are needed.")


def _read_env_file(path: Path) -> dict[str, str]:
    """Raises ConfigurationError for a line that is no NAME=value: it would be passed over in silence."""
    try:
        bindings = list(parse_stream(StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from None
    for binding in bindings:
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigurationError(f"{path}, line {binding.original.line}: this is not NAME=value.")
    return {binding.key: binding.value for binding in bindings if binding.key is not None and binding.value is not None}


def _split(value: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", value) if word)


def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]}?" if close else ""
