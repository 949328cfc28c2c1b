"""Slack's own SDK works against the sandbox: that is what the sandbox is believed for."""

from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.metadata import Metadata
from slack_sdk.webhook import WebhookClient

from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.server import Sandbox
from connectors.sandbox.slack import HOOK, Slack
from tests.connectors.sandbox_thread import running

TOKENS = frozenset({"xoxb-1"})


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(Sandbox(latency=0, slack=Slack(Faults(), per_second=0, tokens=TOKENS))) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Any:
    return WebClient(token="xoxb-1", base_url=f"{sandbox.url}/api/", retry_handlers=[])


def error_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(SlackApiError) as error:
        call(**arguments)
    assert error.value.response.status_code == 200
    return str(error.value.response["error"])


def test_the_token_is_good(client: Any) -> None:
    """``auth.test`` says who we are."""
    assert client.auth_test()["team"] == "Sandbox"


@pytest.mark.parametrize(("token", "said"), [(None, "not_authed"), ("xoxb-wrong", "invalid_auth")])
def test_a_wrong_token_is_told_so(sandbox: Sandbox, token: str | None, said: str) -> None:
    """No token and a wrong one are two errors, both with HTTP 200."""
    client = WebClient(token=token, base_url=f"{sandbox.url}/api/")

    assert error_of(client.chat_postMessage, channel="qa", text="x") == said


def test_post_change_delete(client: Any, sandbox: Sandbox) -> None:
    """A message is posted by name, changed and deleted by the channel's id and ``ts``."""
    posted = client.chat_postMessage(channel="#qa", text="Data quality alert")
    changed = client.chat_update(channel=posted["channel"], ts=posted["ts"], text="Solved")
    shown = client.conversations_history(channel=posted["channel"])["messages"]
    client.chat_delete(channel=posted["channel"], ts=posted["ts"])

    assert posted["message"]["text"] == "Data quality alert"
    assert (changed["ts"], changed["text"]) == (posted["ts"], "Solved")
    assert [(message["ts"], message["text"]) for message in shown] == [(posted["ts"], "Solved")]
    assert client.conversations_history(channel=posted["channel"])["messages"] == []
    assert [(entry.operation, entry.outcome) for entry in sandbox.ledger.entries if entry.operation in
            {"message", "update", "delete"}] == [("message", "ok"), ("update", "ok"), ("delete", "ok")]  # fmt: skip


def test_json_bodies_and_blocks(client: Any) -> None:
    """A JSON body with blocks instead of a text is a message too."""
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*Alert*"}}]
    posted = client.api_call("chat.postMessage", json={"channel": "QA", "blocks": blocks})

    assert posted["message"]["blocks"] == blocks


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"channel": "nowhere", "text": "x"}, "channel_not_found"),
        ({"channel": "old-news", "text": "x"}, "is_archived"),
        ({"channel": "qa", "text": ""}, "no_text"),
        ({"channel": "qa", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "qa", "text": "!refused!"}, "restricted_action"),
    ],
)
def test_what_slack_says_no_to(client: Any, arguments: dict[str, str], said: str) -> None:
    """HTTP 200 with ``ok: false`` and one word."""
    assert error_of(client.api_call, api_method="chat.postMessage", params=arguments) == said


def test_a_message_that_is_not_there(client: Any) -> None:
    """Changing and deleting name a message that does not exist."""
    channel = client.conversations_list()["channels"][0]["id"]

    assert error_of(client.chat_update, channel=channel, ts="1.2", text="x") == "message_not_found"
    assert error_of(client.chat_delete, channel=channel, ts="1.2") == "message_not_found"


def test_an_argument_of_the_wrong_kind(client: Any) -> None:
    """A number that is none is answered, not a breakdown."""
    assert error_of(client.conversations_list, limit="many") == "invalid_arguments"


def test_an_unknown_method(client: Any) -> None:
    """A method that Slack does not have."""
    assert error_of(client.api_call, api_method="chat.telepathy") == "unknown_method"


def test_every_ts_is_another(client: Any) -> None:
    """Two messages never share a ``ts``, and later is greater."""
    stamps = [client.chat_postMessage(channel=channel, text="x")["ts"] for channel in ["qa", "ops"] * 20]

    assert stamps == sorted(set(stamps))


def test_channels_and_history_come_in_pages(client: Any) -> None:
    """The SDK's own paging walks channels and messages, each once; history has the newest first."""
    for number in range(25):
        posted = client.chat_postMessage(channel="ops", text=str(number))
    names = [c["name"] for page in client.conversations_list(limit=2, exclude_archived=True) for c in page["channels"]]
    pages = client.conversations_history(channel=posted["channel"], limit=10)
    texts = [message["text"] for page in pages for message in page["messages"]]

    assert names == ["general", "random", "qa", "alerts", "ops", "sales"]
    assert texts == [str(number) for number in reversed(range(25))]


def test_history_between_two_moments_with_metadata(client: Any) -> None:
    """What looking back stands on: bounds, and the metadata of a message on request."""
    metadata = Metadata(event_type="writeback", event_payload={"event_id": "e-2"})
    stamps = [client.chat_postMessage(channel="qa", text=str(n), metadata=metadata)["ts"] for n in range(4)]
    channel = client.conversations_list()["channels"][2]["id"]
    asked = {"channel": channel, "oldest": stamps[1], "latest": stamps[2]}

    assert client.conversations_history(**asked)["messages"] == []
    found = client.conversations_history(**asked, inclusive=True, include_all_metadata=True)["messages"]
    assert [message["ts"] for message in found] == [stamps[2], stamps[1]]
    assert found[0]["metadata"]["event_payload"] == {"event_id": "e-2"}


def test_one_message_a_second_and_channel() -> None:
    """Above the burst: HTTP 429 with Retry-After; other channels are free; the SDK's handler waits and gets through."""
    with running(Sandbox(latency=0, slack=Slack(Faults(), burst=2))) as sandbox:
        client: Any = WebClient(token="x", base_url=f"{sandbox.url}/api/", retry_handlers=[])
        for text in "ab":
            client.chat_postMessage(channel="qa", text=text)
        with pytest.raises(SlackApiError) as error:
            client.chat_postMessage(channel="qa", text="c")
        client.chat_postMessage(channel="ops", text="d")
        client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=3))
        client.chat_postMessage(channel="qa", text="c")

    assert (error.value.response.status_code, error.value.response["error"]) == (429, "ratelimited")
    assert error.value.response.headers["Retry-After"] == "1"
    assert [message["text"] for message in sandbox.slack.state()["channels"]["qa"]] == ["a", "b", "c"]


def test_an_internal_error_may_have_posted(client: Any, sandbox: Sandbox) -> None:
    """A forced answer: Slack says ``internal_error`` and the message is there all the same."""
    body = '{"ok": false, "error": "internal_error"}'
    sandbox.dice["slack"].forced.append(Fate("answered", performed=True, status=200, body=body))

    assert error_of(client.chat_postMessage, channel="qa", text="x") == "internal_error"
    assert len(sandbox.slack.state()["channels"]["qa"]) == 1


def test_a_file_in_three_steps(client: Any, sandbox: Sandbox) -> None:
    """The SDK's own upload: shared in its channel, with words; deleted once."""
    channel = client.chat_postMessage(channel="qa", text="x")["channel"]
    done = client.files_upload_v2(
        channel=channel, filename="failed.csv", content="n,why\n1,x\n", initial_comment="Failed", title="Failed orders"
    )
    file = sandbox.slack.workspace.files[done["file"]["id"]]
    client.files_delete(file=file.id)

    assert (file.content, file.title, file.shared_in) == (b"n,why\n1,x\n", "Failed orders", channel)
    assert client.conversations_history(channel=channel)["messages"][0]["text"] == "Failed"
    assert error_of(client.files_delete, file=file.id) == "file_deleted"
    assert error_of(client.files_completeUploadExternal, files=[{"id": "F9"}], channel_id=channel) == "file_not_found"


def test_names_are_for_posting_only(client: Any) -> None:
    """Every other method wants an id."""
    posted = client.chat_postMessage(channel="qa", text="x")
    known = {"channel": "qa", "ts": posted["ts"]}

    assert error_of(client.chat_update, **known, text="y") == "channel_not_found"
    assert error_of(client.chat_delete, **known) == "channel_not_found"
    assert error_of(client.conversations_history, channel="qa") == "channel_not_found"


def test_a_thread_stands_apart(client: Any) -> None:
    """Answers are in the thread; in the channel only those that are broadcast."""
    parent = client.chat_postMessage(channel="qa", text="parent")
    channel, thread = parent["channel"], parent["ts"]
    for loud in (False, True):
        client.chat_postMessage(channel=channel, text=str(loud), thread_ts=thread, reply_broadcast=loud)
    replies = client.conversations_replies(channel=channel, ts=thread)["messages"]
    history = client.conversations_history(channel=channel)["messages"]

    assert [message["text"] for message in replies] == ["parent", "False", "True"]
    assert [message["text"] for message in history] == ["True", "parent"]
    assert error_of(client.conversations_replies, channel=channel, ts="1.2") == "thread_not_found"


def test_a_webhook_posts_to_its_channel(sandbox: Sandbox) -> None:
    """The SDK's client for webhooks: ``ok``, or a word and a status."""
    good, gone = WebhookClient(sandbox.url + HOOK), WebhookClient(sandbox.url + "/services/T1/B1/x")
    answers = [good.send(text="x"), good.send(), gone.send(text="x")]

    assert [(answer.status_code, answer.body) for answer in answers] == [
        (200, "ok"),
        (400, "no_text"),
        (404, "no_service"),
    ]
    assert len(sandbox.slack.state()["channels"]["alerts"]) == 1


def test_twenty_listings_a_minute_and_scopes() -> None:
    """Tier 2, and private channels for those who may see them."""
    vendor = Slack(Faults(), without=frozenset({"groups:read"}))
    with running(Sandbox(latency=0, slack=vendor)) as sandbox:
        client: Any = WebClient(token="x", base_url=f"{sandbox.url}/api/", retry_handlers=[])

        assert error_of(client.conversations_list, types="public_channel,private_channel") == "missing_scope"
        for _ in range(19):
            client.conversations_list()
        with pytest.raises(SlackApiError) as error:
            client.conversations_list()
    assert error.value.response.status_code == 429
    assert int(error.value.response.headers["Retry-After"]) > 50
