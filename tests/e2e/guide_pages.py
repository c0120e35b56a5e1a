"""The integration guide in its two languages: its blocks of code, each with the heading it stands under."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.servers import ROOT

FOLDER = ROOT / "docs/integration"
ENGLISH, RUSSIAN = FOLDER / "guide.en.md", FOLDER / "guide.ru.md"
EXAMPLES = ROOT / "examples"
PACKAGES = tuple(EXAMPLES / name for name in ("python-client", "token-verifier", "resource-server-fastapi", "resource-server-drf"))
PRINTED_URL = "http://localhost:8080"
FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    title: str  # of the section that it stands in

    def at(self, url: str) -> str:
        """Its text, with the address of this gateway in place of the printed one."""
        return self.text.replace(PRINTED_URL, url)


def blocks_of(page: Path, language: str | None = None) -> list[Block]:
    """In the order of the page; all of them, or those of one language."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        title = re.findall(r"^#+ (.+)$", FENCE.sub("", text[: fence.start()]), re.MULTILINE)[-1]
        found.append(Block(fence["language"], fence["text"], title))
    return [block for block in found if language in {None, block.language}]


def sign_in(url: str, **changes: str) -> dict[str, Any]:
    """The tokens of the demo's user."""
    form = {"grant_type": "password", "client_id": "codelab-python-client", "scope": "api:read api:write"}
    answer = httpx.post(
        f"{url}/oauth/token", data={**form, "username": "user@example.com", "password": "password123", **changes}, timeout=20
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
