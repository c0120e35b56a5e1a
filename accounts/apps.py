from allauth.account.apps import AccountConfig
from django.apps import AppConfig


class AccountsConfig(AppConfig):
    default = True  # of the two in this module
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from accounts import checks  # noqa: F401 - registers the checks


class AllauthAccountConfig(AccountConfig):
    """allauth's own insists on its middleware for every request; ours runs it for pages alone (authserver.page_middleware)."""

    def ready(self) -> None:
        from allauth.account import checks  # noqa: F401 - registers the checks
