"""No option is taken and then does nothing: each is read by its command, or by what the command hands it to."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import click
import pytest

from writeback import cli


def commands(group: click.Group, path: str = "writeback") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


COMMANDS = [("writeback", cli), *commands(cli)]


@cache
def _definition(function: Callable[..., Any]) -> ast.FunctionDef | ast.AsyncFunctionDef:
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    return definition


def reads(function: Callable[..., Any], name: str, *, under: str | None = None) -> bool:
    """Whether the function reads its parameter of that name.

    ``under``: the parameter is a mapping that holds the name. What is handed on is looked for where it goes to.
    """
    definition = _definition(function)
    arguments = definition.args
    explicit = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    if under is None and name in explicit:
        return any(_is_read(node, name) for line in definition.body for node in ast.walk(line))
    mapping = under or (arguments.kwarg.arg if arguments.kwarg else None)
    return mapping is not None and any(
        _takes_out(node, definition, mapping, name) or _hands_on(node, function, definition, mapping, name)
        for line in definition.body
        for node in ast.walk(line)
    )


def _is_read(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)


def _is_whole(node: ast.AST, mapping: str) -> bool:
    """``said``, or ``{**said, ...}``."""
    return _is_read(node, mapping) or (
        isinstance(node, ast.Dict) and any(_is_read(one, mapping) for one in node.values)
    )


def _takes_out(node: ast.AST, definition: ast.AST, mapping: str, name: str) -> bool:
    """``said["name"]``, ``said.get("name")``, or ``said[each]`` and ``said[f"prefix_{each}"]`` beside that constant."""
    constants = {one.value for one in ast.walk(definition) if isinstance(one, ast.Constant)}
    if isinstance(node, ast.Subscript) and _is_read(node.value, mapping):
        key = node.slice
        if isinstance(key, ast.JoinedStr) and isinstance(start := key.values[0], ast.Constant):
            return name.startswith(str(start.value)) and name.removeprefix(str(start.value)) in constants
        return key.value == name if isinstance(key, ast.Constant) else name in constants
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_read(node.func.value, mapping):
        return any(isinstance(one, ast.Constant) and one.value == name for one in node.args)
    return False


def _hands_on(node: ast.AST, function: Callable[..., Any], definition: ast.AST, mapping: str, name: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    callee = _resolved(node.func, function, definition)
    if callee is None:
        return False
    if any(keyword.arg is None and _is_read(keyword.value, mapping) for keyword in node.keywords):
        return reads(callee, name) if inspect.isfunction(callee) else name in inspect.signature(callee).parameters
    named = [keyword.arg for keyword in node.keywords if keyword.arg and _is_whole(keyword.value, mapping)]
    positions = [place for place, one in enumerate(node.args) if _is_whole(one, mapping)]
    if not inspect.isfunction(callee):
        return False
    parameters = list(inspect.signature(callee).parameters)
    return any(reads(callee, name, under=one) for one in named + [parameters[place] for place in positions])


def _resolved(called: ast.expr, function: Callable[..., Any], definition: ast.AST) -> Callable[..., Any] | None:
    """What a call calls: a name of the module, or one that the function has imported itself."""
    if not isinstance(called, ast.Name):
        return None
    module = inspect.getmodule(function)
    assert isinstance(module, ModuleType)
    for node in ast.walk(definition):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == called.id:
                    return getattr(import_module(node.module), alias.name)  # type: ignore[no-any-return]
    found = getattr(module, called.id, None)
    return inspect.unwrap(found) if callable(found) else None


@pytest.mark.parametrize("command", [pytest.param(command, id=path) for path, command in COMMANDS])
def test_every_option_is_read(command: click.Command) -> None:
    """By the body of the command, or of what it hands its keywords to."""
    options = [option.name for option in command.params if option.expose_value and option.name]
    callback = inspect.unwrap(command.callback) if command.callback else None

    assert [name for name in options if callback is None or not reads(callback, name)] == []


def test_an_option_that_does_nothing_is_found() -> None:
    """The test can fail: an argument that nobody reads, alone and among the keywords that are handed on."""

    def unread(*, used: int, unused: int) -> int:
        return used

    assert [reads(unread, name) for name in ("used", "unused")] == [True, False]
