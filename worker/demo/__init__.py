"""``writeback demo``: the main job at work on this machine, reckoned to the last event."""
