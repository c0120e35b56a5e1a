"""Take each line that a `# SECURITY:` comment marks out of a copy of the code, one at a time, and see a test fail.

python tests/mutations.py            all of them, and the table
python tests/mutations.py sessions   those whose file or comment has this word
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("authserver", "accounts", "oauth")
PARALLEL = 2


@dataclass(frozen=True)
class Mutation:
    """`old` stands once in `file`, under the marker whose comment begins with `marker`; `new` opens the hole; `tests` must notice."""

    file: str
    marker: str
    old: str
    new: str
    tests: str


SESSIONS, ROWS, REFRESH = "oauth/sessions.py", "oauth/session_rows.py", "tests/oauth/test_refresh.py"
UPDATE = "own columns in the outer WHERE"
BULK = "tests/accounts/test_bulk_users.py"
PEOPLE, RESTORED = "oauth/restored/people.py", "tests/oauth/test_after_restore.py"

CODES, CODE_TESTS = "oauth/authorization_codes.py", "tests/oauth/test_authorization_codes.py"
REQUEST, AUTHORIZE_VIEWS, AUTHORIZE = "oauth/authorization_request.py", "oauth/authorize_views.py", "tests/oauth/test_authorize.py"

DYNAMIC = "tests/oauth/test_client_registration.py"
CONNECT = "tests/oauth/test_openid_connect.py"
KEY_ADMIN = "tests/oauth/test_key_admin.py"

CLIENT_ADMIN = "tests/oauth/test_client_admin.py"

ADMIN_API = "tests/oauth/test_admin_api.py"
DEVICES, DEVICE_GRANT, DEVICE_PAGE = "oauth/device_codes.py", "tests/oauth/test_device_grant.py", "tests/oauth/test_device_page.py"
DEVICE_RACES = "tests/oauth/test_device_races.py"
OLDER = "tests/oauth/test_older_service.py"
LIBARGON2 = "tests/accounts/test_libargon2_hashes.py"
RSGI = "tests/project/test_rsgi.py"

MUTATIONS = (
    Mutation(
        "oauth/configuration/apply.py",
        "nobody else reads it",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)",
        "os.O_WRONLY | os.O_CREAT, 0o644)",
        "tests/oauth/test_apply.py",
    ),
    Mutation(
        "oauth/instances.py",
        "of all of them at once",
        "    text = json.dumps([getattr(settings, name) for name in SECRETS_OF_ALL])",
        "    text = json.dumps([settings.TOKEN_KEYS])",
        "tests/oauth/test_instances.py",
    ),
    Mutation(
        "oauth/doctor/findings.py",
        "the kind of an error alone",
        "This check itself failed ({type(error).__name__}).",
        "This check itself failed ({error}).",
        "tests/oauth/test_doctor.py",
    ),
    Mutation(
        "oauth/older_service/refresh_tokens.py",
        "the key is one that was imported",
        '        claims = json.loads(_JWS.decode_complete(value, key, algorithms=[_ALGORITHM])["payload"])',
        '        claims = json.loads(_JWS.decode_complete(value, options={"verify_signature": False})["payload"])',
        OLDER,
    ),
    Mutation(
        "oauth/older_service/refresh_tokens.py",
        "its access tokens are signed by the same key",
        """    if kind != "refresh" or """,
        "    if ",
        OLDER,
    ),
    Mutation(
        "oauth/foreign_secrets.py",
        "by the hash that was tried",
        """, foreign_secret_hash=client.foreign_secret_hash)
    if client.secret_digest is None:
        rows.filter(secret_digest=None).update(""",
        """)
    if client.secret_digest is None:
        rows.update(""",
        OLDER,
    ),
    Mutation(
        "oauth/older_service/sessions.py",
        "there was no grant but the password",
        "scopes.format(granted - scopes.NEVER_BY_PASSWORD)",
        "scopes.format(granted)",
        OLDER,
    ),
    Mutation(
        "oauth/older_service/users.py",
        "as when staff disable somebody",
        "                users.end_sessions(user)\n",
        "",
        OLDER,
    ),
    Mutation(
        "oauth/older_service/users.py",
        "a file from elsewhere does nothing to staff",
        "        if user is not None and not (user.is_staff or user.is_superuser):",
        "        if user is not None:",
        OLDER,
    ),
    Mutation(
        "oauth/clients.py",
        "a hash from elsewhere counts as the secret before",
        """            locked.foreign_secret_hash = ""\n""",
        "            pass\n",
        OLDER,
    ),
    Mutation(
        PEOPLE,
        "the password of the backup is the one",
        "    User.objects.filter(pk=user.pk).update(password=make_password(None))\n",
        "",
        RESTORED,
    ),
    Mutation(PEOPLE, "or a code that was used", """        gone |= Q(type="recovery_codes")\n""", "        pass\n", RESTORED),
    Mutation(
        PEOPLE,
        "or whoever was staff",
        "        User.objects.filter(pk=user.pk).update(**dict.fromkeys(lost, False))\n",
        "        pass\n",
        RESTORED,
    ),
    Mutation(
        "oauth/restored/replay.py",
        "the secret of the backup is the one",
        "clients.withdraw_secret(client, made_by=changed_at, until=until)",
        "not client",
        RESTORED,
    ),
    Mutation(
        "oauth/clients.py",
        "or a secret that leaked works",
        "if not rows.update(previous_secret_expires_at=until):",
        "if not rows.exists():",
        RESTORED,
    ),
    Mutation(
        "accounts/browser_proof.py",
        "a password alone makes no sign-in",
        """[record for record in records if record["method"] == "mfa"] or records""",
        "records",
        "tests/accounts/test_browser_proof.py",
    ),
    Mutation(
        "oauth/client_registration.py",
        "never the password grant",
        "GRANT_TYPES = (AUTHORIZATION_CODE,",
        'GRANT_TYPES = ("password", AUTHORIZATION_CODE,',
        DYNAMIC,
    ),
    Mutation(
        "oauth/client_registration.py",
        "what changes accounts, or the server",
        "frozenset(settings.SCOPES) - scopes.NEVER_DEFAULT",
        "frozenset(settings.SCOPES)",
        DYNAMIC,
    ),
    Mutation(
        "oauth/client_registration.py",
        "a code that is sent in clear",
        '        return parts.hostname in {"127.0.0.1", "::1", "localhost"}',
        "        return True",
        DYNAMIC,
    ),
    Mutation(
        "oauth/views.py",
        "or anybody makes a client",
        "    if not hmac.compare_digest(value.encode(",
        "    if False and not hmac.compare_digest(value.encode(",
        DYNAMIC,
    ),
    Mutation(
        "oauth/userinfo.py",
        "who did not sign in by OpenID Connect",
        "    if user is None or scopes.OPENID not in granted:",
        "    if user is None:",
        CONNECT,
    ),
    Mutation(
        "oauth/logout_views.py",
        "a link on any page may lead here",
        "    if asked.hint is None or asked.hint.user_id != user.pk:",
        "    if False:",
        CONNECT,
    ),
    Mutation(
        "oauth/logout_views.py",
        "the hint is for one client",
        "    if hint is not None and named and named != hint.client_id:",
        "    if False:",
        CONNECT,
    ),
    Mutation(
        "oauth/logout_views.py",
        "or this server sends people to whoever asks",
        "    if client is None or not client.is_active or not redirect_uris.is_among(uri,",
        "    if False and not redirect_uris.is_among(uri,",
        CONNECT,
    ),
    Mutation("oauth/admin_api/gates.py", "or a user who was staff once", "        if not user.is_staff:", "        if False:", ADMIN_API),
    Mutation(
        "oauth/admin_api/gates.py",
        "or a password that was found out",
        '        if not SECOND_FACTORS & {*claims.get("amr", ())}:',
        "        if False:",
        ADMIN_API,
    ),
    Mutation(
        "oauth/admin_api/gates.py",
        "or a token that was taken from a browser left alone",
        "        if request.method not in SAFE_METHODS and ",
        "        if False and ",
        ADMIN_API,
    ),
    Mutation(
        "oauth/admin_api/gates.py",
        "or support takes over who may do more",
        "        if not users.may_touch(user_of(self.request), user):",
        "        if False:",
        ADMIN_API,
    ),
    Mutation(
        "oauth/admin_api/gates.py",
        "a view that names nothing for a method",
        "    if not permissions or not user.has_perms(permissions):",
        "    if permissions and not user.has_perms(permissions):",
        ADMIN_API,
    ),
    Mutation(
        "oauth/admin_api/clients.py",
        "the digests of the secrets are not among them",
        "        fields = tuple(BILLING)\n",
        '        fields = (*BILLING, "secret_digest")\n',
        ADMIN_API,
    ),
    Mutation(
        "oauth/admin_api/user_acts.py",
        "or support lets in again whom somebody shut out",
        "            ensure_permitted(user_of(request), (DISABLE,))\n",
        "",
        ADMIN_API,
    ),
    Mutation(
        "oauth/admin_api/lockouts.py",
        "or support lets who guesses at an owner's password",
        "    if owner is not None and not users.may_touch(staff, owner):",
        "    if False:",
        ADMIN_API,
    ),
    Mutation(
        "accounts/account_changes.py",
        "as they are now: they may have become staff",
        "        users.ensure_within_reach(staff, current)\n        before = {name",
        "        before = {name",
        ADMIN_API,
    ),
    Mutation(
        "accounts/account_changes.py",
        "as they are now: they may have become staff",
        "        users.ensure_within_reach(staff, current)\n        roles =",
        "        roles =",
        ADMIN_API,
    ),
    Mutation(
        "accounts/account_changes.py",
        "or a code that a thief has sent for takes the address back",
        "            outbox.withdraw(current)\n",
        "            pass\n",
        ADMIN_API,
    ),
    Mutation(
        "accounts/account_pages.py",
        "the epoch that began here",
        "    user.session_epoch, user.password = epoch, encoded or user.password\n",
        '    user.refresh_from_db(fields=("session_epoch", "password"))\n',
        "tests/accounts/test_account_pages.py",
    ),
    Mutation(
        "oauth/account_pages.py",
        "another user's is nothing",
        "filter(pk=id, user=user).first()",
        "filter(pk=id).first()",
        "tests/oauth/test_account_pages.py",
    ),
    Mutation(
        DEVICES,
        "no repr: it holds both codes",
        "@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds both codes.",
        "@dataclass(frozen=True)",
        DEVICE_GRANT,
    ),
    Mutation(DEVICES, "a code is its own client's alone", "    if row.client_id != client.pk:", "    if False:", DEVICE_GRANT),
    Mutation(
        DEVICES,
        "every try of a person counts",
        "    throttling.take_of_user(throttling.DEVICE_CODES_OF_USER, user_id=user.pk)\n",
        "",
        DEVICE_PAGE,
    ),
    Mutation(DEVICES, "each code that is open", "    if len(ends) >= MOST_OPEN:", "    if False:", DEVICE_GRANT),
    Mutation(
        DEVICES,
        "whoever was disabled or signed out everywhere",
        "    if user is None or row.auth_time is None or not user.is_active or user.session_epoch != row.user_epoch:",
        "    if user is None or row.auth_time is None:",
        DEVICE_GRANT,
    ),
    Mutation(
        DEVICES,
        "own columns in the WHERE decide",
        "filter(pk=row.pk, decision=APPROVED, expires_at__gt=Instant())",
        "filter(pk=row.pk, expires_at__gt=Instant())",
        DEVICE_RACES,
    ),
    Mutation(
        DEVICES,
        "decided once",
        "filter(pk=device.pk, decision=PENDING, expires_at__gt=Instant())",
        "filter(pk=device.pk, expires_at__gt=Instant())",
        DEVICE_RACES,
    ),
    Mutation(
        "oauth/device_views.py",
        "as everywhere, who can change the server",
        "        if browser_proof.must_be_stronger(request):",
        "        if False:",
        DEVICE_PAGE,
    ),
    Mutation(
        "oauth/device_views.py",
        "for the device that was shown to this very person",
        "    if shown_to != str(user.pk):",
        "    if False:",
        DEVICE_PAGE,
    ),
    Mutation(
        "oauth/device_views.py",
        "whatever is not a plain yes",
        '    if request.POST["decision"] == "approve":',
        '    if request.POST["decision"] != "deny":',
        DEVICE_PAGE,
    ),
    Mutation(
        "oauth/user_codes.py",
        "of the system's randomness",
        "secrets.choice(ALPHABET)",
        '__import__("random").choice(ALPHABET)',
        "tests/oauth/test_user_codes.py",
    ),
    Mutation(
        "oauth/cors.py",
        "or a page of one client reads what another's token opens",
        "origin in client.allowed_origins.split()",
        "origin in cache.of_any_client()",
        "tests/oauth/test_cors.py",
    ),
    Mutation(
        "oauth/client_acts.py",
        "or whoever may look at clients makes one that is theirs",
        "        if not self.has_add_permission(request):",
        "        if False:",
        CLIENT_ADMIN,
    ),
    Mutation(
        "oauth/client_acts.py",
        "or whoever may look at clients takes their secrets over",
        "    @method_decorator(permission_required(ROTATE, raise_exception=True))\n",
        "",
        CLIENT_ADMIN,
    ),
    Mutation(
        "oauth/client_acts.py",
        "or whoever may look at clients shuts them out",
        "    @method_decorator(permission_required(DISABLE, raise_exception=True))\n    @requires_recent_sign_in\n    def disable(",
        "    @requires_recent_sign_in\n    def disable(",
        CLIENT_ADMIN,
    ),
    Mutation(
        "oauth/client_acts.py",
        "or whoever may look at clients lets one in again",
        "    @method_decorator(permission_required(DISABLE, raise_exception=True))\n    @requires_recent_sign_in\n    def enable(",
        "    @requires_recent_sign_in\n    def enable(",
        CLIENT_ADMIN,
    ),
    Mutation(
        "oauth/client_acts.py",
        "or whoever may look at clients signs everybody out of one",
        "    @method_decorator(permission_required(END_ALL, raise_exception=True))\n",
        "",
        CLIENT_ADMIN,
    ),
    Mutation(
        "oauth/client_acts.py",
        "or a member of staff who is no owner",
        "    if not user.is_superuser:",
        "    if False:",
        CLIENT_ADMIN,
    ),
    Mutation(
        "oauth/models.py",
        "an address that runs as a script",
        "            if bad:",
        "            if False:",
        CLIENT_ADMIN,
    ),
    Mutation(
        CODES,
        "no repr: it holds what the client sent",
        "@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds what",
        "@dataclass(frozen=True)  # SECURITY: no repr: it holds what",
        "tests/oauth/test_secrecy.py",
    ),
    Mutation(CODES, "a code of another client is none", "    if code.client_id != client.pk:", "    if False:", CODE_TESTS),
    Mutation(
        CODES, "or a code that was intercepted on its way", "    if sent.redirect_uri != code.redirect_uri:", "    if False:", CODE_TESTS
    ),
    Mutation(
        CODES,
        "as the user stands now",
        "is_active=True, awaits_confirmation=False, session_epoch=code.user_epoch)",
        "awaits_confirmation=False)",
        CODE_TESTS,
    ),
    Mutation(
        CODES,
        "the database decides which of several exchanges",
        "filter(pk=code.pk, session_id=None, expires_at__gt=Instant())",
        "filter(pk=code.pk, expires_at__gt=Instant())",
        CODE_TESTS,
    ),
    Mutation(
        CODES,
        "whoever was first may have been the thief",
        "        if sessions.revoke(code.session_id, reason=REUSED):",
        "        if False:",
        CODE_TESTS,
    ),
    Mutation(
        CODES,
        "a verifier that nobody asked for",
        "        if verifier:\n            raise",
        "        if False:\n            raise",
        CODE_TESTS,
    ),
    Mutation(
        REQUEST,
        "before anything is answered, with prompt=none too",
        "        return client, _redirect_uri(sent, client=client)",
        "        return client, sent",
        AUTHORIZE,
    ),
    Mutation(REQUEST, "the client's list bounds every token", "    if not asked <= client.allowed_scope_set:", "    if False:", AUTHORIZE),
    Mutation(REQUEST, "or whoever intercepts the code spends it", "        if client.needs_pkce:", "        if False:", AUTHORIZE),
    Mutation(
        REQUEST,
        "plain, also by leaving the method out",
        '    if method != "S256":',
        '    if method not in {"S256", "plain", ""}:',
        AUTHORIZE,
    ),
    Mutation(
        AUTHORIZE_VIEWS,
        "signed for this person in this browser",
        "salt=_salt(request), max_age=DECISION_TIME)",
        'salt="", max_age=DECISION_TIME)',
        AUTHORIZE,
    ),
    Mutation(
        AUTHORIZE_VIEWS,
        "who can change the server needs more than a password",
        "    if browser_proof.must_be_stronger(request):",
        "    if False:",
        AUTHORIZE,
    ),
    Mutation(
        AUTHORIZE_VIEWS,
        "another app on the device can take",
        "    is_proven = redirect_uris.is_claimed(asked.redirect_uri) or not asked.client.is_public",
        "    is_proven = True",
        AUTHORIZE,
    ),
    Mutation(
        "oauth/redirect_uris.py",
        "nothing is decoded, resolved or normalised",
        "any(sent == uri or",
        "any(sent.startswith(uri) or",
        "tests/oauth/test_redirect_uris.py",
    ),
    Mutation(
        "oauth/id_tokens.py",
        "the key comes from our own set",
        'algorithms=[key.algorithm])["payload"])',
        'algorithms=[key.algorithm], options={"verify_signature": False})["payload"])',
        "tests/oauth/test_id_tokens.py",
    ),
    Mutation(
        SESSIONS,
        "a refresh never moves a session to another audience",
        "        if resource and attempt.client.audience_of(resource) !=",
        "        if False and attempt.client.audience_of(resource) !=",
        CODE_TESTS,
    ),
    Mutation(
        SESSIONS,
        "what staff took from the client is taken from its sessions",
        "    if session.audience and client.audience_of(session.audience) is None:",
        "    if False:",
        CODE_TESTS,
    ),
    Mutation(
        "oauth/grant_types.py",
        "a client's own token is good for its resources",
        "    if audience is None:",
        "    if False:",
        CODE_TESTS,
    ),
    Mutation(
        "oauth/key_admin.py",
        "or whoever may look at the keys makes another sign",
        "    @method_decorator(permission_required(ROTATE, raise_exception=True))\n",
        "",
        KEY_ADMIN,
    ),
    Mutation(
        "oauth/key_admin.py",
        "or whoever may look at the keys takes them out of use",
        "    @method_decorator(permission_required(REVOKE, raise_exception=True))\n",
        "",
        KEY_ADMIN,
    ),
    Mutation(
        "accounts/browser_proof.py",
        "of this very user",
        "get_authentication_records(request, request.user)",
        'request.session.get("account_authentication_methods", [])',
        "tests/accounts/test_browser_proof.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "whatever is wrong, or the time",
        "            beat.wait()\n",
        "            pass\n",
        "tests/accounts/test_even_time_of_hashes.py",
    ),
    Mutation(
        "accounts/foreign_hashes.py",
        "or one line of a file",
        "    if value > limit:",
        "    if False:",
        "tests/accounts/test_imported_hashes.py",
    ),
    Mutation(
        "accounts/bulk_plan.py",
        "no repr: it holds a password hash",
        "@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds a password hash.",
        "@dataclass(frozen=True)",
        BULK,
    ),
    Mutation("accounts/user_lines.py", "a file of plain passwords", '    if "password" in members:', "    if False:", BULK),
    Mutation(
        "accounts/user_lines.py",
        "or a file from elsewhere makes staff",
        "    if not allow_staff and (values",
        "    if False and (values",
        BULK,
    ),
    Mutation(
        "accounts/bulk_plan.py",
        "or a file from elsewhere gives",
        "if not self._allow_staff and (user.is_staff or user.is_superuser):",
        "if False:",
        BULK,
    ),
    Mutation(
        "accounts/bulk_plan.py",
        "or whoever registers a name first",
        "        if meant is not None and meant.awaits_confirmation:",
        "        if False:",
        BULK,
    ),
    Mutation(
        "accounts/bulk.py",
        "as when staff disable somebody",
        "        users.end_sessions(change.user)\n",
        "        pass\n",
        BULK,
    ),
    Mutation(
        "accounts/bulk.py",
        "as when staff change it",
        "        outbox.withdraw(change.user)\n",
        "        pass\n",
        BULK,
    ),
    Mutation(
        "accounts/management/commands/export_users.py",
        "a terminal keeps",
        "            if with_hashes and self.stdout.isatty():",
        "            if False:",
        BULK,
    ),
    Mutation(
        "accounts/management/commands/export_users.py",
        "made for its owner alone",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)",
        BULK,
    ),
    Mutation(
        "accounts/management/commands/export_users.py",
        "made for its owner alone",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)",
        "os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)",
        BULK,
    ),
    Mutation(
        "accounts/password_reset.py",
        "to the address on record",
        'email="" if user is None else user.email',
        "email=email",
        "tests/accounts/test_password_reset.py",
    ),
    Mutation(
        "accounts/password_reset.py",
        "a user who exists is read",
        "    beat.wait()\n",
        "    pass\n",
        "tests/accounts/test_password_reset.py",
    ),
    Mutation(
        "accounts/registration.py",
        "the same rows whoever has the address",
        'outbox.put("email_taken" if owner else "registration", user=owner or user, email=recipient, language=language)',
        'owner or outbox.put("registration", user=user, email=email, language=language)',
        "tests/accounts/test_registration.py",
    ),
    Mutation(
        "accounts/registration.py",
        "the owner is told at the address on record",
        "recipient = owner.email if owner else email",
        "recipient = email",
        "tests/accounts/test_registration.py",
    ),
    Mutation(
        "authserver/caches.py",
        "without the value",
        '            f"{NAME} must look like redis://',
        '            f"{NAME} is {url}, but must look like redis://',
        "tests/project/test_caches.py",
    ),
    Mutation(
        "authserver/caches.py",
        "the default reads",
        "django_redis.serializers.json.JSONSerializer",
        "django_redis.serializers.pickle.PickleSerializer",
        "tests/accounts/test_throttling.py",
    ),
    Mutation(
        "accounts/shared_store.py",
        "the kind of the error alone",
        "reason=type(error).__name__",
        "reason=str(error)",
        "tests/accounts/test_shared_store.py",
    ),
    Mutation(
        "accounts/throttling.py",
        "the network of an IPv6 address",
        "    return source_of(address)\n",
        '    return address or ""\n',
        "tests/accounts/test_throttling.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "before anything is asked",
        "    throttling.ensure_left(throttling.FAILED_PASSWORDS, address=door.address)\n",
        "",
        "tests/oauth/test_ceilings.py",
    ),
    Mutation(
        "oauth/ceilings.py",
        "by its tag alone",
        '        return presented_tokens.read(form.optional("refresh_token"))\n',
        '        return RefreshToken(form["refresh_token"].encode(), generation=0)\n',
        "tests/oauth/test_ceilings.py",
    ),
    Mutation(
        "accounts/lockout.py",
        "user name and e-mail of one account",
        "digest_of(name) if user_id is None else digest_of_user(user_id)",
        "digest_of(name)",
        "tests/accounts/test_lockout.py",
    ),
    Mutation(
        "accounts/login_lanes.py", "in the statement that counts", "AND {count} < CASE", "AND 0 < CASE", "tests/accounts/test_lockout.py"
    ),
    Mutation(
        "accounts/lockout.py",
        "of every name, though",
        "if login_lanes.reserve_known(",
        "if user is not None and user.last_sign_in_at and login_lanes.reserve_known(",
        "tests/accounts/test_lockout.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "before any hash is computed",
        "lockout.reserve(name, user=user, address=door.address)",
        "lockout.reserve(name + str(id(door)), user=None, address=str(door.address))",
        "tests/accounts/test_authentication.py",
    ),
    Mutation(
        "authserver/middleware.py",
        "from anyone else this header",
        " and is_trusted_proxy(peer, trusted=proxies):",
        ":",
        "tests/project/test_gate.py",
    ),
    Mutation(
        "authserver/middleware.py",
        "a redirect would let",
        'if request.method not in {"GET", "HEAD"} or not is_page(request):',
        "if False:",
        "tests/project/test_gate.py",
    ),
    Mutation(
        "authserver/middleware.py",
        "anyone else could make",
        ' and is_trusted_proxy(environ.get("REMOTE_ADDR", ""), trusted=settings.TRUSTED_PROXIES):',
        ":",
        "tests/project/test_logs.py",
    ),
    Mutation(
        "authserver/wsgi.py",
        "what a path has in it is for strangers",
        "if not match.args and not match.kwargs:",
        "if True:",
        "tests/project/test_wsgi.py",
    ),
    Mutation(
        "authserver/kept_answers.py",
        "a refusal is looked into each time",
        'if status[:3] in {"200", "304"} and len',
        "if len",
        "tests/project/test_kept_answers.py",
    ),
    Mutation(
        "authserver/kept_answers.py",
        "as the Gate settles it",
        "return path, host, is_secure, environ",
        "return path, host, True, environ",
        "tests/project/test_kept_answers.py",
    ),
    Mutation(
        "authserver/pages.py",
        "a token that is not set",
        "return bool(settings.METRICS_TOKEN) and scheme",
        "return scheme",
        "tests/project/test_metrics.py",
    ),
    Mutation(
        "authserver/tracing.py",
        "an exception's words may quote",
        "record_exception=False, set_status_on_exception=False",
        "record_exception=True",
        "tests/project/test_tracing.py",
    ),
    Mutation(
        "authserver/tracing.py",
        "anyone else could put their requests",
        'if is_trusted_proxy(environ.get("REMOTE_ADDR", ""), trusted=settings.TRUSTED_PROXIES):',
        "if True:",
        "tests/project/test_tracing.py",
    ),
    Mutation(
        "authserver/worker.py",
        "without the request",
        "super().handle_error(None,",
        "super().handle_error(req,",
        "tests/project/test_logs.py",
    ),
    Mutation("authserver/pages.py", "only what stands before", 'reason.partition(" - ")[0]', "reason", "tests/project/test_logs.py"),
    Mutation("authserver/pages.py", "a token that is not set", ' == "bearer" and is_it', ' == "bearer"', "tests/project/test_metrics.py"),
    Mutation(
        "oauth/client_labels.py",
        "bounded: each label",
        "return client_id if client_id in self._names else OTHER",
        "return client_id or OTHER",
        "tests/project/test_metrics.py",
    ),
    Mutation(
        "oauth/session_pruning.py",
        "expiry alone decides",
        "    is_over = f\"expires_at < {clock.instant_sql('expired')}\"\n",
        "    is_over = f\"(expires_at < {clock.instant_sql('expired')} OR revoked_at IS NOT NULL)\"\n",
        "tests/oauth/test_prune.py",
    ),
    Mutation(
        "authserver/rsgi.py",
        "hyper takes a body with two lengths",
        'if "transfer-encoding" in headers:',
        "if False:",
        RSGI,
    ),
    Mutation(
        "authserver/rsgi.py",
        "a value that is not ASCII is missing",
        "if len(named) != len(headers):",
        "if False:",
        RSGI,
    ),
    Mutation(
        "authserver/rsgi.py",
        "X_Forwarded_For would be the variable",
        'if "_" in header:',
        "if False:",
        RSGI,
    ),
    Mutation(
        "authserver/worker.py",
        "the kind of the error alone",
        "reason=type(exc).__name__",
        "reason=str(exc)",
        "tests/e2e/test_unreadable.py",
    ),
    Mutation(
        "authserver/env.py", "the value itself", "a value of {len(value)} characters", "the value {value}", "tests/project/test_env.py"
    ),
    Mutation("authserver/env.py", "what stands in it", "has several lines", "is {value!r}", "tests/project/test_env.py"),
    Mutation(
        "accounts/hashers.py",
        "in constant time",
        "            return secrets.compare_digest(self.encode(password, own[3]), encoded)",
        "            return self.encode(password, own[3]) == encoded",
        LIBARGON2,
    ),
    Mutation(
        "accounts/libargon2.py",
        "private",
        "flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS",
        "flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS",
        LIBARGON2,
    ),
    Mutation(
        "accounts/libargon2.py",
        "another tag for the same password",
        "        if (vector, own) != (_VECTOR, of_libsodium):",
        "        if False:",
        LIBARGON2,
    ),
    Mutation(
        "accounts/libargon2.py",
        "what a password was hashed with is wiped",
        "        if memory.mapped[:] != bytes(memory.kib * 1024):",
        "        if False:",
        LIBARGON2,
    ),
    Mutation(
        "accounts/authentication.py",
        "the same work",
        "        slots.compute(get_hasher().encode, password, get_hasher().salt())\n",
        "",
        "tests/accounts/test_hashers.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "only after the hash",
        "    if not slots.compute(hasher.verify, password, user.password):",
        "    if not user.is_active or not slots.compute(hasher.verify, password, user.password):",
        "tests/accounts/test_hashers.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "only after the hash",
        "    if not user.is_active:\n",
        "    if False:\n",
        "tests/accounts/test_authentication.py",
    ),
    Mutation(
        "accounts/sign_in_rows.py",
        "is_active and session_epoch again",
        " AND accounts_user.session_epoch = %(user_epoch)s",
        "",
        "tests/oauth/test_password_grant.py",
    ),
    Mutation(
        "accounts/sign_in_rows.py",
        "is_active and session_epoch again",
        " AND accounts_user.is_active AND",
        " AND",
        "tests/oauth/test_password_grant.py",
    ),
    Mutation(
        "accounts/models.py",
        "or a stolen session outlives",
        "outlives the password that was changed because of it.\n        self.session_epoch += 1\n",
        "was changed.\n",
        REFRESH,
    ),
    Mutation(
        "accounts/browser_sessions.py",
        "160 bits",
        "return hashlib.sha256(session_key.encode()).hexdigest()[:40]",
        "return session_key",
        "tests/accounts/test_browser_sessions.py",
    ),
    Mutation(
        "accounts/admin.py",
        "or a thief is back in",
        "            users.end_sessions(obj)\n",
        "            return\n",
        "tests/accounts/test_admin.py",
    ),
    Mutation(
        "accounts/admin.py",
        "or a code that a thief",
        "            outbox.withdraw(obj)\n",
        "            return\n",
        "tests/accounts/test_admin_audit.py",
    ),
    Mutation(
        "accounts/admin.py",
        "also the page that sets a password",
        " and (obj is None or users.may_touch(_staff(request), obj))",
        "",
        "tests/project/test_admin_permissions.py",
    ),
    Mutation(
        "accounts/admin.py",
        "whoever may change users may make nobody staff",
        "staff_fields = () if _staff(request).is_superuser else STAFF_FIELDS",
        "staff_fields = ()",
        "tests/project/test_admin_permissions.py",
    ),
    Mutation(
        "accounts/admin.py",
        "or whoever may change groups",
        "        return request.user.is_active and request.user.is_superuser\n",
        "        return True\n",
        "tests/project/test_admin_permissions.py",
    ),
    Mutation(
        "accounts/admin.py",
        "to change a user's name is one permission",
        '        state = () if request.user.has_perm("accounts.disable_user") else ("is_active",)\n',
        "        state: tuple[str, ...] = ()\n",
        "tests/project/test_admin_permissions.py",
    ),
    Mutation(
        "accounts/users.py",
        "or a thief is back in",
        '            end_sessions(user)\n            audit.record("user:account:disabled"',
        '            audit.record("user:account:disabled"',
        "tests/oauth/test_user_pages.py",
    ),
    Mutation(
        "accounts/lockout_admin.py",
        "to lift a lock is a permission",
        "        if not (self.has_unlock_permission(request) and self.has_view_permission(request)):\n",
        "        if not self.has_view_permission(request):\n",
        "tests/accounts/test_lockout_admin.py",
    ),
    Mutation(
        "accounts/lockout_admin.py",
        "or support lets who guesses",
        "        if _of_staff(request, [counter]):\n",
        "        if False:\n",
        "tests/accounts/test_lockout_admin.py",
    ),
    Mutation(
        "oauth/user_admin.py",
        "each act by its own permission",
        "        if not (request.user.has_perm(act.permission) and self.has_view_permission(request, user)):\n",
        "        if not self.has_view_permission(request, user):\n",
        "tests/oauth/test_user_pages.py",
    ),
    Mutation(
        "oauth/user_admin.py",
        "each act by its own permission",
        "        if not self.is_within_reach(request, user):\n",
        "        if False:\n",
        "tests/oauth/test_user_pages.py",
    ),
    Mutation(
        "authserver/admin_hosts.py",
        "or who reaches the public name alone",
        "        if request.path.startswith(STAFF_PATHS) and not is_for_staff(request):\n",
        "        if False:\n",
        "tests/project/test_admin_hosts.py",
    ),
    Mutation(
        "oauth/user_bulk_acts.py",
        "what the act may not do to one",
        "        if not self.is_within_reach(request, user):\n",
        "        if False:\n",
        "tests/oauth/test_bulk_acts.py",
    ),
    Mutation(
        "oauth/session_admin.py",
        "by its own permission",
        "        if not (self.has_revoke_permission(request) and self.has_view_permission(request, session)):\n",
        "        if not self.has_view_permission(request, session):\n",
        "tests/oauth/test_session_pages.py",
    ),
    Mutation(
        "oauth/session_admin.py",
        "by its own permission",
        "        if not _is_within_reach(request, session):\n",
        "        if False:\n",
        "tests/oauth/test_session_pages.py",
    ),
    Mutation(
        "accounts/users.py",
        "or whoever may change users takes over",
        "    return staff.is_superuser or not (user.is_staff or user.is_superuser)\n",
        "    return True\n",
        "tests/project/test_admin_permissions.py",
    ),
    Mutation(
        "accounts/current_password.py",
        "where attempts are counted",
        "        authenticated = authentication.authenticate(",
        "        if user.check_password(password):\n            return user\n        authenticated = authentication.authenticate(",
        "tests/accounts/test_admin_audit.py",
    ),
    Mutation(
        "accounts/next_page.py",
        "browsers drop control characters",
        "not has_tricks and url_has_allowed_host_and_scheme(url, allowed_hosts=None)",
        "True",
        "tests/accounts/test_next_page.py",
    ),
    Mutation(
        "accounts/addresses.py", "from the right", "in reversed([part.strip()", "in iter([part.strip()", "tests/accounts/test_addresses.py"
    ),
    Mutation(
        SESSIONS,
        "no repr: it holds a refresh token",
        "@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds a refresh token.",
        "@dataclass(frozen=True)",
        "tests/oauth/test_secrecy.py",
    ),
    Mutation(SESSIONS, "a refresh never widens", "    if not wanted <= grant:", "    if False:", REFRESH),
    Mutation(
        SESSIONS,
        "no one but its own client",
        "    if seen.client_pk != attempt.client.pk:\n",
        "    if False:\n",
        REFRESH,
    ),
    Mutation(
        SESSIONS, "whatever the age", "            if revoke(attempt.token.session_id, reason=REUSED):", "            if True:", REFRESH
    ),
    Mutation(
        SESSIONS,
        "the record may be lost",
        "        revoke(attempt.token.session_id, reason=REUSED)\n        logger",
        "        logger",
        REFRESH,
    ),
    Mutation(SESSIONS, "bounded, so that", "    elif ahead > settings.REFRESH_CATCH_UP_GENERATIONS:", "    elif False:", REFRESH),
    Mutation(
        SESSIONS,
        "a copy of the token that turns up",
        "if has_overlap and _is_same_network(seen.address, attempt.origin.address):",
        "if has_overlap:",
        REFRESH,
    ),
    Mutation(ROWS, UPDATE, "WHERE id = %(id)s AND generation = %(expected)s AND client_id", "WHERE id = %(id)s AND client_id", REFRESH),
    Mutation(ROWS, UPDATE, " AND client_id = %(client)s\n", "\n", REFRESH),
    Mutation(ROWS, UPDATE, "          AND revoked_at IS NULL AND expires_at > {now}\n", "          AND expires_at > {now}\n", REFRESH),
    Mutation(ROWS, UPDATE, "          AND revoked_at IS NULL AND expires_at > {now}\n", "          AND revoked_at IS NULL\n", REFRESH),
    Mutation(ROWS, UPDATE, "          AND {_USER_IS_LIVE} AND {_CLIENT_IS_LIVE}\n", "          AND {_CLIENT_IS_LIVE}\n", REFRESH),
    Mutation(ROWS, UPDATE, "          AND {_USER_IS_LIVE} AND {_CLIENT_IS_LIVE}\n", "          AND {_USER_IS_LIVE}\n", REFRESH),
    Mutation(
        "oauth/http.py",
        "half a request",
        "    if not is_chunked and len(body) < length:",
        "    if False:",
        "tests/e2e/test_http.py",
    ),
    Mutation(
        "oauth/http.py",
        "PostgreSQL refuses NUL",
        "if _CONTROL_CHARACTER.search(value):",
        "if False:",
        "tests/oauth/test_token_endpoint.py",
    ),
    Mutation(
        "oauth/clients.py",
        "a public client that sends",
        "        if secret:\n            raise InvalidClient(",
        "        if False:\n            raise InvalidClient(",
        "tests/oauth/test_clients.py",
    ),
    Mutation(
        "oauth/clients.py",
        "an empty secret",
        "return bool(value) and (is_current",
        "return (not value) or (is_current",
        "tests/oauth/test_clients.py",
    ),
    Mutation(
        "oauth/access_tokens.py",
        "the key comes from our own set",
        'keys.get(header["kid"])',
        'keys.get(header["kid"], next(iter(keys.values())))',
        "tests/oauth/test_access_tokens.py",
    ),
    Mutation(
        "oauth/access_tokens.py",
        "an id_token or a foreign JWT",
        'if header.get("typ") != TYPE or set(header) != _HEADERS or not isinstance(header["kid"], str):',
        "if False:",
        "tests/oauth/test_access_tokens.py",
    ),
    Mutation(
        "oauth/grant_types.py",
        "no repr: it holds tokens",
        "@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds tokens.",
        "@dataclass(frozen=True)",
        "tests/oauth/test_secrecy.py",
    ),
    Mutation(
        "oauth/grant_types.py",
        "the client's list bounds",
        "if not asked <= request.client.allowed_scope_set - withheld:",
        "if False:",
        "tests/oauth/test_password_grant.py",
    ),
    Mutation(
        "oauth/grant_types.py",
        "the client's list bounds",
        "allowed_scope_set - withheld:",
        "allowed_scope_set:",
        "tests/oauth/test_password_grant.py",
    ),
    Mutation(
        "oauth/grant_types.py",
        "who can change the server",
        "    if authenticated.user.is_staff and not settings.DEVELOPMENT:",
        "    if False:",
        "tests/oauth/test_password_grant.py",
    ),
    Mutation(
        "oauth/refresh_tokens.py",
        "no repr: a handle",
        "@dataclass(frozen=True, repr=False)  # SECURITY: no repr: a handle must not reach a log or a traceback.",
        "@dataclass(frozen=True)",
        "tests/oauth/test_refresh_tokens.py",
    ),
    Mutation(
        "oauth/refresh_tokens.py",
        "without the tag",
        "    if not any(hmac.compare_digest(tag, _tag(body, key)) for key in keys):",
        "    if False:",
        "tests/oauth/test_refresh_tokens.py",
    ),
    Mutation(
        "oauth/http.py",
        "authenticated by client credentials",
        "    @csrf_exempt  # SECURITY: authenticated by client credentials or tokens, never by a cookie.\n",
        "",
        "tests/oauth/test_token_endpoint.py",
    ),
    Mutation(
        "oauth/access_tokens.py",
        "None alone leaves",
        '    if audience is not None and claims["aud"] != audience:',
        "    if False:",
        "tests/oauth/test_access_tokens.py",
    ),
    Mutation(
        "oauth/access_tokens.py",
        "None alone leaves",
        "if audience is not None and claims",
        "if audience and claims",
        "tests/oauth/test_access_tokens.py",
    ),
    Mutation(
        "oauth/clients.py",
        "who knows its client_id",
        "        if not allow_public:",
        "        if False:",
        "tests/oauth/test_introspection.py",
    ),
    Mutation(
        SESSIONS, "or one client ends", "filter(client=client, expires_at__gt", "filter(expires_at__gt", "tests/oauth/test_revocation.py"
    ),
    Mutation(
        "oauth/live_tokens.py",
        "a client's own token",
        '    if claims["sub"] != client_id:',
        "    if False:",
        "tests/oauth/test_verify.py",
    ),
    Mutation(
        "oauth/introspection.py",
        "or whoever has any client's secret",
        "    if not client.may_introspect:",
        "    if False:",
        "tests/oauth/test_introspection.py",
    ),
    Mutation(
        "oauth/introspection.py",
        "a service learns of the tokens",
        '    if claims["aud"] not in caller.served_audience_set and claims["client_id"] != caller.client_id:',
        "    if False:",
        "tests/oauth/test_introspection.py",
    ),
    Mutation(
        "oauth/introspection.py",
        "a refresh token is nobody's business",
        ", client=caller, generation=",
        ", generation=",
        "tests/oauth/test_introspection.py",
    ),
    Mutation(
        "oauth/introspection.py",
        "a refresh token is nobody's business",
        ", generation=token.generation)",
        ")",
        "tests/oauth/test_introspection.py",
    ),
    Mutation("oauth/foreign_tokens.py", "who has one token", "    if recent.has(session_id, client.client_id):", "    if False:", REFRESH),
    Mutation(
        "oauth/revocation.py", "an access token is shown", "    if client.is_public:", "    if False:", "tests/oauth/test_revocation.py"
    ),
    Mutation("oauth/views.py", "a token outlives", "    live_tokens.get_user(claims)\n", "", "tests/oauth/test_verify.py"),
    Mutation(
        "oauth/key_pairs.py",
        "no repr: it holds a private key",
        "@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds a private key.",
        "@dataclass(frozen=True)",
        "tests/oauth/test_keys.py",
    ),
    Mutation(
        "oauth/key_pairs.py",
        "a short key",
        "if private_key.key_size < LEAST_RSA_BITS or private_key.public_key().public_numbers().e != 65537:",
        "if False:",
        "tests/oauth/test_key_rotation.py",
    ),
    Mutation(
        "oauth/key_pairs.py",
        "its numbers are proven",
        "serialization.load_pem_private_key(pem, password=None)",
        "serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)",
        "tests/oauth/test_key_rotation.py",
    ),
    Mutation(
        "oauth/key_pairs.py",
        "what signs is what was published",
        " or pair(private_key).thumbprint != thumbprint:",
        ":",
        "tests/oauth/test_keys.py",
    ),
    Mutation(
        "oauth/key_rotation.py",
        "or a process with the wrong encryption key",
        "    ensure_opens()\n    ensure_standby()\n",
        "    ensure_standby()\n",
        "tests/oauth/test_key_rotation.py",
    ),
    Mutation(
        "oauth/key_rotation.py",
        "a verifier may hold a key set",
        "return max(_soonest(now), standby.key.published_at + settings.KEY_PUBLISH_LEAD)",
        "return _soonest(now)",
        "tests/oauth/test_key_rotation.py",
    ),
    Mutation(
        "oauth/key_schedule.py",
        "a key that leaves sooner",
        "timedelta(seconds=key.longest_lifetime) + skew",
        "timedelta(seconds=key.longest_lifetime)",
        "tests/oauth/test_key_schedule.py",
    ),
    Mutation(
        "oauth/keys.py",
        "before it signs, or the key leaves",
        "if lifetime > timedelta(seconds=row.longest_lifetime):",
        "if False:",
        "tests/oauth/test_keys.py",
    ),
    Mutation(
        "oauth/key_rotation.py",
        "the unique sequence",
        "sequence=1,",
        "sequence=int(now.timestamp() * 1e6) % 2**31,",
        "tests/oauth/test_races.py",
    ),
    Mutation(
        "authserver/database_url.py",
        "without the value",
        'f"{NAME} must look like',
        'f"{NAME} {url} must look like',
        "tests/project/test_env.py",
    ),
    Mutation(
        "authserver/email_url.py",
        "without the value",
        'f"{NAME} must look like',
        'f"{NAME} {url} must look like',
        "tests/accounts/test_outbox.py",
    ),
    Mutation(
        "accounts/one_time_tokens.py",
        "the statement that deletes",
        "    if not spent:",
        "    if False:",
        "tests/accounts/test_one_time_tokens.py",
    ),
    Mutation(
        "accounts/outbox.py",
        "the kind of the error alone",
        "        _put_off(due, reason=type(error).__name__)",
        "        _put_off(due, reason=str(error))",
        "tests/accounts/test_outbox.py",
    ),
    Mutation(
        "accounts/passwords.py",
        "the time of NFC grows",
        'password if len(password) > 4 * MAX_BYTES else unicodedata.normalize("NFC", password)',
        'unicodedata.normalize("NFC", password)',
        "tests/accounts/test_hashers.py",
    ),
    Mutation(
        "accounts/passwords.py",
        "or a code that a thief",
        "because of them.\n    outbox.withdraw(user)\n",
        "because of them.\n",
        "tests/oauth/test_account_api.py",
    ),
    Mutation(
        "accounts/passwords.py",
        "as in `change`",
        "as in `change`.\n        outbox.withdraw(user)\n",
        "as in `change`.\n",
        "tests/accounts/test_outbox.py",
    ),
    Mutation(
        "accounts/email_change.py",
        "a mailbox of letters",
        '    if not email.partition("@")[0].isascii():',
        "    if False:",
        "tests/accounts/test_email_change.py",
    ),
    Mutation(
        "accounts/email_change.py",
        "or who knows the password",
        "        if held is None or held.session_epoch != user.session_epoch:",
        "        if held is None:",
        "tests/accounts/test_email_change.py",
    ),
    Mutation(
        "accounts/email_change.py",
        "the same answer and the same work",
        '        outbox.put("email_taken" if owner else "email_change", user=owner or held,',
        '        owner or outbox.put("email_change", user=held,',
        "tests/accounts/test_email_change.py",
    ),
    Mutation(
        "accounts/email_change.py",
        "the owner is told at the address on record",
        "recipient = owner.email if owner else email",
        "recipient = email",
        "tests/accounts/test_email_change.py",
    ),
    Mutation(
        "accounts/email_change.py",
        "or who reads the old mailbox",
        "has a code from it.\n            outbox.withdraw(user)\n",
        "has a code from it.\n",
        "tests/accounts/test_email_change.py",
    ),
    Mutation(
        "accounts/epochs.py",
        "as they were read",
        "is_active=True, session_epoch=user.session_epoch)",
        "is_active=True)",
        "tests/oauth/test_account_api.py",
    ),
    Mutation(
        "accounts/epochs.py",
        "as they were read",
        "is_active=True, session_epoch=user.session_epoch)",
        "session_epoch=user.session_epoch)",
        "tests/oauth/test_account_api.py",
    ),
    Mutation(
        "accounts/bodies.py",
        "PostgreSQL refuses NUL",
        "        if any(unicodedata.category(character)",
        "        if False and any(unicodedata.category(character)",
        "tests/oauth/test_account_api.py",
    ),
    Mutation(
        "oauth/own_sessions.py",
        "another user's session",
        "filter(pk=session_id, user=user).first()",
        "filter(pk=session_id).first()",
        "tests/oauth/test_account_api.py",
    ),
    Mutation("oauth/own_sessions.py", "of the epoch before", "user_epoch=epoch - 1, ", "", "tests/oauth/test_account_api.py"),
    Mutation("oauth/own_sessions.py", "of the epoch before", "revoked_at=None, ", "", "tests/oauth/test_account_api.py"),
    Mutation("oauth/own_sessions.py", "of the epoch before", ", expires_at__gt=Instant()", "", "tests/oauth/test_account_api.py"),
    Mutation(
        "oauth/account_api.py",
        "the name may have gone",
        "    if authenticated.user.pk != user.pk:",
        "    if False:",
        "tests/oauth/test_account_api.py",
    ),
    Mutation(
        "oauth/bearer.py",
        "a view that says nothing",
        "        if required is None or required not in",
        "        if required is not None and required not in",
        "tests/oauth/test_api.py",
    ),
    Mutation(
        "accounts/admin.py",
        "allauth's own pages show",
        "admin.site.unregister((EmailAddress, Authenticator))\n",
        "",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/admin_site.py",
        "a password alone opens no page",
        "super().has_permission(request) and is_proved_by_second_factor(request)",
        "super().has_permission(request)",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "the failures before it stay counted",
        "    if authenticated.user.has_second_factor:\n        # SECURITY",
        "    if False:\n        # SECURITY",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "at the moment of writing; the password was verified",
        "active.filter(session_epoch=user.session_epoch).update",
        "User.objects.filter(pk=user.pk).update",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/browser_sessions.py",
        "however busy it is",
        "min(settings.BROWSER_SESSION_IDLE, settings.BROWSER_SESSION_MAX_AGE - age)",
        "settings.BROWSER_SESSION_IDLE",
        "tests/accounts/test_browser_sessions.py",
    ),
    Mutation(
        "accounts/recent_sign_in.py",
        "or a password that was seen",
        "    if records and request.user.has_second_factor:",
        "    if False:",
        "tests/accounts/test_recent_sign_in.py",
    ),
    Mutation(
        "accounts/careful_admin.py",
        "or a browser that was left open makes",
        '        if request.method != "POST" or is_recent(request):\n',
        "        if True:\n",
        "tests/project/test_admin_permissions.py",
    ),
    Mutation(
        "accounts/audit_admin.py",
        "or a browser that was left open hands out",
        "        if not is_recent(request):\n",
        "        if False:\n",
        "tests/accounts/test_audit_list.py",
    ),
    Mutation(
        "accounts/recent_sign_in.py",
        "an unlocked browser",
        "        if is_recent(request, within=",
        "        if True or is_recent(request, within=",
        "tests/accounts/test_recent_sign_in.py",
    ),
    Mutation(
        "accounts/second_factors.py",
        "before a code is looked at",
        '    reservation = lockout.reserve(user.username, user=user, address=actor["address"])\n',
        '    reservation = Reservation(b"", "", "", (), None)\n',
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/second_factors.py",
        "one statement decides",
        "last_totp_step__lt=step).update",
        "last_totp_step__gte=0).update",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/sign_in_adapters.py",
        "or a copy of the database has everybody's",
        "        return encryption.encrypt(text.encode(), purpose=second_factors.PURPOSE)",
        "        return text",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/sign_in_adapters.py",
        "of this very user and this session",
        "request.session.get(PROVED_BY_SECOND_FACTOR) == str(user.pk) and user.has_second_factor",
        "user.has_second_factor",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/sign_in_forms.py",
        "encrypted: sessions are rows",
        "encrypt(generate_totp_secret())",
        "generate_totp_secret()",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "oauth/grant_types.py",
        "this grant has nothing else to ask for",
        "    if authenticated.user.has_second_factor:",
        "    if False:",
        "tests/accounts/test_second_factors.py",
    ),
    Mutation(
        "accounts/audit_admin.py",
        "to look at the log is no right to take it away",
        "        if not (self.has_view_permission(request) and request.user.has_perm(EXPORT)):",
        "        if not self.has_view_permission(request):",
        "tests/accounts/test_audit_list.py",
    ),
    Mutation(
        "accounts/audit_lines.py",
        "or what a stranger sent",
        """    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value""",
        "    return value",
        "tests/accounts/test_audit_list.py",
    ),
)


def markers() -> Iterator[tuple[str, str]]:
    """Each `# SECURITY:` comment of the code: its file and what it says."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for said in re.findall(r"# SECURITY: (.*)", path.read_text(encoding="utf-8")):
                yield str(path.relative_to(ROOT)), said


def is_noticed(mutation: Mutation) -> tuple[bool, float]:
    """Whether a test fails with the hole open, and after how many seconds."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "data", ".*_cache", "__pycache__", ".hypothesis"))
        path = copy / mutation.file
        path.write_text(path.read_text(encoding="utf-8").replace(mutation.old, mutation.new, 1), encoding="utf-8")
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", mutation.tests],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode not in {0, 1}:
        print(run.stdout[-2000:], run.stderr[-500:], file=sys.stderr)  # the tests did not run: nothing is known
        return False, time.monotonic() - started
    return run.returncode == 1, time.monotonic() - started


def main() -> int:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [mutation for mutation in MUTATIONS if word in mutation.file or word in mutation.marker]
    missed = 0
    print(f"{'noticed':<8} {'s':>4}  line taken out")
    with ThreadPoolExecutor(PARALLEL) as threads:
        for mutation, (noticed, seconds) in zip(chosen, threads.map(is_noticed, chosen), strict=True):
            missed += not noticed
            print(
                f"{'yes' if noticed else 'NO':<8} {seconds:>4.0f}  {mutation.file}: {mutation.marker} ({mutation.old.strip()[:60]})",
                flush=True,
            )
    print(f"{len(chosen)} holes opened, {len(chosen) - missed} noticed, {missed} not")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
