"""``writeback alerts``: lists alerts, creates, shows, tests, pauses and resumes one of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from topics.cli.console import (
    INCOMPLETE,
    OK,
    json_option,
    note,
    pass_context,
    print_json,
    print_listing,
    say,
    when,
)
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from worker.alerts.definition import Alert
    from worker.alerts.notify import Message
    from worker.alerts.state import Standing
    from worker.alerts.watch import Watch

# ruff: noqa: PLC0415 - imports that --help does not need

name_argument = click.argument("name")


@click.group()
def alerts() -> None:
    """Alerts: tell somebody when a query has rows, or when something of Writeback itself is wrong.

    \b
      writeback alerts create failed-imports --to slack:QA --every 60s \\
          --query 'SELECT id, mail FROM imports WHERE failed' --text '{count} imports failed'
      writeback alerts create trouble --to slack:ops --otherwise mail:ops@acme.com \\
          --on down,quarantined,dead_letters,refresh_failed,sync_failed,relay_behind
      writeback alerts test trouble

    One message when it begins, again after --repeat while it holds, and one when it is over. The messages go through
    the topics as all events do. An alert is a file in ./alerts (WRITEBACK_ALERTS); `writeback up` and `writeback
    scheduler` look at them.
    """  # noqa: D301 - click's own mark, a real backspace


@alerts.command()
@name_argument
@click.option("--query", help="A SELECT, or @FILE: it holds while the query has rows.")
@click.option("--warehouse", help="Of the query: the name of a warehouse (WRITEBACK_WAREHOUSE_<NAME>). Default: dw.")
@click.option(
    "--on", help="In place of a query: down, quarantined, dead_letters, new_dead_letters, refresh_failed, ..."
)
@click.option("--above", type=click.IntRange(min=0), help="Rows, or open dead letters of a connection, from which on.")
@click.option("--connection", "connections", multiple=True, help="With --on: only this connection; may be repeated.")
@click.option("--to", required=True, multiple=True, metavar="CONNECTION:PLACE", help="slack:QA; may be repeated.")
@click.option("--otherwise", multiple=True, metavar="CONNECTION:PLACE", help="Told as well when one of --to is down.")
@click.option("--every", help="How often it is looked at. Default: 60s.")
@click.option("--repeat", help="Say it again while it holds: 4h. Default: once.")
@click.option("--text", help="What it says; {count} and the columns of the first row are put in.")
@click.option("--cleared", help="What it says when it is over; an empty text: nothing.")
@click.option("--rows", type=click.IntRange(0, 100), help="So many rows stand under the text. Default: 5.")
@click.option(
    "--attach", type=click.IntRange(1, 1_000), help="So many rows as CSV: in the thread (Slack), as a file (email)."
)
@click.option("--replace", is_flag=True, help="In place of the file that there is.")
@json_option
@pass_context
def create(context: CommandContext, /, *, name: str, replace: bool, as_json: bool, **said: Any) -> None:
    """Write an alert's file into ./alerts, after a look at what it asks and whom it tells. Nothing is sent."""
    from worker.alerts.load import ALERTS

    path = _folder(context) / f"{name}.yaml"
    if path.exists() and not replace:
        raise click.UsageError(f"{path} is there already: edit it, or --replace it")
    given = _definition(said)
    alert = ALERTS.read({**given, "name": name}, where=f"the alert {name}")
    _watch(context).check(alert)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(given, sort_keys=False, allow_unicode=True), encoding="utf-8")
    if as_json:
        print_json({"file": str(path), "definition": _shown(alert)})
        return
    say(f"Wrote {path}: {alert.subject} is looked at every {alert.every}, {_whom(alert)} is told.")
    note(f"See what it would say now: writeback alerts test {name}")


@alerts.command("list")
@json_option
@pass_context
def list_alerts(context: CommandContext, /, *, as_json: bool) -> int:
    """All alerts, and which of them hold now. Exit code 3 when a file cannot be read."""
    from worker.alerts.load import ALERTS
    from worker.alerts.state import AlertStates

    found, wrong = ALERTS.readable(_folder(context))
    states = AlertStates(context.store())
    rows = [_listed(alert, states.standing(alert.name)) for alert in found.values()]
    columns = ("name", "on", "every", "to", "state", "since", "looked", "error")
    empty = f"No alerts in {_folder(context)} yet: `writeback alerts create`."
    print_listing(rows, as_json=as_json, columns=columns, empty=empty)
    for line in wrong:
        note(line)
    return INCOMPLETE if wrong else OK


@alerts.command()
@name_argument
@json_option
@pass_context
def show(context: CommandContext, /, *, name: str, as_json: bool) -> None:
    """An alert's definition, and what it has told and is not over."""
    from worker.alerts.load import ALERTS
    from worker.alerts.state import AlertStates

    alert = ALERTS.find(_folder(context), name)
    standing = AlertStates(context.store()).standing(name)
    holding = [
        {"since": when(one.since), "told": when(one.told_at), "times": one.times, "reason": one.reason}
        for one in standing.told.values()
    ]
    if as_json:
        print_json({"definition": _shown(alert), **_listed(alert, standing), "holding": holding})
        return
    say(yaml.safe_dump(_shown(alert), sort_keys=False, allow_unicode=True).rstrip())
    print_listing(holding, as_json=False, empty="Nothing holds.", title="Told, and not over")


@alerts.command()
@name_argument
@click.option("--send", is_flag=True, help="Send a message that says it is a test, to everybody it tells.")
@json_option
@pass_context
def test(context: CommandContext, /, *, name: str, send: bool, as_json: bool) -> None:
    """Look now, and show what would be sent. Nothing is sent, and nothing is written down, without --send."""
    from worker.alerts.load import ALERTS
    from worker.alerts.state import AlertStates

    alert = ALERTS.find(_folder(context), name)
    watch = _watch(context)
    watch.check(alert)
    said = watch.says(alert, AlertStates(context.store()).standing(name), _now())
    messages = [message for one in said for message in watch.messages(alert, one)]
    if send:
        sent = watch.send_test(alert)
        note(f"A test message is on its way to {', '.join(str(one.address) for one in sent)}.")
    shown = [_message(one) for one in messages]
    if as_json:
        print_json(shown)
        return
    if not shown:
        say(f"{name} has nothing to say now.")
    for one in shown:
        say(f"{one['operation']} {one['object']} on {one['connection']}:")
        for field, value in one["fields"].items():
            say(f"  {field}: " + _indented(value))
        for text in one["thread"]:
            say(f"  in its thread: {_indented(text)}")


@alerts.command()
@name_argument
@pass_context
def pause(context: CommandContext, /, *, name: str) -> None:
    """Look at it no more, until `resume`."""
    _set_paused(context, name, paused=True)


@alerts.command()
@name_argument
@pass_context
def resume(context: CommandContext, /, *, name: str) -> None:
    """Look at it again; what holds then is told anew."""
    _set_paused(context, name, paused=False)


def _set_paused(context: CommandContext, name: str, *, paused: bool) -> None:
    from worker.alerts.load import ALERTS
    from worker.alerts.state import AlertStates

    ALERTS.find(_folder(context), name)
    AlertStates(context.store()).pause(name, paused=paused)
    say(f"{name} is {'paused' if paused else 'looked at again'}.")


def _folder(context: CommandContext) -> Path:
    return context.settings.alerts.expanduser()


def _watch(context: CommandContext) -> Watch:
    from worker.alerts.watch import Watch
    from worker.clock import SystemClock

    return Watch(context.settings, context.store(), context.log(), SystemClock(), _folder(context))


def _now() -> float:
    from worker.clock import SystemClock

    return SystemClock().now()


def _definition(said: dict[str, Any]) -> dict[str, Any]:
    """What is written into the file: only what was said."""
    texts = ("query", "warehouse", "on", "above", "every", "repeat", "text", "cleared", "rows", "attach")
    given = {name: said[name] for name in texts if said[name] is not None}
    given |= {name: list(said[name]) for name in ("to", "otherwise", "connections") if said[name]}
    if str(given.get("query", "")).startswith("@"):
        given["query"] = _read(given["query"][1:])
    if "on" in given:
        given["on"] = [one.strip() for one in given["on"].split(",")]
    return given


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--query") from error


def _listed(alert: Alert, standing: Standing) -> dict[str, Any]:
    since = min((told.since for told in standing.told.values()), default=None)
    holds = f"holds ({len(standing.told)})" if len(standing.told) > 1 else "holds"
    return {
        "name": alert.name,
        "on": alert.subject,
        "every": alert.every,
        "to": _whom(alert),
        "state": "paused" if standing.paused else holds if standing.told else "quiet",
        "since": when(since) if since is not None else None,
        "looked": when(standing.looked) if standing.looked is not None else None,
        "error": standing.error,
    }


def _whom(alert: Alert) -> str:
    return ", ".join(map(str, alert.to))


def _shown(alert: Alert) -> dict[str, Any]:
    return alert.model_dump(mode="json", exclude_defaults=True)


def _message(message: Message) -> dict[str, Any]:
    return {
        "connection": message.connection.slug,
        "object": message.object,
        "operation": str(message.operation),
        "fields": message.fields,
        "thread": list(message.thread),
    }


def _indented(value: Any) -> str:
    if isinstance(value, list):
        return "".join(f"\n    - {_indented(one)}" for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_indented(one)}" for name, one in value.items())
    return str(value).rstrip("\n").replace("\n", "\n    ")
