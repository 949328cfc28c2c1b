"""Compares what was delivered with what the last refresh brought into the warehouse."""
