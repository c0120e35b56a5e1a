from django.contrib.admin.apps import AdminConfig


class Config(AdminConfig):
    """Django's admin, on our own site."""

    default_site = "authserver.admin.site.Site"
