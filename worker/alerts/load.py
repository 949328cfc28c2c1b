"""Reads the definitions of alerts from a folder, one YAML file each."""

from __future__ import annotations

from worker.alerts.definition import Alert
from worker.alerts.errors import BadAlert, UnknownAlert
from worker.syncs.definition.folder import Definitions

ALERTS = Definitions("alert", Alert, BadAlert, UnknownAlert, example="to: slack:QA")
