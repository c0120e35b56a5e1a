"""What our mails say: a kind of mail, in one language, as a message (templates/mail)."""

from email.utils import make_msgid
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from accounts import one_time_tokens


def compose(kind: str, *, username: str, email: str, language: str, code: str, path: str) -> EmailMultiAlternatives:
    """The mail, as text and as HTML. The first line of the text is its subject.

    `path` is of the page that takes the code. In the link the code is the fragment, which a browser sends to nobody.
    """
    # From the settings: with a Host that somebody made up, the link would take the code to them.
    issuer = settings.JWT_ISSUER.rstrip("/")
    server = urlsplit(issuer)
    context = {
        "username": username,
        "server": server.netloc,
        "page": f"{issuer}{path}",
        "link": f"{issuer}{path}#{code}",
        "code": code,
        "minutes": int(one_time_tokens.LIFETIME.total_seconds() // 60),
    }
    subject, _, text = render_to_string(f"mail/{language}/{kind}.txt", context).partition("\n")
    headers = {"Message-ID": make_msgid(domain=server.hostname), "Auto-Submitted": "auto-generated"}
    mail = EmailMultiAlternatives(subject.strip(), text.strip() + "\n", to=[email], headers=headers)
    mail.attach_alternative(render_to_string(f"mail/{language}/{kind}.html", context), "text/html")
    return mail
