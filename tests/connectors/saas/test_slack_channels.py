"""Slack's channels by name, its own characters, files in three steps, threads and incoming webhooks, at the sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.capabilities import lacking
from connectors.connections.table import Connection
from connectors.contract import Delivered, Down, Rejected, Retry, Throttled, Unknown, Verdict
from connectors.errors import BadConnection, CallFailed, UnknownFunction
from connectors.registry import manifest
from connectors.saas.slack.connector import SlackConnector
from connectors.saas.slack.escaping import escaped
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.server import Sandbox
from connectors.sandbox.slack import HOOK
from connectors.sandbox.slack import Slack as SandboxSlack
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=0, slack=SandboxSlack(Faults(), per_second=0)) as sandbox:
        yield sandbox


@pytest.fixture
async def slack(sandbox: Sandbox) -> AsyncIterator[SlackConnector]:
    connector = made(sandbox.url)
    yield connector
    await connector.close()


def made(url: str, now: Callable[[], float] = lambda: 1_000_000.0, **settings: Any) -> SlackConnector:
    settings = {"base_url": f"{url}/api", "allow_private_addresses": True, **settings}
    return SlackConnector(manifest("slack"), settings, {"access_token": "xoxb-test"}, now=now)


def hooked(url: str, **settings: Any) -> SlackConnector:
    settings = {"allow_private_addresses": True, **settings}
    return SlackConnector(manifest("slack"), settings, {"webhook_url": url})


def event(operation: str, kind: str = "message", **fields: Any) -> Event:
    return Event(operation=Operation(operation), connection="slack", object=kind, fields=fields)


async def one(slack: SlackConnector, operation: str, kind: str = "message", **fields: Any) -> Verdict:
    (verdict,) = await slack.deliver([event(operation, kind, **fields)])
    return verdict


def done(verdict: Verdict) -> Delivered:
    assert isinstance(verdict, Delivered), verdict
    return verdict


def listings(sandbox: Sandbox) -> int:
    return sum(entry.operation == "conversations.list" for entry in sandbox.ledger.entries)


# -- channels ---------------------------------------------------------------------------------------------------------


async def test_a_name_costs_nothing_where_a_message_went(sandbox: Sandbox, slack: SlackConnector) -> None:
    """What Slack says of the first message is known for all that follow, however the name is written."""
    posted = done(await one(slack, "add", channel="#QA", text="one"))
    changed = await one(slack, "update", channel="qa", ts=posted.id, text="uno")
    page = await slack.read("message", {"channel": "QA"})
    deleted = await one(slack, "delete", channel="#qa", ts=posted.id)

    assert [type(each) for each in (changed, deleted)] == [Delivered, Delivered]
    assert [message["text"] for message in page.detail] == ["uno"]
    assert listings(sandbox) == 0


async def test_channels_are_listed_once(sandbox: Sandbox, slack: SlackConnector) -> None:
    """Whoever needs an id looks for it, several at once in one listing; private channels are among them."""
    posted = [done(await one(slack, "add", channel=name, text="x")) for name in ("qa", "board")]
    fresh = made(sandbox.url)
    verdicts = await asyncio.gather(
        *(
            one(fresh, "update", channel=name, ts=message.id, text="y")
            for name, message in zip(("qa", "Board"), posted, strict=True)
        )
    )
    await fresh.close()

    assert [type(each) for each in verdicts] == [Delivered, Delivered]
    assert listings(sandbox) == 1


async def test_a_channel_that_nobody_sees(sandbox: Sandbox) -> None:
    """It is refused by its name, and comes again and again without another listing; a new one is found in a minute."""
    now = [1_000_000.0]
    slack = made(sandbox.url, now=lambda: now[0])
    refused = [await one(slack, "delete", channel="qa2", ts="1.2") for _ in range(3)]
    posted = await one(slack, "add", channel="qa2", text="x")
    before = listings(sandbox)
    sandbox.slack.workspace._add("qa2")
    now[0] += 61
    found = await one(slack, "delete", channel="qa2", ts="1.2")
    with pytest.raises(CallFailed, match="there is no channel 'nowhere'"):
        await slack.read("message", {"channel": "nowhere"})
    await slack.close()

    assert isinstance(refused[2], Rejected)
    assert refused[2].reason.startswith("there is no channel 'qa2': the app sees none")
    assert isinstance(posted, Rejected)
    assert posted.reason.startswith("channel_not_found: there is no channel 'qa2': the app sees none; invite the app")
    assert (before, type(found)) == (1, Delivered)


async def test_a_name_in_another_case_than_slack_takes() -> None:
    """A name that Slack does not know is looked for, and the message is posted to the channel that has it."""
    posted = b'{"ok": true, "ts": "1.2", "channel": "C00000003"}'
    listed = b'{"ok": true, "channels": [{"id": "C00000003", "name": "qa"}]}'
    async with Vendor(Told(body=posted)) as vendor:
        vendor.script = [Told(body=b'{"ok": false, "error": "channel_not_found"}'), Told(body=listed)]
        slack = SlackConnector(
            manifest("slack"), {"base_url": vendor.url, "allow_private_addresses": True}, {"access_token": "x"}
        )
        first, second = await one(slack, "add", channel="QA", text="x"), await one(slack, "add", channel="QA", text="y")
        await slack.close()

    assert [type(each) for each in (first, second)] == [Delivered, Delivered]
    sent = [json.loads(each.body)["channel"] for each in vendor.received if each.path == "/chat.postMessage"]
    assert sent == ["QA", "C00000003", "C00000003"]


@pytest.mark.parametrize(
    ("without", "channel", "expected"),
    [
        ({"groups:read"}, "qa", None),
        ({"groups:read"}, "board", "needs the scope channels:read and groups:read"),
        ({"channels:read", "groups:read"}, "qa", "needs the scope channels:read;"),
    ],
)
async def test_scopes_that_are_not_granted(without: set[str], channel: str, expected: str | None) -> None:
    """What cannot be listed for want of a scope names it; what can be is found. Messages need none."""
    vendor = SandboxSlack(Faults(), per_second=0, without=frozenset(without))
    async with Sandbox(latency=0, slack=vendor) as sandbox:
        slack = made(sandbox.url)
        verdict = await one(slack, "delete", channel=channel, ts="1.2")
        posted = await one(slack, "add", channel=channel, text="x")
        await slack.close()

    assert isinstance(posted, Delivered)
    assert isinstance(verdict, Delivered) if expected is None else expected in verdict.reason  # type: ignore[union-attr]


async def test_a_listing_that_is_throttled_holds_its_channel_only(sandbox: Sandbox, slack: SlackConnector) -> None:
    """The limit is that of the listing: messages whose channels are known go on."""
    sandbox.dice["slack"].forced.append(Fate("throttled", retry_after=30))
    verdict = await one(slack, "delete", channel="qa", ts="1.2")

    assert isinstance(verdict, Throttled)
    assert (verdict.after, verdict.scope) == (30, "key")
    assert isinstance(await one(slack, "add", channel="ops", text="x"), Delivered)


def test_one_order_for_a_channel() -> None:
    """A name has one key however it is written; an id keeps its case."""
    slack = made("http://127.0.0.1")
    keys = [slack.record_key("message", Operation.ADD, {"channel": name}) for name in ("QA", "#qa", "qa", "C0123ABCD")]

    assert keys == ["qa", "qa", "qa", "C0123ABCD"]
    assert slack.record_key("file", Operation.ADD, {"channel": "#QA"}) == "qa"
    assert slack.record_key("file", Operation.DELETE, {"id": "F1"}) == "F1"


# -- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("<script>", "&lt;script&gt;"),
        (
            "<https://acme.com?a=1&b=2|Acme & Co> & <@U012AB3CD>",
            "<https://acme.com?a=1&b=2|Acme & Co> &amp; <@U012AB3CD>",
        ),
        (
            "<!here> <!subteam^S1|ops> <#C012AB3CD> <mailto:a@b.c>",
            "<!here> <!subteam^S1|ops> <#C012AB3CD> <mailto:a@b.c>",
        ),
        ("&amp; stays, &copy; does not", "&amp; stays, &amp;copy; does not"),
        ("<!everything>", "&lt;!everything&gt;"),
        ("plain", "plain"),
        (None, None),
    ],
)
def test_characters_of_slacks_own(text: Any, shown: Any) -> None:
    """& < > are shown as they are; what is markup, or escaped already, stays."""
    assert escaped(text) == shown


async def test_texts_are_escaped_unless_they_are_markup(sandbox: Sandbox, slack: SlackConnector) -> None:
    """New and changed messages, and the words of a file; blocks are the writer's own. A connection can do without."""
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "a < b"}}]
    posted = done(await one(slack, "add", channel="qa", text="a < b", blocks=blocks))
    before = posted.detail["message"]
    changed = done(await one(slack, "update", channel="qa", ts=posted.id, text="a > b"))
    raw = made(sandbox.url, escape=False)
    as_is = done(await one(raw, "add", channel="qa", text="a < b"))
    await raw.close()

    assert (before["text"], before["blocks"]) == ("a &lt; b", blocks)
    assert (changed.detail["text"], as_is.detail["message"]["text"]) == ("a &gt; b", "a < b")


async def test_blocks_and_threads(sandbox: Sandbox, slack: SlackConnector) -> None:
    """A message of blocks alone is one; an answer stands in its thread, and in the channel only when it is to be."""
    parent = done(await one(slack, "add", channel="qa", blocks=[{"type": "divider"}]))
    answers = [
        done(await one(slack, "add", channel="qa", text=text, thread_ts=parent.id, reply_broadcast=text == "loud"))
        for text in ("quiet", "loud")
    ]
    wrong = await one(slack, "add", channel="qa", blocks=[{"no": "type"}])
    page = await slack.read("message", {"channel": "qa"})
    thread = await slack.call(f"/conversations.replies?channel={parent.detail['channel']}&ts={parent.id}")

    assert [message["ts"] for message in page.detail] == [answers[1].id, parent.id]
    assert [message["ts"] for message in thread.detail["messages"]] == [parent.id, *(each.id for each in answers)]
    assert isinstance(wrong, Rejected)
    assert "invalid_blocks" in wrong.reason


# -- files ------------------------------------------------------------------------------------------------------------


async def test_a_report_is_shared_in_its_channel(sandbox: Sandbox, slack: SlackConnector, tmp_path: Path) -> None:
    """Rows of a query, text, bytes, and a file of the worker; with words, a title, and in a thread."""
    (tmp_path / "q.pdf").write_bytes(b"%PDF-1.7")
    filed = made(sandbox.url, attachments=str(tmp_path))
    parent = done(await one(slack, "add", channel="qa", text="see the thread"))
    verdicts = [
        await one(
            slack, "add", "file", channel="#QA", filename="failed.csv", rows=[{"n": 1, "why": "a,b"}], text="1 < 2"
        ),
        await one(slack, "add", "file", channel="qa", filename="note.txt", content="é", thread_ts=parent.id),
        await one(slack, "add", "file", channel="qa", filename="b.bin", content_base64="AAEC", title="Bytes"),
        await one(filed, "message", "file", channel="qa", path="q.pdf"),
    ]
    await filed.close()
    files = list(sandbox.slack.workspace.files.values())
    messages = sandbox.slack.state()["channels"]["qa"]

    assert [done(each).id for each in verdicts] == [file.id for file in files]
    assert [file.content for file in files] == [
        b'\xef\xbb\xbfn,why\r\n1,"a,b"\r\n', "é".encode(), b"\x00\x01\x02", b"%PDF-1.7",
    ]  # fmt: skip
    assert [file.title for file in files] == ["failed.csv", "note.txt", "Bytes", "q.pdf"]
    assert [message["text"] for message in messages] == ["see the thread", "1 &lt; 2", "", "", ""]
    assert messages[2]["thread_ts"] == parent.id


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"filename": "a.txt", "content": "x"}, "needs the field channel"),
        ({"channel": "qa", "filename": "a.txt"}, "it has one of content, content_base64, path, rows"),
        ({"channel": "qa", "filename": "a.txt", "content": "x", "tittle": "y"}, "it has tittle; it may have columns"),
        ({"channel": "qa", "filename": "a.txt", "content": ""}, "a.txt is empty"),
        ({"channel": "qa", "filename": "../a", "content": "x"}, "without a folder"),
        ({"channel": "qa", "path": "/etc/passwd"}, "only from the folder that the setting `attachments` names"),
        ({"channel": "qa", "filename": "a.txt", "rows": [{}]}, "a .csv or a .xlsx"),
        ({"channel": "nowhere", "filename": "a.txt", "content": "x"}, "there is no channel 'nowhere'"),
    ],
)
async def test_files_that_are_refused(
    sandbox: Sandbox, slack: SlackConnector, fields: dict[str, Any], words: str
) -> None:
    """What is no file, or goes nowhere, is refused with what is wrong, and nothing is sent."""
    verdict = await one(slack, "add", "file", **fields)

    assert isinstance(verdict, Rejected)
    assert words in verdict.reason
    assert sandbox.slack.workspace.files == {}


async def test_a_file_that_is_too_large(slack: SlackConnector, tmp_path: Path) -> None:
    """A worker holds a file in memory, so there is a largest one; it is not read to its end."""
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(50 * 2**20 + 1)
    filed = made("http://127.0.0.1:9", attachments=str(tmp_path))
    verdict = await one(filed, "add", "file", channel="C0123ABCD", path="huge.bin")
    await filed.close()

    assert isinstance(verdict, Rejected)
    assert "it is larger than 50 MiB" in verdict.reason


@pytest.mark.parametrize(
    ("step", "told", "kind"),
    [
        (0, Told(body=b'{"ok": false, "error": "file_uploads_disabled"}'), Rejected),
        (0, Told(body=b'{"ok": false, "error": "internal_error"}'), Retry),
        (0, Told(429, b"", (("Retry-After", "3"),)), Throttled),
        (0, Told(body=b'{"ok": false, "error": "missing_scope", "needed": "files:write"}'), Rejected),
        (1, Told(500, b"oops"), Retry),
        (1, Told(behaviour="reset_read"), Retry),
        (2, Told(body=b'{"ok": false, "error": "is_archived"}'), Rejected),
        (2, Told(body=b'{"ok": false, "error": "ratelimited"}'), Throttled),
        (2, Told(500, b"oops"), Unknown),
        (2, Told(behaviour="reset_read"), Unknown),
        (2, Told(body=b"{}"), Unknown),
    ],
)
async def test_a_step_that_goes_wrong(step: int, told: Told, kind: type) -> None:
    """Only the third step is seen by anybody: before it nothing has happened. The token goes to Slack's API alone."""
    async with Vendor() as vendor:
        place = json.dumps({"ok": True, "file_id": "F1", "upload_url": f"{vendor.url}/upload/v1/x"}).encode()
        steps = [Told(body=place), Told(body=b"OK - 1"), Told(body=b'{"ok": true, "files": [{"id": "F1"}]}')]
        vendor.script = [*steps[:step], told]
        settings = {"base_url": f"{vendor.url}/api", "allow_private_addresses": True}
        slack = SlackConnector(manifest("slack"), settings, {"access_token": "xoxb-test"})
        verdict = await one(slack, "add", "file", channel="C0123ABCD", filename="a.txt", content="x")
        await slack.close()

    assert type(verdict) is kind
    assert not isinstance(verdict, Throttled) or verdict.scope == "key"
    credentials = ["authorization" in request.headers for request in vendor.received]
    assert credentials == [True, False, True][: step + 1]


async def test_a_file_is_deleted_once(sandbox: Sandbox, slack: SlackConnector) -> None:
    """A file that is gone is deleted."""
    added = done(await one(slack, "add", "file", channel="qa", filename="a.txt", content="x"))
    verdicts = [await one(slack, "delete", "file", id=file) for file in (added.id, added.id, "F0")]

    assert [type(each) for each in verdicts] == [Delivered] * 3
    assert sandbox.slack.workspace.files[str(added.id)].deleted


# -- incoming webhooks ------------------------------------------------------------------------------------------------


async def test_a_message_by_webhook(sandbox: Sandbox) -> None:
    """It goes to the channel of the hook, escaped like any other, in one order; nothing else can be done."""
    hook = hooked(sandbox.url + HOOK)
    refused = hook.refuses("message", Operation.ADD, {"channel": "qa", "text": "x"})
    verdict = await one(hook, "add", text="a < b", blocks=[{"type": "divider"}])
    elsewhere = await one(hook, "message", channel="qa", text="x")
    probed = await hook.probe()
    functions = [(each, kind) for each in Operation for kind in ("message", "file")]
    known = []
    for operation, kind in functions:
        try:
            known.append(hook.function(kind, operation).operation)
        except UnknownFunction as error:
            assert "an incoming webhook has message.add" in str(error)  # noqa: PT017 - of each that is not known
    with pytest.raises(UnknownFunction, match="only takes messages"):
        await hook.read("message", {"channel": "qa"})
    await hook.close()

    assert isinstance(verdict, Delivered)
    assert isinstance(probed, Delivered)
    assert isinstance(elsewhere, Rejected)
    assert "has one channel of its own: leave out channel ('qa')" in elsewhere.reason
    assert refused == elsewhere.reason
    assert [message["text"] for message in sandbox.slack.state()["channels"]["alerts"]] == ["a &lt; b"]
    assert len(known) == 2
    assert hook.record_key("message", Operation.ADD, {"text": "x"}) == "webhook"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (Told(200, b"ok"), Delivered),
        (Told(404, b"no_service"), Down),
        (Told(403, b"invalid_token"), Down),
        (Told(403, b"action_prohibited"), Down),
        (Told(404, b"no_team"), Down),
        (Told(404, b"channel_not_found"), Rejected),
        (Told(410, b"channel_is_archived"), Rejected),
        (Told(400, b"invalid_payload"), Rejected),
        (Told(400, b"no_text"), Rejected),
        (Told(400, b"a_word_of_tomorrow"), Rejected),
        (Told(500, b"rollup_error"), Unknown),
        (Told(429, b"rate_limited", (("Retry-After", "4"),)), Throttled),
        (Told(200, b"<html>Sign in</html>", (("Content-Type", "text/html"),)), Unknown),
        (Told(200, b""), Unknown),
        (Told(503, b"<html>", (("Content-Type", "text/html"),)), Unknown),
        (Told(behaviour="reset_read"), Unknown),
    ],
)
async def test_what_a_webhook_answers(told: Told, kind: type) -> None:
    """By its words, and by its status where it has none; the address is in no reason."""
    words = Told(told.status, told.body, (*told.headers, ("Content-Type", "text/plain")), told.behaviour)
    async with Vendor(told if told.headers else words) as vendor:
        hook = hooked(f"{vendor.url}/services/T1/B1/the-secret")
        verdict = await one(hook, "add", text="x")
        await hook.close()

    assert type(verdict) is kind, verdict
    assert "the-secret" not in str(verdict)


async def test_a_webhook_that_is_gone(sandbox: Sandbox) -> None:
    """A probe posts nothing, and tells a hook that is one from an address that is none."""
    gone = hooked(f"{sandbox.url}/services/T1/B1/x")
    probed = await gone.probe()
    await gone.close()

    assert isinstance(probed, Down)
    assert "no_service" in probed.reason
    with pytest.raises(BadConnection, match="bearer needs access_token or webhook needs webhook_url"):
        SlackConnector(manifest("slack"), {}, {})


@pytest.mark.parametrize(("settings", "lacks"), [({}, "add message needs channel"), ({"auth": "webhook"}, None)])
def test_what_an_event_needs_without_its_secrets(settings: dict[str, Any], lacks: str | None) -> None:
    """A message by webhook needs no channel, and that is known before the first event."""
    connection = Connection(
        id=1, slug="s", name="S", connector="slack", version="1.0", settings=settings, limits={}, policy={},
        partitions=1, state="active", state_reason="", revision=1,
    )  # fmt: skip

    assert lacking(connection, "message", "add", {"text"}) == lacks
