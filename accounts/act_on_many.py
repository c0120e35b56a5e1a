"""One act for many rows of a list: who is left out and why, the page that says what will happen, and the act for each."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.actors import Actor, actor_of
from accounts.careful_admin import CarefulAdmin, WhyForm

MOST_NAMED = 20


class LeftOut(Exception):
    """This one must not be done after all; the text says why."""


@dataclass(frozen=True)
class Chosen:
    """Of the rows that were ticked: what is to be done for these, and not for those, by the reason that is told."""

    fit: list[Any] = field(default_factory=list)
    left_out: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Any], *, why_not: Callable[[Any], str]) -> "Chosen":
        """`why_not` returns why a row is left out, or nothing."""
        found = cls()
        for row in rows:
            why = why_not(row)
            (found.left_out.setdefault(why, []) if why else found.fit).append(row)
        return found

    @property
    def left_out_in_words(self) -> list[str]:
        return [_("%(why)s: %(names)s.") % {"why": why, "names": names_of(rows)} for why, rows in self.left_out.items()]


@dataclass(frozen=True)
class ManyAct:
    """`do` does it for one row, and records it, in a transaction of its own; returns whether this call did it."""

    action: str
    title: Any
    who: Callable[[Sequence[Any]], str]
    why_not: Callable[[Any], str]
    will: Callable[[Sequence[Any]], Sequence[Any]]
    will_not: Sequence[Any]
    do: Callable[[Any, Actor, str], Any]
    is_dangerous: bool = True


def asked_or_done(pages: CarefulAdmin, request: HttpRequest, queryset: QuerySet[Any], act: ManyAct) -> HttpResponse | None:
    """The page between the list and the act, or, sent from there with a reason, the act and then the list."""
    rows = pages.chosen(request, queryset)
    if not rows:
        return None
    chosen = Chosen.of(rows, why_not=act.why_not)
    if not chosen.fit:
        pages.message_user(request, " ".join([_("Nothing was done."), *chosen.left_out_in_words]), messages.WARNING)
        return None
    form = WhyForm(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        _done(pages, request, chosen, act, reason=form.cleaned_data["reason"])
        return None
    return pages.confirmation(
        request,
        action=act.action,
        title=str(act.title),
        form=form,
        rows=chosen.fit,
        lines=[f"{act.who(chosen.fit)}: {names_of(chosen.fit)}.", *act.will(chosen.fit)],
        will_not=[*chosen.left_out_in_words, *act.will_not],
        is_dangerous=act.is_dangerous,
    )


def _done(pages: CarefulAdmin, request: HttpRequest, chosen: Chosen, act: ManyAct, *, reason: str) -> None:
    done, actor = 0, actor_of(request)
    for row in chosen.fit:
        try:
            done += act.do(row, actor, reason) is not False
        except LeftOut as refusal:
            chosen.left_out.setdefault(str(refusal), []).append(row)
    told = _("%(act)s: done for %(count)d.") % {"act": act.title, "count": done}
    level = messages.WARNING if chosen.left_out else messages.SUCCESS
    pages.message_user(request, " ".join([told, *chosen.left_out_in_words]), level)


def names_of(rows: Sequence[Any]) -> str:
    """In order; of many, the first."""
    names = sorted(str(row) for row in rows)
    more = len(names) - MOST_NAMED
    text = ", ".join(names[:MOST_NAMED])
    if more <= 0:
        return text
    return ngettext("%(names)s and %(more)d more", "%(names)s and %(more)d more", more) % {"names": text, "more": more}
