"""The log: what its engines keep (``contract.py``), and what is done with any of them."""

from topics.log.contract import (
    METADATA_BUDGET,
    Commit,
    Consumer,
    Content,
    Failures,
    Headers,
    Lag,
    Log,
    Partition,
    Position,
    Producer,
    Reader,
    Rebalance,
    Record,
    Unreadable,
    UnreadableRecords,
)

__all__ = [
    "METADATA_BUDGET",
    "Commit",
    "Consumer",
    "Content",
    "Failures",
    "Headers",
    "Lag",
    "Log",
    "Partition",
    "Position",
    "Producer",
    "Reader",
    "Rebalance",
    "Record",
    "Unreadable",
    "UnreadableRecords",
]
