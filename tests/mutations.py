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

MUTATIONS = (
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
        'if request.method not in {"GET", "HEAD"} or request.path.startswith(MACHINE_PATHS):',
        "if False:",
        "tests/project/test_gate.py",
    ),
    Mutation(
        "authserver/worker.py",
        "the kind of the error alone",
        '"reason": type(exc).__name__',
        '"reason": str(exc)',
        "tests/e2e/test_unreadable.py",
    ),
    Mutation(
        "authserver/env.py", "the value itself", "a value of {len(value)} characters", "the value {value}", "tests/project/test_env.py"
    ),
    Mutation(
        "accounts/authentication.py",
        "the same work",
        "        get_hasher().encode(password, get_hasher().salt())\n",
        "",
        "tests/accounts/test_hashers.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "only after the hash",
        "    if not hasher.verify(password, user.password):",
        "    if not user.is_active or not hasher.verify(password, user.password):",
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
        "accounts/authentication.py",
        "is_active and session_epoch again",
        ", session_epoch=user.session_epoch)",
        ")",
        "tests/oauth/test_password_grant.py",
    ),
    Mutation(
        "accounts/authentication.py",
        "is_active and session_epoch again",
        "filter(pk=user.pk, is_active=True,",
        "filter(pk=user.pk,",
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
        '            User.objects.filter(pk=obj.pk).update(session_epoch=F("session_epoch") + 1)\n',
        "            return\n",
        "tests/accounts/test_admin.py",
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
        "if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in value):",
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
        'public_keys.get(header.get("kid", ""))',
        'public_keys.get(header.get("kid", ""), next(iter(public_keys.values())))',
        "tests/oauth/test_access_tokens.py",
    ),
    Mutation(
        "oauth/access_tokens.py",
        "an id_token or a foreign JWT",
        'if header.get("typ") != TYPE or header.get("alg") != algorithm or set(header) != _HEADERS or not isinstance(header["kid"], str):',
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
        "    if user.is_staff and not settings.DEVELOPMENT:",
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
        "oauth/keys.py",
        "the unique sequence",
        "                sequence=1,\n",
        "                sequence=int(now.timestamp() * 1e6) % 2**31,\n",
        "tests/oauth/test_races.py",
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
