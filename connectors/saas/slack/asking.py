"""Calls of Slack's methods that are no events: forms go in, a body or a verdict comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from connectors.contract import Verdict
from connectors.engine.runner import question
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules

FORM: Final = "application/x-www-form-urlencoded"


async def ask(
    sender: Sender, rules: Rules, method: str, arguments: Mapping[str, Any], seconds: float | None = None
) -> tuple[dict[str, Any], Verdict | None]:
    """The body of the answer, and the verdict when it is no success."""
    form = urlencode({name: str(value) for name, value in arguments.items() if value not in (None, "")}).encode()
    prepared = Prepared("POST", f"{sender.base.url}/{method}", {**sender.base.headers, "Content-Type": FORM}, form)
    answer = await question.ask(sender, prepared, rules, seconds=seconds)
    return (answer, None) if isinstance(answer, dict) else ({}, answer)
