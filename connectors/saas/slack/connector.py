"""What a manifest cannot say of Slack: channels by name, characters of its own, files, and incoming webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from connectors.contract import Delivered, Down, Page, Rejected, Throttled, Verdict
from connectors.engine.manifest.auth import Webhook
from connectors.engine.runner.calls import Prepared, needs
from connectors.engine.runner.plan import Plan
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.template.template import Missing
from connectors.errors import CallFailed, UnknownFunction
from connectors.saas.slack.channels import Channels, is_id, plain
from connectors.saas.slack.escaping import escaped
from connectors.saas.slack.hook import Hook
from connectors.saas.slack.rehearsal import answer
from connectors.saas.slack.upload import Upload
from topics.event.event import Event, Operation

MESSAGE: Final = "message"
FILE: Final = "file"
NEW: Final = frozenset({Operation.ADD, Operation.MESSAGE})
TEXTS: Final = ("text", "initial_comment")
NOT_FOUND: Final = "channel_not_found"
HOOK: Final = "webhook"
"""The key of all messages of a hook: they go to one channel."""


class SlackConnector(HttpConnector):
    """One workspace, by a bot's token, or one channel of it, by its webhook; see ``connectors.contract.Connector``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        way = self.compiler.configuration.auth
        self.hook = Hook(self.sender, str(self.values[way.url])) if isinstance(way, Webhook) else None
        self.channels = Channels(self.sender, self.asking)
        self.upload = Upload(self.sender, self.asking, self.values.get("attachments"))

    def plan(self, object_name: str, operation: Operation) -> Plan:
        if self.hook is not None and (object_name != MESSAGE or operation not in NEW):
            raise UnknownFunction(
                f"unknown function {object_name}.{operation}: an incoming webhook has message.add, and nothing else; "
                "a connection with an access_token has more"
            )
        return super().plan(object_name, operation)

    def record_key(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:
        """A channel has one order, however its name is written."""
        key = super().record_key(object_name, operation, fields)
        if self.hook is not None:
            return HOOK
        return key if key is None or (object_name == FILE and operation is Operation.DELETE) else plain(key)

    def refuses(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        return None if self.hook is None else self.hook.refuses(fields)

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        return [await self._deliver(event) for event in batch]

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        if self.hook is not None:
            raise UnknownFunction(f"cannot read {object_name}: an incoming webhook only takes messages")
        if (name := query.get("channel")) not in (None, ""):
            channel = await self._channel(str(name))
            if not isinstance(channel, str):
                raise CallFailed(getattr(channel, "reason", "the channel cannot be looked up"))
            query = {**query, "channel": channel}
        return await super().read(object_name, query, bookmark)

    def rehearsed(self, asked: Prepared, events: Sequence[Event]) -> Any:
        return answer(str(asked.url), events)

    async def probe(self) -> Delivered | Down | Throttled:
        return await super().probe() if self.hook is None else await self.hook.probe(self.asking)

    async def _deliver(self, event: Event) -> Verdict:
        plan = self.plan(event.object, event.operation)
        fields = dict(event.fields if plan.respell is None else plan.respell(event.fields))
        if self.values["escape"]:
            fields |= {name: escaped(fields[name]) for name in TEXTS if name in fields}
        if self.hook is not None:
            return await self.hook.post(event, plan, fields)
        if event.object == FILE and event.operation is Operation.DELETE:
            return (await super().deliver([event]))[0]
        name = fields.get("channel")
        if name in (None, "") or isinstance(name, dict | list):
            return Rejected(needs(event, Missing("channel")))
        if event.object == MESSAGE and event.operation in NEW:
            return await self._post(event, fields, str(name))
        return await self._to(await self._channel(str(name)), plan, event, fields)

    async def _to(self, channel: str | Verdict, plan: Plan, event: Event, fields: Mapping[str, Any]) -> Verdict:
        """What goes to a channel by its id; the verdict, where there is none."""
        if not isinstance(channel, str):
            return channel
        if event.object == FILE:
            return await self.upload.carry(event, plan, fields, channel)
        return await self._send(event, fields, channel)

    async def _post(self, event: Event, fields: Mapping[str, Any], name: str) -> Verdict:
        """Under the name that was given, until Slack has said whose it is: that needs no scope."""
        verdict = await self._send(event, fields, self.channels.known(name) or name)
        if isinstance(verdict, Delivered) and isinstance(verdict.detail, Mapping):
            self.channels.learn(name, verdict.detail.get("channel"))
        elif isinstance(verdict, Rejected) and NOT_FOUND in verdict.reason and not is_id(name):
            channel = await self.channels.find(name)
            if isinstance(channel, str):
                return await self._send(event, fields, channel)
            # Slack's word, and what is known of it
            return (
                replace(verdict, reason=f"{NOT_FOUND}: {channel.reason}") if isinstance(channel, Rejected) else channel
            )
        return verdict

    async def _send(self, event: Event, fields: Mapping[str, Any], channel: str) -> Verdict:
        made = event.model_copy(update={"fields": {**fields, "channel": channel}})
        return (await super().deliver([made]))[0]

    async def _channel(self, name: str) -> str | Verdict:
        return name if is_id(name) else self.channels.known(name) or await self.channels.find(name)
