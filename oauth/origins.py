"""Web origins, as browsers write them (RFC 6454 §6.2). Pure."""

import re

_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:(?P<port>[1-9][0-9]{0,4}))?")
_LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")
_USUAL_PORTS = {"http": "80", "https": "443"}
# Pages without an address, and text that runs: browsers send `null` for them, which is everybody's.
_NEVER = frozenset({"about", "blob", "data", "file", "javascript", "vbscript"})


def is_origin(text: str) -> bool:
    """Whether a browser could send exactly this: scheme, host and port in small letters, and no usual port, path or wildcard."""
    found = _ORIGIN.fullmatch(text)
    if found is None or found["scheme"] in _NEVER:
        return False
    return found["port"] is None or (int(found["port"]) < 65536 and found["port"] != _USUAL_PORTS.get(found["scheme"]))


def is_local(text: str) -> bool:
    """Whether it is a page of the developer's own machine."""
    return _LOCAL.fullmatch(text) is not None
