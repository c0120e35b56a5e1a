"""In which language to speak to whoever sent a request."""

from django.http import HttpRequest
from django.utils.translation.trans_real import parse_accept_lang_header

LANGUAGES = ("en", "ru")


def language_of(request: HttpRequest) -> str:
    """What was chosen for the pages; else the one of ours that Accept-Language likes best (RFC 9110 §12.5.4), or the first of ours."""
    chosen = getattr(request, "LANGUAGE_CODE", None)  # on pages alone
    if chosen in LANGUAGES:
        return str(chosen)
    for tag, quality in parse_accept_lang_header(request.META.get("HTTP_ACCEPT_LANGUAGE", "")):
        language = tag.partition("-")[0]
        if quality and language in LANGUAGES:
            return language
    return LANGUAGES[0]
