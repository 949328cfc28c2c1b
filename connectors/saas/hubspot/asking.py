"""What a delivery has to know first: a question to HubSpot, and the verdict when there is no answer."""

from __future__ import annotations

from typing import Any

from connectors.contract import Verdict
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules, after_failure, refusal
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.reply import MAX_READ

REMEMBERED_S = 600.0
"""How long an answer is believed; what is new in HubSpot is known after that."""


async def ask(sender: Sender, rules: Rules, path: str) -> dict[str, Any] | Verdict:
    """The body of the answer to a GET. Nothing has been done when it is a verdict."""
    headers = {name: value for name, value in sender.base.headers.items() if name.lower() != "content-type"}
    try:
        reply = await sender.send(Prepared("GET", f"{sender.base.url}{path}", headers, None), limit=MAX_READ)
    except TransportFailure as failure:
        return after_failure(failure, rules)
    except NoToken as none:
        return none.verdict
    expected = sender.base.expected
    body = expected.body_of(reply)
    refused = refusal(reply, body, rules, expected, sender.now())
    if refused is not None:
        return refused
    return body if isinstance(body, dict) else {}
