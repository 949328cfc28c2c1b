"""From an event's fields to a message, and to those it goes to.

to, cc, bcc     addresses: a text ("Ann <ann@example.com>, bob@example.com") or a list of them
subject         one line
text, html      the body; both: a reader's program chooses
attachments     see ``attachments.py``
from, reply_to  an address; the connection's ``sender`` where there is no ``from``
headers         more headers, such as {"References": "<...>", "X-Report": "7"}
only            of to, cc and bcc those that it is sent to now: for a message that some have already
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email import policy
from email.errors import NonASCIILocalPartDefect
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from hashlib import sha256
from typing import Any

from connectors.engine.attachments import Attachment
from topics.event.event import Event

FIELDS = frozenset({"to", "cc", "bcc", "subject", "text", "html", "attachments", "from", "reply_to", "headers", "only"})
OURS = frozenset(
    {"from", "to", "cc", "bcc", "subject", "date", "message-id", "reply-to", "sender", "return-path", "mime-version"}
)
_NAME = re.compile(r"[A-Za-z0-9-]{1,76}")
_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")


@dataclass(frozen=True, slots=True)
class Message:
    """``sender`` and ``recipients``: the envelope, which names hidden copies too; ``content``: as it goes out."""

    id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    international: bool
    """An address is not in ASCII: the server must know SMTPUTF8 (RFC 6531)."""


def compose(event: Event, sender: str, attachments: Sequence[Attachment]) -> Message:
    """Raises ``ValueError`` that names the field."""
    fields = event.fields
    if unknown := set(fields) - FIELDS:
        raise ValueError(f"it has {', '.join(sorted(unknown))}; it may have {', '.join(sorted(FIELDS))}")
    author = _one(fields.get("from", sender), "from")
    to, cc, bcc = (_addresses(fields.get(name), name) for name in ("to", "cc", "bcc"))
    everybody = tuple(dict.fromkeys(_bare(one) for one in (*to, *cc, *bcc)))
    if not everybody:
        raise ValueError("it goes to nobody: give to, cc or bcc")
    international = not all(one.isascii() for one in (*everybody, _bare(author)))
    made = EmailMessage(policy.SMTPUTF8 if international else policy.SMTP.clone(cte_type="7bit"))
    made["From"] = author
    for name, several in (("To", to), ("Cc", cc)):
        if several:
            made[name] = several
    if "reply_to" in fields:
        made["Reply-To"] = _one(fields["reply_to"], "reply_to")
    made["Subject"] = _line(fields.get("subject", ""), "subject")
    made["Date"] = format_datetime(event.time)
    made["Message-ID"] = message_id = _message_id(event.id, author.domain)
    for header, value in _more_headers(fields.get("headers")):
        made[header] = value
    _fill(made, fields, attachments)
    return Message(message_id, _bare(author), _chosen(fields.get("only"), everybody), made.as_bytes(), international)


def _message_id(event_id: str, domain: str) -> str:
    """The same for the same event, however often it is sent: readers' programs show one message."""
    name = event_id if _ID.fullmatch(event_id) else sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"<{name}@{domain.encode('idna').decode()}>"


def _line(value: object, name: str) -> str:
    """Text for a header. A line break would begin another header, of whoever wrote the text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not a text")  # noqa: TRY004 - what compose promises
    if set(value) & set("\r\n\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        raise ValueError(f"{name} has a line break, which would begin another header")
    return value


def _addresses(value: object, name: str) -> list[Address]:
    if value is None:
        return []
    texts = value if isinstance(value, list) else [value]
    return [one for text in texts for one in _parsed(_line(text, name), name)]


def _parsed(text: str, name: str) -> list[Address]:
    if not text.strip():
        return []
    header: Any = policy.SMTP.header_factory("To", text)
    addresses: Sequence[Address] = header.addresses
    defects = [one for one in header.defects if not isinstance(one, NonASCIILocalPartDefect)]  # SMTPUTF8 has them
    if defects or not addresses or not all(one.username and one.domain for one in addresses):
        raise ValueError(f"{name} is {text!r}, which is no address like ann@example.com")
    return list(addresses)


def _one(value: object, name: str) -> Address:
    found = _addresses(value, name)
    if len(found) != 1:
        raise ValueError(f"{name} is {value!r}; it is one address")
    return found[0]


def _bare(address: Address) -> str:
    """The address as the envelope has it: the domain in ASCII, whatever it is written in."""
    domain = address.domain if address.domain.isascii() else address.domain.encode("idna").decode()
    return f"{Address(username=address.username, domain='x').addr_spec[:-1]}{domain}"


def _more_headers(given: object) -> Iterator[tuple[str, str]]:
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise ValueError("headers is not an object of names and texts")  # noqa: TRY004 - what compose promises
    for name, value in given.items():
        if not _NAME.fullmatch(name) or name.lower() in OURS or name.lower().startswith("content-"):
            raise ValueError(f"the header {name!r} cannot be set by an event")
        yield name, _line(value, f"the header {name}")


def _fill(made: EmailMessage, fields: Mapping[str, Any], attachments: Sequence[Attachment]) -> None:
    text, html = (_body(fields.get(name), name) for name in ("text", "html"))
    if text is None and html is None and not attachments:
        raise ValueError("it is empty: give text, html or attachments")
    if text is not None or html is None:
        made.set_content(text or "")
        if html is not None:
            made.add_alternative(html, subtype="html")
    else:
        made.set_content(html, subtype="html")
    for one in attachments:
        main, _, sub = one.content_type.partition("/")
        made.add_attachment(one.content, maintype=main, subtype=sub, filename=one.filename)


def _body(value: object, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value


def _chosen(only: object, everybody: tuple[str, ...]) -> tuple[str, ...]:
    if only is None:
        return everybody
    chosen = tuple(dict.fromkeys(_bare(one) for one in _addresses(only, "only")))
    if not chosen or not set(chosen) <= set(everybody):
        raise ValueError(f"only is {only!r}; it is some of those in to, cc and bcc")
    return chosen
