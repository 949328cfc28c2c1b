"""Reads a SaaS and loads what it read into the warehouse: a process of its own, ``python -m worker.refresher.sync``."""
