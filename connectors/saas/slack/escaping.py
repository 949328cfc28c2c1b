"""``&``, ``<`` and ``>`` are Slack's own characters: a text that has them loses words, or pings people.

What is markup already stays what it is: links, mentions, dates, and characters that are written as ``&amp;`` and the
like. https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from typing import Any

_MARKUP = re.compile(
    r"<(?:@[UWB][A-Z0-9]+|\#[CG][A-Z0-9]+|!(?:here|channel|everyone)|!(?:subteam|date)\^[^<>|]+"
    r"|(?:https?://|mailto:|tel:|slack://)[^<>|\s]+)(?:\|[^<>]*)?>"
    r"|&(?:amp|lt|gt);"
)
_OWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ANY_OWN = re.compile("[&<>]")


def escaped(text: Any) -> Any:
    """The text as Slack shows it; what is no text is left alone."""
    if not isinstance(text, str) or _ANY_OWN.search(text) is None:
        return text
    parts: list[str] = []
    end = 0
    for markup in _MARKUP.finditer(text):
        parts += [_plain(text[end : markup.start()]), markup[0]]
        end = markup.end()
    return "".join([*parts, _plain(text[end:])])


def _plain(text: str) -> str:
    return _ANY_OWN.sub(lambda match: _OWN[match[0]], text)
