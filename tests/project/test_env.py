"""The environment is read by type, and what is wrong stops the start with one line (authserver/env.py, settings.py)."""

import os
import subprocess
import sys
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from authserver import database_url
from authserver.env import ConfigurationError, Environment, did_you_mean

ROOT = Path(__file__).parents[2]
NAME = "AUTH_SERVICE__EXAMPLE"
STRONG = "k7Rw0vZ2mQx9LbT4cHs6JnP1dYf8GaEu"


def environment(value=None, **others):
    return Environment(({} if value is None else {NAME: value}) | others)


def line_of(read):
    """The one line that a wrong value ends the start with."""
    with pytest.raises(ConfigurationError) as refusal:
        read()
    line = str(refusal.value)
    assert line.startswith("authserver: ")
    assert "\n" not in line
    return line


# --- Text --------------------------------------------------------------------------------------


def test_text_is_read_without_the_white_space_around_it():
    assert environment("  codelab-api \n").text(NAME) == "codelab-api"


def test_text_that_is_not_set_has_its_default():
    assert environment().text(NAME, default="codelab-api") == "codelab-api"


@pytest.mark.parametrize("value", ["", "   ", "\n"])
def test_an_empty_value_counts_as_not_set(value):
    assert environment(value).text(NAME, default="the default") == "the default"
    assert environment(value).flag(NAME, default=True) is True
    assert environment(value).integer(NAME, default=7) == 7
    assert environment(value).words(NAME, default=("one",)) == ("one",)
    assert environment(value).networks(NAME) == ()
    assert environment(value).secret(NAME, default=lambda: "made up") == "made up"
    assert environment(value, **{f"{NAME}_FILE": value}).optional_secrets(NAME) == ()


def test_text_without_a_default_is_required():
    assert f"{NAME} is required and not set" in line_of(lambda: environment().text(NAME))


def test_a_choice_that_is_none_names_the_choices_and_the_nearest():
    line = line_of(lambda: environment("prodution").text(NAME, choices=("production", "development")))

    assert f"{NAME} is 'prodution', but must be one of production, development. Did you mean production?" in line


def test_a_choice_that_is_far_from_all_gets_no_guess():
    assert "Did you mean" not in line_of(lambda: environment("x").text(NAME, choices=("production", "development")))


# --- Flags and numbers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "meaning"),
    [(word, True) for word in ("true", "True", "TRUE", "1", "yes", "on", " on ")]
    + [(word, False) for word in ("false", "False", "FALSE", "0", "no", "off", " Off ")],
)
def test_a_flag_is_read_in_every_usual_word(value, meaning):
    assert environment(value).flag(NAME, default=not meaning) is meaning


@pytest.mark.parametrize("value", ["tru", "2", "-1", "enabled", "y", "да", "true false"])
def test_a_flag_of_another_word_is_refused(value):
    assert line_of(lambda: environment(value).flag(NAME, default=False)).endswith(f"{NAME} is {value!r}, but must be true or false.")


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("900", 900), (" 42 ", 42), ("86400", 86400)])
def test_a_whole_number_within_its_bounds_is_read(value, number):
    assert environment(value).integer(NAME, default=1, most=86400) == number


@pytest.mark.parametrize("value", ["-1", "86401", "1.5", "1e3", "900s", "many", "0x10", "1 000", "9" * 5000])
def test_what_is_no_whole_number_within_its_bounds_is_refused(value):
    line = line_of(lambda: environment(value).integer(NAME, default=1, most=86400))

    assert line.endswith("but must be a whole number from 0 to 86400.")
    assert NAME in line


def test_the_bounds_belong_to_the_range():
    assert environment("8192").integer(NAME, default=1, least=8192, most=8192) == 8192


def test_seconds_are_a_duration():
    assert environment("900").seconds(NAME, default=timedelta(days=1)) == timedelta(minutes=15)
    assert environment().seconds(NAME, default=timedelta(days=30)) == timedelta(days=30)


@pytest.mark.parametrize("value", ["0", "-5", "15m", "900.0", "1 day"])
def test_what_is_no_number_of_seconds_is_refused(value):
    assert "must be a whole number from 1 to" in line_of(lambda: environment(value).seconds(NAME, default=timedelta(minutes=15)))


# --- Words, networks, rates --------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a,b,c", "a b c", "a, b, c", "a,\n b\tc", " a , b , c ", ",a,b,c,"])
def test_words_are_parted_by_commas_or_white_space(value):
    assert environment(value).words(NAME, default=()) == ("a", "b", "c")


def test_networks_are_read_in_cidr_form():
    assert environment("10.0.0.0/8, 192.0.2.7 fd00::/8").networks(NAME) == (
        ip_network("10.0.0.0/8"),
        ip_network("192.0.2.7/32"),
        ip_network("fd00::/8"),
    )


@pytest.mark.parametrize("value", ["10.0.0.0/33", "10.0.0.1/8", "proxy", "10.0.0.0/8, *", "10.0.0.0-10.0.0.9"])
def test_what_is_no_network_is_refused(value):
    assert "must be addresses in CIDR form, such as 10.0.0.0/8" in line_of(lambda: environment(value).networks(NAME))


@pytest.mark.parametrize(
    ("value", "count", "seconds"),
    [("1200/m", 1200, 60), ("20/5m", 20, 300), ("50/d", 50, 86400), ("1/s", 1, 1), ("3/2h", 3, 7200), ("10/10s", 10, 10)],
)
def test_a_rate_is_a_count_per_period(value, count, seconds):
    assert environment(value).rate(NAME, default="7/s") == (count, timedelta(seconds=seconds))


def test_a_rate_that_is_not_set_is_the_default():
    assert environment("").rate(NAME, default="7/2s") == (7, timedelta(seconds=2))


@pytest.mark.parametrize(
    "value", ["1200", "0/m", "-1/m", "1200/", "/m", "20/m5", "1200/minute", "20 / 5m", "1/w", "0/5m", "20/0m", "1/31d"]
)
def test_what_is_no_rate_is_refused(value):
    assert "must be a rate such as 1200/m or 20/5m" in line_of(lambda: environment(value).rate(NAME, default="1/s"))


# --- Secrets -----------------------------------------------------------------------------------


def test_a_secret_is_read_from_its_variable():
    assert environment(STRONG).secret(NAME) == STRONG


def test_a_secret_is_read_from_the_file_that_its_variable_names(tmp_path):
    (tmp_path / "secret").write_text(f"{STRONG}\n", encoding="utf-8")

    assert environment(**{f"{NAME}_FILE": str(tmp_path / "secret")}).secret(NAME) == STRONG


def test_a_secret_in_both_places_is_refused(tmp_path):
    (tmp_path / "secret").write_text(STRONG, encoding="utf-8")
    both = environment(STRONG, **{f"{NAME}_FILE": str(tmp_path / "secret")})

    line = line_of(lambda: both.secret(NAME))

    assert f"{NAME} and {NAME}_FILE are both set. Keep one." in line
    assert STRONG not in line


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    line = line_of(lambda: environment(**{f"{NAME}_FILE": str(tmp_path / "nowhere")}).secret(NAME))

    assert f"{NAME}_FILE names {tmp_path}/nowhere, which cannot be read" in line


@pytest.mark.parametrize("content", [b"\xff\xfe" + STRONG.encode(), b"", b"\n"])
def test_a_file_that_holds_no_secret_is_refused(tmp_path, content):
    (tmp_path / "secret").write_bytes(content)

    line_of(lambda: environment(**{f"{NAME}_FILE": str(tmp_path / "secret")}).secret(NAME))


@pytest.mark.parametrize("value", ["hunter2", "x" * 31])
def test_a_weak_secret_is_refused_and_not_shown(value):
    line = line_of(lambda: environment(value).secret(NAME))

    assert f"{NAME} has a value of {len(value)} characters, at least 32 are needed" in line
    assert value not in line


def test_a_weak_secret_from_a_file_is_not_shown_either(tmp_path):
    (tmp_path / "secret").write_text("hunter2", encoding="utf-8")

    assert "hunter2" not in line_of(lambda: environment(**{f"{NAME}_FILE": str(tmp_path / "secret")}).secret(NAME))


def test_a_missing_secret_says_how_to_make_one_and_how_to_try_the_server_out():
    line = line_of(lambda: environment().secret(NAME))

    assert f"{NAME} is required in production. Set it, or {NAME}_FILE" in line
    assert "secrets.token_urlsafe" in line
    assert "make run" in line


def test_a_secret_that_is_made_up_is_made_only_when_none_is_given():
    made = []

    assert environment(STRONG).secret(NAME, default=lambda: made.append(1) or "made up") == STRONG
    assert made == []


@pytest.mark.parametrize("separator", [",", " ", ", ", "\n"])
def test_several_secrets_are_parted_by_commas_or_white_space(separator):
    assert environment(separator.join([STRONG, STRONG[::-1]])).secrets(NAME) == (STRONG, STRONG[::-1])


def test_several_secrets_may_stand_in_a_file_one_a_line(tmp_path):
    (tmp_path / "secrets").write_text(f"{STRONG}\n{STRONG[::-1]}\n", encoding="utf-8")

    assert environment(**{f"{NAME}_FILE": str(tmp_path / "secrets")}).secrets(NAME) == (STRONG, STRONG[::-1])


def test_each_of_several_secrets_is_strong_and_none_is_shown():
    line = line_of(lambda: environment(f"{STRONG},hunter2").secrets(NAME))

    assert "7 characters" in line
    assert "hunter2" not in line
    assert STRONG not in line


def test_secrets_that_are_optional_may_be_missing():
    assert environment().optional_secrets(NAME) == ()
    assert environment(STRONG).optional_secrets(NAME) == (STRONG,)


# --- URLs, which may hold a password -----------------------------------------------------------


def test_an_url_is_read_from_its_variable_or_from_a_file_without_the_end_of_its_line(tmp_path):
    (tmp_path / "url").write_text("redis://:hunter2@host/0\n", encoding="utf-8")

    assert environment("redis://host").url(NAME, default="") == "redis://host"
    assert environment(**{f"{NAME}_FILE": str(tmp_path / "url")}).url(NAME, default="") == "redis://:hunter2@host/0"
    assert environment().url(NAME, default="redis://localhost") == "redis://localhost"


def test_an_url_in_both_places_is_refused(tmp_path):
    (tmp_path / "url").write_text("redis://:hunter2@host/0", encoding="utf-8")
    both = environment("redis://host", **{f"{NAME}_FILE": str(tmp_path / "url")})

    assert f"{NAME} and {NAME}_FILE are both set. Keep one." in line_of(lambda: both.url(NAME, default=""))


@pytest.mark.parametrize("content", ["", "\n", " \n\n"])
def test_an_empty_file_does_not_pass_for_no_setting(tmp_path, content):
    (tmp_path / "file").write_text(content, encoding="utf-8")
    given = environment(**{f"{NAME}_FILE": str(tmp_path / "file")})

    for read in (lambda: given.url(NAME, default=""), lambda: given.secrets(NAME), lambda: given.optional_secrets(NAME)):
        assert f"{NAME}_FILE names {tmp_path}/file, which is empty" in line_of(read)


def test_an_url_of_several_lines_is_refused_and_not_shown(tmp_path):
    (tmp_path / "url").write_text("redis://:hunter2@host/0\nredis://:hunter3@host/1\n", encoding="utf-8")

    line = line_of(lambda: environment(**{f"{NAME}_FILE": str(tmp_path / "url")}).url(NAME, default=""))

    assert f"{NAME} has several lines, but must be one URL." in line
    assert "hunter" not in line


# --- Names -------------------------------------------------------------------------------------


def test_a_name_that_nobody_reads_stops_the_start_with_a_guess():
    env = Environment({"AUTH_SERVICE__JWT_ISUER": "https://auth.example.com"})
    env.text("AUTH_SERVICE__JWT_ISSUER", default="")

    line = line_of(env.ensure_nothing_unread)

    assert "AUTH_SERVICE__JWT_ISUER is not a setting of this server. Did you mean AUTH_SERVICE__JWT_ISSUER?" in line


@pytest.mark.parametrize("name", ["AUTH_SERVICE__", "AUTH_SERVICE__ZZZ", "auth_service__jwt_issuer", "Auth_Service__JWT_ISSUER"])
def test_every_spelling_of_the_prefix_is_ours(name):
    env = Environment({name: "x"})
    env.text("AUTH_SERVICE__JWT_ISSUER", default="")

    assert f"{name} is not a setting of this server." in line_of(env.ensure_nothing_unread)


def test_the_value_of_a_name_that_nobody_reads_is_not_shown():
    assert STRONG not in line_of(Environment({"AUTH_SERVICE__SECRET_KEYS": STRONG}).ensure_nothing_unread)


@pytest.mark.parametrize("name", ["PATH", "AUTH_SERVICE", "AUTH_SERVICE_PORT", "OTHER__AUTH_SERVICE__X"])
def test_names_of_others_are_left_alone(name):
    Environment({name: "x"}).ensure_nothing_unread()


def test_what_was_read_is_known_with_its_file():
    env = environment(STRONG)
    env.secret(NAME)

    env.ensure_nothing_unread()


def test_a_variable_of_the_older_service_is_accepted_and_explained():
    env = Environment({"AUTH_SERVICE__MASTER_KEY": "anything"})

    env.explain("AUTH_SERVICE__MASTER_KEY", "Remove it.")
    env.explain("AUTH_SERVICE__PUBLIC_KEY_PATH", "Remove it.")

    env.ensure_nothing_unread()
    assert env.notes == ["AUTH_SERVICE__MASTER_KEY is set. Remove it."]


def test_a_guess_is_made_for_what_is_near_alone():
    assert did_you_mean("JWT_ISUER", ("JWT_ISSUER", "PORT")) == " Did you mean JWT_ISSUER?"
    assert did_you_mean("ZZZ", ("JWT_ISSUER", "PORT")) == ""


# --- .env --------------------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write a `.env`, set variables of the process, and read both."""

    def read(file=None, **variables):
        for name in [name for name in os.environ if name.startswith("AUTH_SERVICE__")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        if file is not None:
            (tmp_path / ".env").write_text(file, encoding="utf-8")
        return Environment.load(tmp_path / ".env")

    return read


def test_a_file_is_read_with_comments_beside_the_values(load):
    env = load(f"# the guide's form\n\n{NAME}=900        # 15 минут\nexport AUTH_SERVICE__OTHER='a # b'\n")

    assert env.integer(NAME, default=1) == 900
    assert env.text("AUTH_SERVICE__OTHER") == "a # b"


def test_a_dollar_in_a_file_is_a_dollar(load):
    assert load(f"{NAME}=pa$$word-${{HOME}}").text(NAME) == "pa$$word-${HOME}"


def test_the_variables_of_the_process_win(load):
    assert load(f"{NAME}=from the file", **{NAME: "from the process"}).text(NAME) == "from the process"


def test_no_file_is_needed(load):
    assert load().text(NAME, default="the default") == "the default"


def test_another_file_can_be_named(load, tmp_path):
    (tmp_path / "production.env").write_text(f"{NAME}=from the other", encoding="utf-8")

    env = load(f"{NAME}=from the default", AUTH_SERVICE__ENV_FILE=str(tmp_path / "production.env"))

    assert env.text(NAME) == "from the other"
    env.ensure_nothing_unread()


def test_no_file_is_read_when_the_name_is_empty(load):
    assert load(f"{NAME}=from the default", AUTH_SERVICE__ENV_FILE="").text(NAME, default="the default") == "the default"


def test_a_named_file_that_is_missing_stops_the_start(load, tmp_path):
    line = line_of(lambda: load(AUTH_SERVICE__ENV_FILE=str(tmp_path / "nowhere.env")))

    assert f"AUTH_SERVICE__ENV_FILE names {tmp_path}/nowhere.env, which is not a file." in line


def test_a_typo_in_a_file_is_a_typo(load):
    env = load("AUTH_SERVICE__EXAMPEL=1")
    env.integer(NAME, default=1)

    assert f"Did you mean {NAME}?" in line_of(env.ensure_nothing_unread)


# --- A real start ------------------------------------------------------------------------------

DEVELOPMENT_OF_THE_GUIDE = """\
# .env
AUTH_SERVICE__JWT_ISSUER=http://localhost:8003
AUTH_SERVICE__JWT_AUDIENCE=codelab-api
AUTH_SERVICE__ACCESS_TOKEN_LIFETIME=900        # 15 минут
AUTH_SERVICE__REFRESH_TOKEN_LIFETIME=2592000   # 30 дней
"""

PRODUCTION_OF_THE_GUIDE = """\
# .env.production
AUTH_SERVICE__JWT_ISSUER=https://auth.codelab.com
AUTH_SERVICE__JWT_AUDIENCE=codelab-api
AUTH_SERVICE__ACCESS_TOKEN_LIFETIME=900
AUTH_SERVICE__REFRESH_TOKEN_LIFETIME=2592000

# HTTPS обязателен в production
AUTH_SERVICE__REQUIRE_HTTPS=true
"""

SECRETS = {
    name: f"{name.lower()}-made-up-for-the-tests"
    for name in ("AUTH_SERVICE__SECRET_KEY", "AUTH_SERVICE__TOKEN_KEYS", "AUTH_SERVICE__KEY_ENCRYPTION_KEYS")
}
PRODUCTION = SECRETS | {
    "AUTH_SERVICE__JWT_ISSUER": "https://auth.example.com",
    "AUTH_SERVICE__ALLOWED_HOSTS": "auth.example.com",
    "AUTH_SERVICE__DB_URL": "postgresql://authserver@127.0.0.1:1/authserver",
}


@pytest.fixture
def check(tmp_path):
    """`manage.py check` in a process of its own, whose environment is this one alone."""

    def run(variables, *, file=None):
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        own = {"AUTH_SERVICE__DATA_DIR": str(tmp_path / "data"), "AUTH_SERVICE__ENV_FILE": ""}
        if file is not None:
            (tmp_path / "given.env").write_text(file, encoding="utf-8")
            own["AUTH_SERVICE__ENV_FILE"] = str(tmp_path / "given.env")
        return subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=ROOT,
            env=inherited | own | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def assert_stopped_by_one_line(result, *parts):
    assert result.returncode != 0
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("authserver: ")
    for part in parts:
        assert part in line


def test_production_without_secrets_does_not_start(check):
    assert_stopped_by_one_line(check({}), "AUTH_SERVICE__SECRET_KEY is required in production", "make run")


@pytest.mark.parametrize("missing", [*SECRETS, "AUTH_SERVICE__JWT_ISSUER"])
def test_production_does_not_start_without_any_of_what_it_needs(check, missing):
    variables = {name: value for name, value in PRODUCTION.items() if name != missing}

    assert_stopped_by_one_line(check(variables), f"{missing} is required")


def test_production_with_all_it_needs_starts(check):
    result = check(PRODUCTION)

    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout + result.stderr


def test_production_with_secrets_in_files_starts(check, tmp_path):
    secrets = {name: PRODUCTION[name] for name in (*SECRETS, "AUTH_SERVICE__DB_URL")} | {
        "AUTH_SERVICE__REDIS_URL": "rediss://:hunter2@redis.example.com",
        "AUTH_SERVICE__EMAIL_URL": "submission://user:hunter2@mail.example.com",
    }
    for name, value in secrets.items():
        (tmp_path / name).write_text(value + "\n", encoding="utf-8")
    files = {f"{name}_FILE": str(tmp_path / name) for name in secrets}
    others = {name: value for name, value in PRODUCTION.items() if name not in secrets}

    assert check(others | files).returncode == 0


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"AUTH_SERVICE__JWT_ISSUER": "http://auth.example.com"}, "must begin with https://"),
        ({"AUTH_SERVICE__JWT_ISSUER": "auth.example.com"}, "must be an URL without query"),
        ({"AUTH_SERVICE__JWT_ISSUER": "https://auth.example.com?a=b"}, "must be an URL without query"),
        ({"AUTH_SERVICE__JWT_ISSUER": "https://[auth"}, "must be an URL without query"),
        ({"AUTH_SERVICE__JWT_ISUER": "https://auth.example.com"}, "Did you mean AUTH_SERVICE__JWT_ISSUER?"),
        ({"AUTH_SERVICE__SECRET_KEY": "hunter2"}, "AUTH_SERVICE__SECRET_KEY has a value of 7 characters"),
        ({"AUTH_SERVICE__ENVIRONMENT": "prod"}, "AUTH_SERVICE__ENVIRONMENT is 'prod'"),
        ({"ENVIRONMENT": "Production"}, "ENVIRONMENT is 'Production'"),
        ({"PORT": "80000"}, "PORT is '80000'"),
        ({"AUTH_SERVICE__PORT": "http"}, "AUTH_SERVICE__PORT is 'http'"),
        ({"AUTH_SERVICE__ACCESS_TOKEN_LIFETIME": "15m"}, "AUTH_SERVICE__ACCESS_TOKEN_LIFETIME is '15m'"),
        ({"AUTH_SERVICE__INVALID_GRANT_STATUS": "403"}, "must be one of 400, 401"),
        ({"AUTH_SERVICE__TRUSTED_PROXIES": "proxy"}, "CIDR"),
        ({"AUTH_SERVICE__ADMIN_HOSTS": "auth.internal"}, "names 'auth.internal', which AUTH_SERVICE__ALLOWED_HOSTS lacks"),
        ({"AUTH_SERVICE__CORS_ORIGINS": "https://a.example, https://b.example/"}, "AUTH_SERVICE__CORS_ORIGINS has 'https://b.example/'"),
        ({"AUTH_SERVICE__REQUIRE_HTTPS": "maybe"}, "must be true or false"),
        ({"AUTH_SERVICE__DB_URL": "mysql://root:hunter2@host/name"}, "only sqlite and postgresql"),
        ({"AUTH_SERVICE__DB_URL": "not an URL"}, "must look like sqlite:///data/auth.db or postgresql://"),
        ({"AUTH_SERVICE__DB_URL": "postgresql://u:hunter2@host:port/name"}, "must look like sqlite:///data/auth.db or postgresql://"),
    ],
    ids=lambda value: " ".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else "",
)
def test_what_is_wrong_in_production_stops_the_start_with_one_line(check, change, part):
    result = check(PRODUCTION | change)

    assert_stopped_by_one_line(result, part)
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize(
    "content",
    [b"AUTH_SERVICE__PORT=8003 # caf\xe9\n", b"AUTH_SERVICE__PORT 8003\n", b"AUTH_SERVICE__PORT: 8003\n", b"AUTH_SERVICE__PORT='8003\n"],
    ids=["not UTF-8", "a blank for the =", "a colon for the =", "an open quote"],
)
def test_a_file_with_a_line_that_cannot_be_read_stops_the_start_with_one_line(check, tmp_path, content):
    (tmp_path / "broken.env").write_bytes(content)

    assert_stopped_by_one_line(check(PRODUCTION | {"AUTH_SERVICE__ENV_FILE": str(tmp_path / "broken.env")}), "broken.env")


def test_a_data_folder_that_cannot_be_made_stops_the_start_with_one_line(check, tmp_path):
    (tmp_path / "file").touch()

    assert_stopped_by_one_line(
        check({"ENVIRONMENT": "development", "AUTH_SERVICE__DATA_DIR": str(tmp_path / "file" / "data")}), "AUTH_SERVICE__DATA_DIR"
    )


def test_a_named_file_that_is_missing_stops_the_server(check):
    assert_stopped_by_one_line(check(PRODUCTION | {"AUTH_SERVICE__ENV_FILE": "/nowhere/.env"}), "names /nowhere/.env, which is not a file")


@pytest.mark.parametrize("name", ["AUTH_SERVICE__MASTER_KEY", "AUTH_SERVICE__PUBLIC_KEY_PATH"])
def test_what_the_older_service_was_given_is_explained_and_stops_nothing(check, name):
    result = check(PRODUCTION | {name: "a value of the older service"})

    assert result.returncode == 0, result.stderr
    assert f"{name} is set. It is of the older service" in result.stderr
    assert "a value of the older service" not in result.stdout + result.stderr


def test_development_starts_with_nothing_set(check, tmp_path):
    result = check({"ENVIRONMENT": "development"})

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "data" / "secret-key").stat().st_mode & 0o777 == 0o600


def test_the_development_file_of_the_guide_is_accepted(check):
    result = check({"ENVIRONMENT": "development"}, file=DEVELOPMENT_OF_THE_GUIDE)

    assert (result.returncode, result.stderr) == (0, ""), result.stderr


def test_the_production_file_of_the_guide_with_secrets_is_accepted(check):
    result = check(SECRETS, file=PRODUCTION_OF_THE_GUIDE)

    assert (result.returncode, result.stderr) == (0, ""), result.stderr


def test_the_production_file_of_the_guide_alone_asks_for_secrets(check):
    assert_stopped_by_one_line(check({}, file=PRODUCTION_OF_THE_GUIDE), "AUTH_SERVICE__SECRET_KEY is required in production")


@pytest.mark.parametrize("command", [["migrate"], ["runserver"], ["help"], ["--version"], []])
def test_a_wrong_variable_ends_every_command_in_one_line(command):
    result = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "AUTH_SERVICE__ENV_FILE": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert_stopped_by_one_line(result, "AUTH_SERVICE__SECRET_KEY is required in production")


def test_a_required_name_that_is_misspelt_is_pointed_at(check):
    misspelt = {key: value for key, value in PRODUCTION.items() if key != "AUTH_SERVICE__SECRET_KEY"} | {
        "AUTH_SERVICE__SECRT_KEY": "x" * 40
    }

    assert_stopped_by_one_line(check(misspelt), "AUTH_SERVICE__SECRT_KEY is set: is that it, misspelt?")


def test_a_trailing_comma_and_a_lone_one_are_no_words():
    assert environment(",").words(NAME, default=("x",)) == ()
    assert environment("a,b, ").words(NAME, default=()) == ("a", "b")
    assert environment("a" * 32 + ",").secrets(NAME) == ("a" * 32,)


def test_an_underscore_or_sign_is_no_part_of_a_number():
    for value in ("8_003", "+8", "٣"):
        assert "whole number" in line_of(lambda value=value: environment(value).integer(NAME, default=1))


def test_an_empty_variable_does_not_hide_the_file(tmp_path, monkeypatch):
    file = tmp_path / "some.env"
    file.write_text("AUTH_SERVICE__X=from the file\n")
    monkeypatch.setenv("AUTH_SERVICE__ENV_FILE", str(file))
    monkeypatch.setenv("AUTH_SERVICE__X", "")

    assert Environment.load(tmp_path / ".env").text("AUTH_SERVICE__X", default="none") == "from the file"


def test_the_options_of_the_database_url_stay_beside_the_servers_own(check):
    url = "postgresql://u:p@h/n?options=-c%20search_path%3Dauth"
    code = "from authserver import settings; print(settings.DATABASES['default']['OPTIONS']['options'])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            **PRODUCTION,
            "SERVER_SOFTWARE": "gunicorn",
            "AUTH_SERVICE__DB_URL": url,
            "AUTH_SERVICE__ENV_FILE": "",
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout.split("-c ")[1:] == ["search_path=auth ", "statement_timeout=2000 ", "lock_timeout=1000\n"]


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:p%40@one:5433,two/n?target_session_attrs=primary", "one,two", "5433,5432"),
        ("postgresql://u:p%40@[::1]:5433,two.example.com:5434/n?target_session_attrs=primary", "::1,two.example.com", "5433,5434"),
        ("postgresql://u:p%40@one/n?target_session_attrs=primary", "one", ""),
    ],
)
def test_the_database_may_be_in_several_places(url, hosts, ports):
    made = database_url.settings_of(url, folder=ROOT, serving=False, pooled=False)

    assert (made["HOST"], made["PORT"], made["NAME"], made["USER"], made["PASSWORD"]) == (hosts, ports, "n", "u", "p@")
    assert made["OPTIONS"]["target_session_attrs"] == "primary"


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@one:port,two/n", "postgresql://u:hunter2@,two/n", "postgresql://u:hunter2@one,/n"])
def test_a_place_that_is_none_stops_the_start_and_shows_no_password(url):
    with pytest.raises(ConfigurationError, match="AUTH_SERVICE__DB_URL must look like") as refusal:
        database_url.settings_of(url, folder=ROOT, serving=True, pooled=False)

    assert "hunter2" not in str(refusal.value)


def test_behind_a_pooler_nothing_stays_with_a_connection():
    made = database_url.settings_of("postgresql://u:p@one/n", folder=ROOT, serving=True, pooled=True)

    assert made["DISABLE_SERVER_SIDE_CURSORS"]
    assert made["OPTIONS"]["prepare_threshold"] is None
    assert "options" not in made["OPTIONS"]
