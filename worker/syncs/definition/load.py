"""Reads the definitions of syncs from a folder, one YAML file each."""

from __future__ import annotations

from worker.syncs.definition.folder import Definitions
from worker.syncs.definition.model import Sync
from worker.syncs.errors import BadSync, UnknownSync

SYNCS = Definitions("sync", Sync, BadSync, UnknownSync, example="key: customer_id")
