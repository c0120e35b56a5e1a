"""Register a client."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.actors import at_the_console
from oauth import clients
from oauth.models import GRANT_TYPE_CHOICES


class Command(BaseCommand):
    help = "Register a client. A confidential one gets a secret, which is printed once and kept as a digest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client_id", help="its name on the wire, such as billing-service")
        parser.add_argument("--name", default="", help="its name for people")
        parser.add_argument("--public", action="store_true", help="an app in its users' hands, which can keep no secret")
        parser.add_argument("--grant-type", action="append", choices=GRANT_TYPE_CHOICES, required=True, help="may be given several times")
        parser.add_argument("--scope", required=True, help="what it may ask for, parted by spaces: 'api:read api:write'")
        parser.add_argument("--default-scope", help="what it gets when it asks for nothing; all of --scope when not given")
        parser.add_argument(
            "--refresh-overlap", type=int, metavar="SECONDS", help="for apps that fire refreshes in parallel; the server's when not given"
        )
        parser.add_argument("--may-introspect", action="store_true", help="may ask whether tokens are active")
        parser.add_argument(
            "--serves", default="", metavar="AUDIENCES", help="whose tokens it may ask about, parted by spaces; the server's when not given"
        )
        parser.add_argument("--redirect-uri", action="append", default=[], metavar="URI", help="where codes go; may be given several times")
        parser.add_argument(
            "--post-logout-redirect-uri", action="append", default=[], metavar="URI", help="where users may go after they signed out"
        )
        parser.add_argument(
            "--resource",
            action="append",
            default=[],
            metavar="URI",
            help="what else it may get tokens for (RFC 8707); may be given several times",
        )
        parser.add_argument("--first-party", action="store_true", help="an app of our own: users are not asked what it may do")
        parser.add_argument("--without-pkce", action="store_true", help="a confidential client whose library cannot do PKCE (RFC 7636)")

    def handle(self, *args: Any, **options: Any) -> None:
        default_scope = options["scope"] if options["default_scope"] is None else options["default_scope"]
        try:
            made = clients.register(
                options["client_id"],
                name=options["name"] or options["client_id"],
                is_public=options["public"],
                grant_types=options["grant_type"],
                allowed_scopes=options["scope"],
                default_scopes=default_scope,
                refresh_overlap_seconds=options["refresh_overlap"],
                may_introspect=options["may_introspect"],
                served_audiences=options["serves"],
                redirect_uris=" ".join(options["redirect_uri"]),
                post_logout_redirect_uris=" ".join(options["post_logout_redirect_uri"]),
                resources=" ".join(options["resource"]),
                require_pkce=not options["without_pkce"],
                skip_authorization=options["first_party"],
                actor=at_the_console(),
            )
        except ValidationError as error:
            raise CommandError("; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())) from error
        self.stdout.write(f"client_id      {made.client.client_id}")
        if made.secret_value:
            self.stdout.write(f"client_secret  {made.secret_value}   (shown once)")
