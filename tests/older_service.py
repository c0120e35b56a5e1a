"""What the older service leaves behind: its database, made by its facts alone, and the tokens that it has given out."""

import hashlib
import json
import sqlite3
import threading
import uuid
from datetime import UTC, datetime, timedelta

import bcrypt
import jwt
import psycopg
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

KID = "2024-01-key-1"
PASSWORD = "seven older horses, one older battery"
ISSUER, AUDIENCE = "https://auth.codelab.local", "codelab-api"
TABLES = """
CREATE TABLE users (id VARCHAR(36) PRIMARY KEY, username VARCHAR(255) NOT NULL UNIQUE, email VARCHAR(255) NOT NULL UNIQUE,
    password_hash VARCHAR(255) NOT NULL, is_active BOOLEAN NOT NULL, is_verified BOOLEAN NOT NULL, created_at {time} NOT NULL,
    updated_at {time} NOT NULL, last_login_at {time});
CREATE TABLE oauth_clients (id VARCHAR(36) PRIMARY KEY, client_id VARCHAR(255) NOT NULL UNIQUE, client_secret_hash VARCHAR(255),
    name VARCHAR(255) NOT NULL, description TEXT, is_confidential BOOLEAN NOT NULL, allowed_scopes TEXT NOT NULL,
    allowed_grant_types TEXT NOT NULL, access_token_lifetime INTEGER NOT NULL, refresh_token_lifetime INTEGER NOT NULL,
    is_active BOOLEAN NOT NULL);
CREATE TABLE refresh_tokens (id VARCHAR(36) PRIMARY KEY, jti_hash VARCHAR(64) NOT NULL UNIQUE, user_id VARCHAR(36) NOT NULL,
    client_id VARCHAR(255) NOT NULL, scope TEXT NOT NULL, expires_at {time} NOT NULL, revoked BOOLEAN NOT NULL, revoked_at {time},
    parent_jti_hash VARCHAR(64), created_at {time} NOT NULL)
"""


class Refused(Exception):
    """What the older service answers with 401."""


class OlderService:
    """At the URL of an empty database of SQLite or PostgreSQL. One caller at a time: its own locks were no better."""

    def __init__(self, url, *, private_key=None):
        self.url = url
        self.private_key = private_key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._is_sqlite = url.startswith("sqlite")
        path = url.removeprefix("sqlite:///")
        self._connection = sqlite3.connect(path, check_same_thread=False) if self._is_sqlite else psycopg.connect(url)
        self._lock = threading.Lock()
        for statement in TABLES.format(time="DATETIME" if self._is_sqlite else "TIMESTAMP").split(";"):
            self._execute(statement)

    def close(self):
        self._connection.close()

    @property
    def pem(self):
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )

    def add_user(self, username, *, email=None, password=PASSWORD, cost=4, is_active=True, user_id=None):
        user_id = user_id or str(uuid.uuid4())
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()
        now = datetime.now(UTC)
        row = (user_id, username, email or f"{username}@example.com", hashed, is_active, False, now, now, None)
        self._execute(f"INSERT INTO users VALUES ({', '.join(['%s'] * 9)})", row)
        return user_id

    def change_user(self, user_id, **columns):
        columns |= {"updated_at": datetime.now(UTC)}
        self._execute(f"UPDATE users SET {', '.join(f'{name} = %s' for name in columns)} WHERE id = %s", (*columns.values(), user_id))

    def add_client(
        self, client_id, *, secret=None, scopes=("api:read", "api:write"), grants=("password", "refresh_token"), lifetimes=(900, 2592000)
    ):
        hashed = bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4)).decode() if secret else None
        row = (str(uuid.uuid4()), client_id, hashed, client_id.title(), "", bool(secret), json.dumps(scopes), json.dumps(grants))
        self._execute(f"INSERT INTO oauth_clients VALUES ({', '.join(['%s'] * 11)})", (*row, *lifetimes, True))

    def issue(self, user_id, client_id, *, scope="api:read api:write", parent=None, lived=timedelta(0), lifetime=timedelta(days=30)):
        """A pair of tokens; `lived` is how long ago they were given out."""
        now = datetime.now(UTC) - lived
        jti = str(uuid.uuid4())
        parent_hash = _sha256(self.claims(parent)["jti"]) if parent else None
        row = (str(uuid.uuid4()), _sha256(jti), user_id, client_id, scope, now + lifetime, False, None, parent_hash, now)
        self._execute(f"INSERT INTO refresh_tokens VALUES ({', '.join(['%s'] * 10)})", row)
        common = {"user_id": user_id, "client_id": client_id, "scope": scope, "now": now}
        return self.token("access", lifetime=timedelta(minutes=15), **common), self.token("refresh", lifetime=lifetime, jti=jti, **common)

    def refresh(self, token, client_id):
        """The next pair; the token works no more. Raises Refused."""
        claims = self.claims(token)
        if claims["client_id"] != client_id or not self._spend(_sha256(claims["jti"])):
            raise Refused
        return self.issue(claims["sub"], client_id, scope=claims["scope"], parent=token)

    def revoke(self, token):
        assert self._spend(_sha256(self.claims(token)["jti"]))

    def token(self, kind, *, user_id, client_id, scope, now, lifetime, jti=None, issuer=ISSUER, audience=AUDIENCE, kid=KID, key=None):
        issued_at = int(now.timestamp())
        claims = {"iss": issuer, "sub": user_id, "aud": audience, "exp": issued_at + int(lifetime.total_seconds()), "iat": issued_at}
        claims |= {"nbf": issued_at, "jti": jti or str(uuid.uuid4()), "type": kind, "client_id": client_id, "scope": scope}
        return jwt.encode(claims, key or self.private_key, algorithm="RS256", headers={"kid": kid})

    def claims(self, token):
        return jwt.decode(token, self.private_key.public_key(), algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)

    def jwks(self):
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private_key.public_key()))
        return {"keys": [jwk | {"kid": KID, "use": "sig", "alg": "RS256"}]}

    def _spend(self, jti_hash):
        spent = self._execute(
            "UPDATE refresh_tokens SET revoked = %s, revoked_at = %s WHERE jti_hash = %s AND NOT revoked",
            (True, datetime.now(UTC), jti_hash),
        )
        return spent == 1

    def _execute(self, sql, parameters=()):
        if self._is_sqlite:
            sql = sql.replace("%s", "?")
            # As SQLAlchemy writes them, and reads them: without a zone.
            parameters = [f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value for value in parameters]
        else:
            parameters = [value.replace(tzinfo=None) if isinstance(value, datetime) else value for value in parameters]
        with self._lock:
            cursor = self._connection.cursor()
            cursor.execute(sql, tuple(parameters))
            self._connection.commit()
            return cursor.rowcount


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()
