"""What a delivery has to know before it can be made, or does on its way: a call of its own."""

from __future__ import annotations

from typing import Any

from connectors.engine.auth.endpoint import NoToken
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import Expected
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules, after_failure, refusal
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.reply import MAX_READ


async def ask(
    sender: Sender,
    prepared: Prepared,
    rules: Rules,
    expected: Expected | None = None,
    *,
    seconds: float | None = None,
    paced: bool = False,
) -> Any:
    """The body of the answer, or the verdict that stands in its way.

    ``expected``: what is a success; None: what the API says it is. ``paced``: somebody waits for it, so it goes at the
    connection's pace, and raises ``CallFailed`` when there is no answer.
    """
    try:
        reply = await (sender.ask(prepared) if paced else sender.send(prepared, seconds, MAX_READ))
    except TransportFailure as failure:
        return after_failure(failure, rules)
    except NoToken as none:
        return none.verdict
    expected = expected or sender.base.expected
    body = expected.body_of(reply)
    refused = refusal(reply, body, rules, expected, sender.now())
    return body if refused is None else refused
