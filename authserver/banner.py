"""What the development server prints when it is ready: something to paste, and where things are."""

from authserver import settings
from oauth.demo import ADMIN_PASSWORD_FILE, USERS


def banner() -> str:
    base = f"http://localhost:{settings.PORT}"
    users = "\n".join(f"  {user.email} / {user.password}" for user in USERS)
    password_file = settings.DATA_DIR / ADMIN_PASSWORD_FILE
    admin_password = password_file.read_text(encoding="utf-8").strip() if password_file.is_file() else "(set by you)"
    return f"""
authserver is ready on {base}  (development, Ctrl-C stops it)

Get a token:
  curl {base}/oauth/token -d grant_type=password -d client_id=codelab-flutter-app \\
    -d username={USERS[0].email} -d password={USERS[0].password}

Demo users:
{users}

Admin  {base}/admin/   admin / {admin_password}
Keys   {base}/.well-known/jwks.json
Health {base}/health
"""
