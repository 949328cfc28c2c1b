"""An incoming webhook: an address that posts to one channel. It answers with a word, and a status.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks ("Handling errors")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors.contract import Delivered, Down, Rejected, Throttled, Verdict
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import Expected
from connectors.engine.runner.plan import Plan
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules, after_failure, after_refusal
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.reply import Reply
from topics.event import exact_json
from topics.event.event import Event

WORDS: Final = Expected(media_types=frozenset({"text/plain", "text/html", "application/json"}))
JSON: Final = {"Content-Type": "application/json; charset=utf-8", "Accept": "*/*"}


@dataclass(frozen=True, slots=True)
class Hook:
    sender: Sender
    url: str

    def refuses(self, fields: Mapping[str, Any]) -> str | None:
        """Why this message cannot go this way."""
        if (channel := fields.get("channel")) in (None, ""):
            return None
        return (
            f"an incoming webhook has one channel of its own: leave out channel ({channel!r}), or give the connection "
            "an access_token"
        )

    async def post(self, event: Event, plan: Plan, fields: Mapping[str, Any]) -> Verdict:
        if (reason := self.refuses(fields)) is not None:
            return Rejected(reason)
        body = {name: value for name, value in fields.items() if name != "channel"}
        return await self._ask(body, plan.rules, event.options.timeout_s)

    async def probe(self, rules: Rules) -> Delivered | Down | Throttled:
        """A message that holds nothing is refused, and says whether the hook is one; nobody sees it."""
        match await self._ask({}, rules, None):
            case Down() | Throttled() as verdict:
                return verdict
            case Delivered() | Rejected():
                return Delivered({"note": "the webhook answers"})
            case verdict:
                return Down(verdict.reason, evidence=verdict.evidence)

    async def _ask(self, body: Mapping[str, Any], rules: Rules, seconds: float | None) -> Verdict:
        try:
            reply = await self.sender.send_bare(Prepared("POST", self.url, JSON, exact_json.dumps(body)), seconds)
        except TransportFailure as failure:
            return after_failure(failure, rules)
        word = reply.body.decode("utf-8", errors="replace").strip()
        if reply.status == 200 and word == "ok" and not reply.truncated:
            return Delivered({"ok": True})
        return after_refusal(reply, _said(reply, word), rules, self.sender.now(), WORDS, lacks="it does not say ok")


def _said(reply: Reply, word: str) -> Any:
    """The word as the methods of the API say it; what is more than a word is no answer of Slack's."""
    one = word.split(":", maxsplit=1)[0]
    named = len(word) < 200 and one.replace("_", "").isalnum()
    return {"error": one} if named and not reply.truncated else WORDS.body_of(reply)
