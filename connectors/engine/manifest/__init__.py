"""The manifest: the description of a SaaS's API as data (``model.py``), and its reading from a file (``load.py``)."""

from connectors.engine.manifest.load import load, parse
from connectors.engine.manifest.model import Manifest

__all__ = ["Manifest", "load", "parse"]
