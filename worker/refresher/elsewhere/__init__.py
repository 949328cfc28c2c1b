"""Refreshes that another tool makes: submitted, and waited for, by ``python -m worker.refresher.elsewhere``."""
