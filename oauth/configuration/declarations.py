"""A TOML file that declares clients and roles, read strictly: whatever is wrong in it is told with its place."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oauth.models import Client

TYPE, ACTIVE = "type", "is_active"
TYPES = {"public": Client.CLIENT_PUBLIC, "confidential": Client.CLIENT_CONFIDENTIAL}
# Each in the file's words, which are those of the columns. Whatever is parted by spaces in its column is a list here.
LINES = ("redirect_uris", "post_logout_redirect_uris", "resources", "allowed_origins")
WORDS = ("allowed_scopes", "default_scopes", "served_audiences")
LISTS = ("grant_types", *WORDS, *LINES)
FLAGS = (ACTIVE, "skip_authorization", "require_pkce", "may_introspect")
SECONDS = ("access_token_lifetime", "refresh_token_lifetime", "refresh_overlap_seconds")
TEXTS = ("name", TYPE, "audience")
REQUIRED = (TYPE, "grant_types", "allowed_scopes")  # of a client that is new


class Invalid(Exception):
    """What is wrong with the file, a line each, with its place. Nothing was changed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Declarations:
    """By client_id and by name: what the file says of each, and no more than it says. Lists are of different words."""

    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)


def read(path: Path) -> Declarations:
    """Raises Invalid."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Invalid([f"{path} cannot be read: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid([f"{path} is no TOML: {error}"]) from None
    if problems := list(_problems(document)):
        raise Invalid(problems)
    return Declarations(document.get("clients", {}), document.get("roles", {}))


def _problems(document: dict[str, Any]) -> Iterator[str]:
    kinds: dict[str, dict[str, Callable[[Any], str]]] = {"clients": _CLIENT, "roles": {"description": _is_text}}
    yield from (f"{name}: the file declares {' and '.join(kinds)}, and nothing else" for name in document if name not in kinds)
    for kind, members in kinds.items():
        declared = document.get(kind, {})
        if not isinstance(declared, dict):
            yield f"{kind}: is no table, such as [{kind}.name]"
            continue
        for name, said in declared.items():
            if not name.isprintable():
                yield f"{kind}: {name!r} has control characters"
            elif isinstance(said, dict):
                yield from _problems_of(said, members, place=f"{kind}.{name}")
            else:
                yield f"{kind}.{name}: is no table, such as [{kind}.{name}]"


def _problems_of(said: dict[str, Any], members: dict[str, Callable[[Any], str]], *, place: str) -> Iterator[str]:
    for name, value in said.items():
        if name not in members:
            yield f"{place}.{name}: there is no such member; there are {', '.join(members)}"
        elif problem := members[name](value):
            yield f"{place}.{name}: {problem}"


def _is_text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        return "has to be a text without line breaks and control characters"
    # The forms strip it, and then it would differ from the file for ever.
    return "" if value == value.strip() else "has spaces around it"


def _is_type(value: Any) -> str:
    return "" if value in [*TYPES] else f"has to be one of {', '.join(TYPES)}"


def _is_flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "has to be true or false"


def _is_seconds(value: Any) -> str:
    return "" if isinstance(value, int) and not isinstance(value, bool) else "has to be a number of seconds"


def _is_list(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(word, str) and word.isprintable() and word and " " not in word for word in value):
        return "has to be a list of words without spaces"
    return "" if len({*value}) == len(value) else "names something twice"


_CLIENT: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(TEXTS, _is_text),
    TYPE: _is_type,
    **dict.fromkeys(LISTS, _is_list),
    **dict.fromkeys(FLAGS, _is_flag),
    **dict.fromkeys(SECONDS, _is_seconds),
}
