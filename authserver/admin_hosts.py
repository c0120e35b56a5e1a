"""On which hosts the admin and the administrators' API are; on every other one nothing is where they were (AUTH_SERVICE__ADMIN_HOSTS)."""

from collections.abc import Callable, Sequence

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host

STAFF_PATHS = ("/admin/", "/api/v1/admin/")


class AdminHosts:
    """Innermost, so that what it refuses is answered like any other address that is none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # SECURITY: or who reaches the public name alone tries the doors of staff.
        if request.path.startswith(STAFF_PATHS) and not is_for_staff(request):
            raise Http404
        return self.get_response(request)


def is_for_staff(request: HttpRequest) -> bool:
    """Whether this request came for a host that has the admin: with none named, every host has it."""
    return not settings.ADMIN_HOSTS or validate_host(split_domain_port(request.get_host())[0], settings.ADMIN_HOSTS)


def unserved(admin_hosts: Sequence[str], *, allowed: Sequence[str]) -> list[str]:
    """Those that no request can come for, since the server refuses it."""
    return [name for name in admin_hosts if not validate_host(name.removeprefix(".").lower(), allowed)]
