"""Slack, as its manifest has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.contract import Connector, Delivered, Down, Rejected, Retry, Throttled, Unknown
from connectors.registry import manifest
from connectors.saas.slack.connector import SlackConnector
from connectors.sandbox.server import Sandbox
from tests.conformance.connectors import ConnectorContract
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation


class TestContract(ConnectorContract):
    name = "slack"
    object = "message"
    add: ClassVar = {"channel": "QA", "text": "Data quality alert"}
    update: ClassVar = {"channel": "C0123ABCD", "ts": "1.2", "text": "better"}
    delete: ClassVar = {"channel": "C0123ABCD", "ts": "1.2"}
    done = b'{"ok": true, "ts": "1.2"}'

    @pytest.mark.parametrize(
        ("error", "added", "updated"),
        [
            ("channel_not_found", Rejected, Rejected),
            ("not_in_channel", Rejected, Rejected),
            ("is_archived", Rejected, Rejected),
            ("msg_too_long", Rejected, Rejected),
            ("missing_scope", Rejected, Rejected),
            ("an_error_of_tomorrow", Rejected, Rejected),
            ("invalid_auth", Down, Down),
            ("not_authed", Down, Down),
            ("account_inactive", Down, Down),
            ("token_revoked", Down, Down),
            ("org_login_required", Down, Down),
            ("team_added_to_org", Down, Down),
            ("team_access_not_granted", Down, Down),
            ("ekm_access_denied", Down, Down),
            ("accesslimited", Down, Down),
            ("enterprise_is_restricted", Down, Down),
            ("two_factor_setup_required", Down, Down),
            ("not_allowed_token_type", Down, Down),
            ("update_failed", Unknown, Retry),
            ("streaming_state_conflict", Retry, Retry),
            ("external_channel_migrating", Retry, Retry),
            ("message_limit_exceeded", Throttled, Throttled),
            ("ratelimited", Throttled, Throttled),
            ("rate_limited", Throttled, Throttled),
            ("service_unavailable", Retry, Retry),
            ("request_timeout", Retry, Retry),
            ("internal_error", Unknown, Retry),
            ("fatal_error", Unknown, Retry),
        ],
    )
    async def test_errors_inside_a_200(
        self, vendor: Vendor, connector: Connector, error: str, added: type, updated: type
    ) -> None:
        """HTTP 200 says nothing: the word in ``error`` decides."""
        told = Told(200, json.dumps({"ok": False, "error": error}).encode())
        verdicts = [await self.verdict(vendor, connector, operation, told) for operation in ("add", "update")]

        assert [type(verdict) for verdict in verdicts] == [added, updated]
        assert error in verdicts[0].reason  # type: ignore[union-attr]

    async def test_ratelimited_inside_a_200(self, vendor: Vendor, connector: Connector) -> None:
        """Retry-After wins over the table's wait in a 200 as well."""
        told = Told(200, b'{"ok": false, "error": "ratelimited"}', (("Retry-After", "4"),))
        verdict = await self.verdict(vendor, connector, "add", told)

        assert isinstance(verdict, Throttled)
        assert verdict.after == 4

    async def test_whom_a_limit_holds(self, vendor: Vendor, connector: Connector) -> None:
        """A limit on posting is the channel's; that of the other methods is the workspace's."""
        scopes = []
        for told in (Told(429), Told(200, b'{"ok": false, "error": "ratelimited"}')):
            verdicts = [await self.verdict(vendor, connector, operation, told) for operation in ("add", "update")]
            scopes.append([verdict.scope for verdict in verdicts if isinstance(verdict, Throttled)])

        assert scopes == [["key", "connection"]] * 2

    async def test_deleting_a_message_that_is_gone(self, vendor: Vendor, connector: Connector) -> None:
        """A message that is not there is deleted; one that cannot be changed is refused."""
        told = Told(200, b'{"ok": false, "error": "message_not_found"}')

        assert isinstance(await self.verdict(vendor, connector, "delete", told), Delivered)
        assert isinstance(await self.verdict(vendor, connector, "update", told), Rejected)


def test_every_documented_code_has_its_place() -> None:
    """Nothing that Slack documents is left to the default, and nothing stands in two places."""
    lines = Path(__file__).with_name("slack_errors.txt").read_text(encoding="utf-8").splitlines()
    documented = {line for line in lines if not line.startswith("#")}
    rules = manifest("slack").errors
    codes = [code for rule in rules for code in ([rule.code] if isinstance(rule.code, str) else rule.code or [])]

    assert sorted(documented - set(codes)) == []
    assert len(codes) == len(set(codes))


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=0) as sandbox:
        yield sandbox


@pytest.fixture
async def slack(sandbox: Sandbox) -> AsyncIterator[SlackConnector]:
    settings = {"base_url": f"{sandbox.url}/api", "allow_private_addresses": True}
    connector = SlackConnector(manifest("slack"), settings, {"access_token": "xoxb-test"})
    yield connector
    await connector.close()


def message(operation: str, **fields: Any) -> Event:
    return Event(operation=Operation(operation), connection="slack", object="message", fields=fields)


async def test_every_function_against_the_sandbox(sandbox: Sandbox, slack: SlackConnector) -> None:
    """A message is posted, changed, read back and deleted."""
    (posted,) = await slack.deliver([message("add", channel="QA", text="one")])
    (same,) = await slack.deliver([message("message", channel="QA", text="two")])
    assert isinstance(posted, Delivered)
    assert isinstance(same, Delivered)
    channel = posted.detail["channel"]
    (changed,) = await slack.deliver([message("update", channel=channel, ts=posted.id, text="uno")])
    page = await slack.read("message", {"channel": channel, "limit": 10})
    (deleted,) = await slack.deliver([message("delete", channel=channel, ts=posted.id)])
    (again,) = await slack.deliver([message("delete", channel=channel, ts=posted.id)])

    assert {one["text"] for one in page.detail} == {"uno", "two"}
    assert [type(one) for one in (changed, deleted, again)] == [Delivered, Delivered, Delivered]
    assert isinstance(await slack.probe(), Delivered)


def test_order_and_pace() -> None:
    """Messages of a channel keep their order, one a second; an unknown outcome is tried again."""
    slack = SlackConnector(manifest("slack"), {}, {"access_token": "xoxb-test"})
    function = slack.function("message", Operation.MESSAGE)

    assert slack.record_key("message", Operation.MESSAGE, {"channel": "QA", "text": "x"}) == "qa"
    assert (function.key_interval, function.on_unknown, function.idempotent) == (1.0, "retry", False)
    assert slack.function("message", Operation.UPDATE).idempotent
