"""Make a new database ready to serve."""

import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts import clock, encryption
from accounts.models import User
from oauth import clients, demo, key_pairs, key_rotation, key_rows
from oauth.models import Client


class Command(BaseCommand):
    help = (
        "Check the migrations, make the first signing key and the default clients. "
        "Run it as often as you like: what exists is left as it is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="also the users of the integration guide and an admin (development only)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["demo"] and not settings.DEVELOPMENT:
            raise CommandError("--demo makes users with known passwords, so it works with ENVIRONMENT=development alone.")
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("The database is not up to date. Run manage.py migrate first.")

        self._prepare_signing_keys()
        for default in demo.CLIENTS + (demo.DEMO_CLIENTS if options["demo"] else ()):
            self._ensure_client(default)
        if options["demo"]:
            for user in demo.USERS:
                self._ensure_user(user)
            self._ensure_admin(settings.DATA_DIR / demo.ADMIN_PASSWORD_FILE)

    def _prepare_signing_keys(self) -> None:
        try:
            key_rotation.prepare()
        except key_pairs.NotUsable as error:
            raise CommandError(f"AUTH_SERVICE__PRIVATE_KEY_PATH names {settings.PRIVATE_KEY_PATH}, but {error}.") from error
        except encryption.Undecryptable as error:
            raise CommandError(str(error)) from error
        now = clock.now()
        for place in key_rows.current().published(now):
            self.stdout.write(f"signing key  {place.key.kid}  {place.state(now)}")

    def _ensure_client(self, default: demo.DefaultClient) -> None:
        if Client.objects.filter(client_id=default.client_id).exists():
            return
        made = clients.register(
            default.client_id,
            name=default.name,
            is_public=default.is_public,
            grant_types=default.grant_types,
            allowed_scopes=default.allowed_scopes,
            default_scopes=default.scopes,
            may_introspect=default.may_introspect,
            redirect_uris=default.redirect_uris,
        )
        secret = f"  secret, shown once: {made.secret_value}" if made.secret_value else ""
        self.stdout.write(f"client       {default.client_id}{secret}")

    def _ensure_user(self, user: demo.DemoUser) -> None:
        if not User.objects.filter(username_canonical=user.username).exists():
            User.objects.create_user(user.username, user.email, user.password)
            self.stdout.write(f"user         {user.email}")

    def _ensure_admin(self, password_file: Path) -> None:
        if User.objects.filter(username_canonical=demo.ADMIN_USERNAME).exists():
            return
        password = secrets.token_urlsafe(12)
        password_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        password_file.unlink(missing_ok=True)
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(password + "\n")
        User.objects.create_superuser(demo.ADMIN_USERNAME, password=password)
        self.stdout.write(f"admin        {demo.ADMIN_USERNAME}, its password is in {password_file}")
