"""What there is to know of one SaaS, as data (``model.py``), and how it is read from its file (``load.py``)."""

from connectors.engine.manifest.load import load, parse
from connectors.engine.manifest.model import Manifest

__all__ = ["Manifest", "load", "parse"]
