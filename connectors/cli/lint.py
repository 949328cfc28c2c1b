"""``writeback connectors lint``: what is wrong with a manifest, and what is seldom meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from topics.cli.console import FAILED, json_option, print_json, say


@click.command()
@click.argument("files", metavar="FILE", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def lint(*, files: tuple[Path, ...], as_json: bool) -> int:
    """Look at manifests: every mistake with its line, and hints at what is allowed and seldom meant.

    \b
      writeback connectors lint acme.yaml
      writeback connectors lint connectors/*.yaml

    Exit code 1 when one of them does not load; hints leave it at 0.
    """  # noqa: D301 - click's own mark, a real backspace
    seen = [_look(path) for path in files]
    if as_json:
        print_json(seen)
    else:
        for one in seen:
            for line in (one["mistake"], *one["hints"]):
                if line:
                    say(line)
            if not one["mistake"]:
                say(f"{one['file']}: {one['connector']}")
    return FAILED if any(one["mistake"] for one in seen) else 0


def _look(path: Path) -> dict[str, Any]:
    from connectors.engine.manifest import load  # noqa: PLC0415 - help needs none of it
    from connectors.engine.manifest.hints import hints  # noqa: PLC0415
    from connectors.engine.manifest.load import line_in  # noqa: PLC0415
    from connectors.errors import BadManifest  # noqa: PLC0415

    try:
        manifest = load(path)
    except BadManifest as error:
        return {"file": str(path), "connector": None, "mistake": str(error), "hints": []}
    hinted = sorted((line_in(path, place), ".".join(map(str, place)), words) for place, words in hints(manifest))
    return {
        "file": str(path),
        "connector": f"{manifest.name} {manifest.version} loads: {', '.join(manifest.functions()) or 'no functions'}",
        "mistake": None,
        "hints": [f"{path}:{line}: hint: {place}: {words}" for line, place, words in hinted],
    }
