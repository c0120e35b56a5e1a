"""Sign a command line in by a code (RFC 8628): python login.py http://localhost:8003

Standard library only. With the package `qrcode` installed it draws the address for a telephone's camera too.
"""

import argparse
import json
import sys
import time
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_BY_SECONDS = 5


def main() -> None:
    options = argparse.ArgumentParser(description="Sign in by a code.")
    options.add_argument("issuer", help="of the server, such as http://localhost:8003")
    options.add_argument("--client-id", default="codelab-python-client")
    chosen = options.parse_args()
    metadata = get(f"{chosen.issuer.rstrip('/')}/.well-known/oauth-authorization-server")
    if metadata["issuer"] != chosen.issuer:
        sys.exit(f"This server calls itself {metadata['issuer']}.")  # RFC 8414 §3.3: or another could pose as it

    _, codes = post(metadata["device_authorization_endpoint"], client_id=chosen.client_id)
    if "device_code" not in codes:
        sys.exit(f"The server refuses: {codes['error_description']}")
    say(f"Open {codes['verification_uri']} and enter the code {codes['user_code']}")
    draw(codes["verification_uri_complete"])
    tokens = wait_for_tokens(metadata["token_endpoint"], codes, client_id=chosen.client_id)
    me = get(f"{chosen.issuer.rstrip('/')}/api/v1/me", access_token=tokens["access_token"])
    say(f"Signed in as {me['username']}.")
    # Keep tokens["refresh_token"] where only this user can read it, and replace it at each refresh.


def wait_for_tokens(token_endpoint: str, codes: dict[str, Any], *, client_id: str) -> dict[str, Any]:
    """Ask until somebody has decided, never more often than the server allows."""
    interval = codes.get("interval", 5)
    gives_up_at = time.monotonic() + codes["expires_in"]
    while time.monotonic() < gives_up_at:
        time.sleep(interval)
        try:
            status, answer = post(token_endpoint, client_id=client_id, grant_type=DEVICE_CODE, device_code=codes["device_code"])
        except (URLError, TimeoutError):
            interval *= 2  # RFC 8628 §3.5: a server that does not answer is asked less often
            continue
        match answer.get("error"):
            case None:
                return answer
            case "authorization_pending":
                pass
            case "slow_down":
                interval += SLOWER_BY_SECONDS
            case _ if status in {429, 503}:
                interval += SLOWER_BY_SECONDS
            case "access_denied":
                sys.exit("You said no.")
            case "expired_token":
                break
            case _:
                sys.exit(f"The server refuses: {answer['error_description']}")
    sys.exit("The code has expired. Start again.")


def draw(address: str) -> None:
    with suppress(ImportError):
        from qrcode.main import QRCode

        code = QRCode(border=2)
        code.add_data(address)
        code.print_ascii(invert=True)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it talks to a person


def get(url: str, *, access_token: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
    with urlopen(Request(url, headers=headers), timeout=20) as response:  # noqa: S310 - the issuer is the user's own choice
        body: dict[str, Any] = json.load(response)
        return body


def post(url: str, **form: str) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of the answer, of a refusal too."""
    headers = {"User-Agent": "cli-device/1"}
    try:
        with urlopen(Request(url, urlencode(form).encode(), headers), timeout=20) as response:  # noqa: S310 - as above
            return response.status, json.load(response)
    except HTTPError as refusal:
        return refusal.code, json.load(refusal)


if __name__ == "__main__":
    main()
