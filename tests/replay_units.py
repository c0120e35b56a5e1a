"""Run the units of deploy/systemd under a systemd of their own, apart from this machine's.

python tests/replay_units.py      as root, with systemd, PostgreSQL and overlayfs; a minute

It proves that the server starts, signs in, comes back and ends with no more rights than the units give it, and that it cannot read
or write what is root's. Of systemd it proves the version of this machine.
"""

import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.container import own_systemd  # noqa: E402 - after the path it is found on
from tests.container.build import files_of_a_commit  # noqa: E402
from tests.container.dockerfile import Ignore  # noqa: E402
from tests.container.operations import paste_by_hand  # noqa: E402
from tests.postgres import postgres  # noqa: E402

CHECKOUT = Path("/srv/authserver")
PASSWORD = secrets.token_urlsafe(16)
OF_THE_PROXY = {"Host": "auth.example.com", "X-Forwarded-Proto": "https", "Content-Type": "application/x-www-form-urlencoded"}
SIGN_IN = {"grant_type": "password", "client_id": "codelab-flutter-app", "username": "alice", "password": PASSWORD}
READY_WITHIN_SECONDS = 60
STATUS = {"CapBnd": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"}


def main() -> int:
    match sys.argv[1:]:
        case ["--first", out]:
            begin(Path(out))
        case ["--inside"]:
            inside()
            return 0
    out = Path(tempfile.mkdtemp(prefix="units-"))
    try:
        status = own_systemd.run(Path(__file__), "--first", out=out)
        for log in sorted(out.iterdir()) if status else [out / "command.log"]:
            print(log.read_text(encoding="utf-8"), end="")
    finally:
        shutil.rmtree(out)
    return status


def begin(out: Path) -> None:
    """The checkout of somebody who has done what the page says; then systemd."""
    ignore = Ignore((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    names = [name for name in files_of_a_commit() if not ignore.leaves_out(name)]
    own_systemd.enter(out)
    os.umask(0o022)
    for name in names:
        (CHECKOUT / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, CHECKOUT / name)
    paste_by_hand(CHECKOUT)
    own_systemd.make_environment(CHECKOUT / ".venv")
    units = [ROOT / "deploy/systemd" / f"{name}.service" for name in ("authserver", "authserver-migrate")]
    own_systemd.become(units, command=[sys.executable, str(Path(__file__).resolve()), "--inside"])


def inside() -> None:
    begun = time.monotonic()
    with postgres() as url:
        file = CHECKOUT / "secrets/db-url"
        file.write_text(file.read_text(encoding="utf-8").replace("@127.0.0.1/", f"@127.0.0.1:{urlsplit(url).port}/"), encoding="utf-8")
        manage("collectstatic", "--noinput")
        systemctl("start", "authserver-migrate")
        say("authserver-migrate: the database is migrated, the first signing key is made")
        manage("shell", "-c", f"from accounts.models import User; User.objects.create_user('alice', '', {PASSWORD!r})")

        systemctl("start", "authserver")
        wait_until_ready()
        assert sign_in() == 200
        say("authserver: it is ready, and signs in")
        look_at(int(show("MainPID")))
        os.kill(int(show("MainPID")), 9)
        wait_until_restarted()
        assert (show("NRestarts"), sign_in()) == ("1", 200)
        say("killed, it comes back")
        end_in_the_middle_of_a_request()
    log = "".join(path.read_text(encoding="utf-8") for path in own_systemd.OUT.glob("authserver*.log"))
    used = [PASSWORD, *(path.read_text(encoding="utf-8").strip() for path in (CHECKOUT / "secrets").iterdir())]
    assert [secret for secret in used if secret in log] == []
    for line in (own_systemd.OUT / "authserver.log").read_text(encoding="utf-8").splitlines():
        json.loads(line)
    say(f"none of the {len(used)} secrets that it ran with is in its log")
    say(f"replayed in {time.monotonic() - begun:.0f} s")


def look_at(pid: int) -> None:
    """What the server may do, as the kernel says it."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines() if ":\t" in line)
    user = status["Uid"].split()[0]
    assert int(user) >= 61184  # of the range that is for users that come and go
    assert {name: status[name] for name in STATUS} == STATUS
    credentials = "/run/credentials/authserver.service"
    assert allowed(pid, user, "test", "-r", f"{credentials}/secret-key")
    for words in (
        ["cat", f"{CHECKOUT}/.env"],
        ["ls", f"{CHECKOUT}/secrets"],
        ["touch", f"{CHECKOUT}/written"],
        ["touch", "/etc/written"],
        ["touch", f"{credentials}/secret-key"],
        ["ls", "/root"],
    ):
        assert not allowed(pid, user, *words), words
    say(f"it runs as {user}, without capabilities, and can neither read root's files nor write its own")


def allowed(pid: int, user: str, *words: str) -> bool:
    """Whether the server's user can do this where the server is."""
    where = ["nsenter", f"--target={pid}", "--mount", "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return subprocess.run([*where, *words], capture_output=True, check=False).returncode == 0


def end_in_the_middle_of_a_request() -> None:
    body = urlencode(SIGN_IN).encode()
    with closing(http.client.HTTPConnection("127.0.0.1", 8003, timeout=20)) as connection:
        connection.request("POST", "/oauth/token", body[:10], OF_THE_PROXY | {"Content-Length": str(len(body))})
        time.sleep(0.5)  # until a thread of the server has it
        begun = time.monotonic()
        stopping = threading.Thread(target=systemctl, args=("stop", "authserver"))
        stopping.start()
        time.sleep(1)  # until the signal has come
        connection.send(body[10:])
        assert connection.getresponse().status == 200
        stopping.join()
    assert (show("Result"), show("ExecMainStatus"), show("ActiveState")) == ("success", "0", "inactive")
    say(f"systemctl stop: a request in hand was answered, and it ended with 0 after {time.monotonic() - begun:.1f} s")


def sign_in() -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", 8003, timeout=20)) as connection:
        connection.request("POST", "/oauth/token", urlencode(SIGN_IN), OF_THE_PROXY)
        return connection.getresponse().status


def wait_until_ready() -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while True:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", 8003, timeout=5)) as connection:
                connection.request("GET", "/ready")
                if connection.getresponse().status == 200:
                    return
        except OSError:
            pass
        assert time.monotonic() < deadline, show("ActiveState")
        time.sleep(0.2)


def wait_until_restarted() -> None:
    """By what systemd says: the processes of the one that was killed go on answering until systemd has ended them."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while show("NRestarts") == "0" or show("ActiveState") != "active":
        assert time.monotonic() < deadline, show("ActiveState")
        time.sleep(0.2)
    wait_until_ready()


def manage(*words: str) -> None:
    """As root, who reads the files themselves."""
    done = subprocess.run([CHECKOUT / ".venv/bin/python", "manage.py", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def show(name: str) -> str:
    return systemctl("show", f"--property={name}", "--value", "authserver")


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
