"""What a delivery has to know first: a question to HubSpot, and the verdict when there is no answer."""

from __future__ import annotations

from typing import Any, Final

from connectors.contract import Verdict
from connectors.engine.runner import question
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules

REMEMBERED_S: Final = 600.0
"""How long an answer is believed; what is new in HubSpot is known after that."""


async def ask(sender: Sender, rules: Rules, path: str) -> dict[str, Any] | Verdict:
    """The body of the answer to a GET. Nothing has been done when it is a verdict."""
    headers = {name: value for name, value in sender.base.headers.items() if name.lower() != "content-type"}
    body = await question.ask(sender, Prepared("GET", f"{sender.base.url}{path}", headers, None), rules)
    return body if isinstance(body, dict | Verdict) else {}
