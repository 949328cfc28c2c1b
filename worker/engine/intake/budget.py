"""One budget for the worker, in records and bytes.

In flight, waiting and retrying together, in equal shares per lane that holds something. Memory does not grow with the
backlog or with the number of connections.
"""

from __future__ import annotations

OVERFULL = 1.25
"""A poll brings up to a thousand records of one partition, whatever its share: for one lane that is little, for a
thousand it would be a hundred times the budget."""


class Budget:
    """``records`` and ``bytes`` of all lanes together.

    A lane over its share takes nothing new until it is down to half of it.
    """

    def __init__(self, records: int, size: int) -> None:
        self.records_limit = records
        self.bytes_limit = size
        self.records = 0
        self.bytes = 0
        self._lanes = 1

    def took(self, size: int) -> None:
        self.records += 1
        self.bytes += size

    def gave_back(self, records: int, size: int) -> None:
        self.records -= records
        self.bytes -= size

    def lanes(self, holding: int) -> None:
        """How many lanes hold something."""
        self._lanes = max(1, holding)

    def full(self, records: int, size: int) -> bool:
        """Has a lane that holds this much reached its share?"""
        return records * self._lanes >= self.records_limit or size * self._lanes >= self.bytes_limit

    @property
    def overfull(self) -> bool:
        """Do all together hold more than what one poll too many may bring?"""
        return self.records > OVERFULL * self.records_limit or self.bytes > OVERFULL * self.bytes_limit

    def roomy(self, records: int, size: int) -> bool:
        """Is a lane that holds this much down to half of its share?"""
        return records * self._lanes * 2 <= self.records_limit and size * self._lanes * 2 <= self.bytes_limit
