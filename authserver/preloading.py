"""What every process needs is loaded before the processes part: they share its memory, and no first request waits for it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.conf import settings
from django.contrib.auth.hashers import get_hashers
from django.core.cache import caches
from django.template import engines
from django.urls import Resolver404, get_resolver

from accounts import libargon2, shared_store


def load() -> None:
    with _left_out("requests"):  # for its test client: 50 ms and 4 MB
        import rest_framework.compat  # noqa: F401
    with suppress(Resolver404):
        get_resolver().resolve("/-")  # imports every view, and compiles the patterns
    get_hashers()
    libargon2.named()
    engine = engines["django"].engine  # type: ignore[attr-defined]
    engine.template_loaders, engine.template_context_processors  # noqa: B018 - as the next lines: what they name is imported
    list(caches.all())
    if settings.REDIS_URL:
        caches[shared_store.ALIAS].client  # type: ignore[attr-defined] # noqa: B018 - it connects with the first question


@contextmanager
def _left_out(name: str) -> Iterator[None]:
    """Within, whoever uses this library only where it is installed does without it."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # what Python raises ModuleNotFoundError for
    try:
        yield
    finally:
        del sys.modules[name]
