"""The one-line client for scripts: ``pq.connect("Hubspot").add("contact", {"email": "john@acme.com"})``."""

from pq._current import flush
from pq._handle import Handle, connect, list_connections
from pq.errors import Ambiguous, BadField, NotFound, NotSent, ScriptError
from pq.receipt import Receipt

__all__ = [
    "Ambiguous",
    "BadField",
    "Handle",
    "NotFound",
    "NotSent",
    "Receipt",
    "ScriptError",
    "connect",
    "flush",
    "list_connections",
]
