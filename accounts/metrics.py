"""What the server counts, for Prometheus (docs/operations.md): each label has a small set of values, and no client can add to it.

The library decides when it is imported whether processes count together (authserver/metrics_page.py).
"""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

DATABASE, REDIS = "database", "redis"
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_TICKS_PER_SECOND = 2**20

TOKEN_REQUESTS = Counter("auth_token_requests_total", "Requests to the token endpoint.", ("grant", "outcome", "client"))
TOKEN_REQUEST_SECONDS = Histogram(
    "auth_token_request_duration_seconds", "Time that requests to the token endpoint took.", ("grant",), buckets=SECONDS_BUCKETS
)
FAILED_SIGN_INS = Counter("auth_failed_login_attempts_total", "Passwords that were refused.", ("door", "reason"))
RATE_LIMITED = Counter("auth_rate_limited_total", "Requests refused because their address had used up a ceiling.", ("ceiling",))
SPRAYS = Counter("auth_password_spraying_detected_total", "Networks, or all together, seen trying many names within an hour.")
ROTATIONS = Counter("auth_refresh_token_rotations_total", "Refresh tokens exchanged for their successor.")
REUSES = Counter("auth_refresh_token_reuse_total", "Sessions ended because a spent refresh token came back.")
RETRIES = Counter("auth_refresh_retries_total", "Refreshes repeated with their Idempotency-Key, and answered again.")
OVERLAPS = Counter("auth_refresh_overlaps_total", "Refreshes forgiven because they were sent in parallel.")
CATCH_UPS = Counter("auth_refresh_catch_ups_total", "Sessions that were behind their refresh token: the database had lost writes.")
JWKS_ANSWERS = Counter("auth_jwks_answers_total", "Answers of the key set that were written down.", ("status",))
# No child of it is made at import: the process that forks the others reads no store, and would report it as down.
STORE_UP = Gauge("auth_store_up", "Whether every server process reaches the store.", ("store",), multiprocess_mode="livemin")
# For the same reason each of these gauges has a label.
HASHES = Gauge(
    "auth_password_hashes", "Attempts whose password waits for its hash, or is being hashed.", ("state",), multiprocess_mode="livesum"
)
INSTANCES = Gauge(
    "auth_instances", "Instances of the server on this database, by what they do.", ("state",), multiprocess_mode="livemostrecent"
)
INSTANCE_WARNINGS = Gauge(
    "auth_instance_warnings", "Whether instances do not go together in this way.", ("warning",), multiprocess_mode="livemostrecent"
)
KEY_INSTANTS = Gauge(
    "auth_signing_key_timestamp_seconds", "Instants of the signing keys, since 1970.", ("instant",), multiprocess_mode="livemostrecent"
)
DATABASE_CONNECTIONS = Gauge(
    "auth_database_connections", "Connections to PostgreSQL, of everybody.", ("kind",), multiprocess_mode="livemostrecent"
)
HASHES_REFUSED = Counter("auth_password_hashes_refused_total", "Attempts that were turned away before a hash.", ("reason",))
HASH_WAIT_SECONDS = Histogram(
    "auth_password_hash_wait_seconds", "Time that attempts waited for their hash to begin.", buckets=SECONDS_BUCKETS
)
LOCKOUTS = Counter("auth_lockouts_total", "Names that were locked for one source, or for all sources that are not known.", ("lane",))
STORE_ERRORS = Counter("auth_store_errors_total", "Requests that the store failed.", ("store",))


def observe_token_request(*, grant: str, outcome: str, client: str, seconds: float) -> None:
    """Count one request to the token endpoint. The caller bounds the labels."""
    _requests(grant, outcome, client).inc()
    _request_seconds(grant).observe(_in_ticks(seconds))


def observe_hash_wait(seconds: float) -> None:
    """Count one attempt whose hash may begin."""
    HASH_WAIT_SECONDS.observe(_in_ticks(seconds))


def _in_ticks(seconds: float) -> float:
    """Whole ticks add up exactly in any order.

    Otherwise the sum over all processes could fall by a rounding error when one of them ends, and a counter that falls is taken
    for one that began anew.
    """
    return round(seconds * _TICKS_PER_SECOND) / _TICKS_PER_SECOND


@cache
def _requests(grant: str, outcome: str, client: str) -> Counter:
    """Found once: to find it costs as much as to count."""
    return TOKEN_REQUESTS.labels(grant, outcome, client)


@cache
def _request_seconds(grant: str) -> Histogram:
    return TOKEN_REQUEST_SECONDS.labels(grant)
