"""Calls of Slack's methods that are no events: forms go in, a body or a verdict comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from connectors.contract import Verdict
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import Expected
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules, after_failure, refusal
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.reply import MAX_READ

FORM: Final = "application/x-www-form-urlencoded"


async def ask(
    sender: Sender, rules: Rules, method: str, arguments: Mapping[str, Any], seconds: float | None = None
) -> tuple[dict[str, Any], Verdict | None]:
    """The body of the answer, and the verdict when it is no success."""
    form = urlencode({name: str(value) for name, value in arguments.items() if value not in (None, "")}).encode()
    headers = {**sender.base.headers, "Content-Type": FORM}
    try:
        reply = await sender.send(Prepared("POST", f"{sender.base.url}/{method}", headers, form), seconds, MAX_READ)
    except TransportFailure as failure:
        return {}, after_failure(failure, rules)
    except NoToken as none:
        return {}, none.verdict
    expected: Expected = sender.base.expected
    body = expected.body_of(reply)
    refused = refusal(reply, body, rules, expected, sender.now())
    return body if isinstance(body, dict) else {}, refused
