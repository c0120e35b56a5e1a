"""The URL of Redis: what is taken, and what stops the start with a line that tells nothing of it."""

import pytest

from authserver import caches
from authserver.env import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "redis://:s3cret@redis.example.com:6379/15",
        "rediss://user:s3cret@redis.example.com/0?ssl_cert_reqs=required",
        "redis://[::1]:6379/",
        "unix:///run/redis.sock?db=1",
        "redis://:a,b%2Fc@localhost/0",
    ],
)
def test_what_redis_py_understands_is_taken(url):
    made = caches.settings_of(url)

    assert made["redis"]["LOCATION"] == [url]
    assert made["redis"]["OPTIONS"]["SOCKET_TIMEOUT"] == made["redis"]["OPTIONS"]["SOCKET_CONNECT_TIMEOUT"] == 0.1


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://:s3cret@localhost",
        "redis://",
        "redis://:s3cret@:6379/0",
        "redis://:s3cret@localhost:port",
        "redis://:s3cret@localhost:99999",
        "redis://:s3cret@localhost/main",
        "redis://:s3cret@localhost/0#1",
        "redis://:s3cret@localhost/0?retries=1",
        "redis://:s3cret@localhost/0?socket_timeout=s3cret",
        "redis://:s3cret@localhost/0?nonsense",
        "rediss://:s3cret@localhost/0?ssl_cert_reqs=s3cret",
        "redis://:s3cret@[::1",
        "unix://",
    ],
)
def test_what_it_does_not_understand_stops_the_start(url):
    with pytest.raises(ConfigurationError) as refused:
        caches.settings_of(url)

    assert str(refused.value).startswith("authserver: AUTH_SERVICE__REDIS_URL must look like redis://")
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_an_url_each_process_counts_for_itself():
    assert caches.settings_of("").keys() == {"default", "ceilings"}
