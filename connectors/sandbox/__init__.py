"""A local SaaS that answers as the vendors do, fails on request, and remembers all it has received.

For whoever has no account, and for the demo, the tests and the benchmarks: ``writeback sandbox``, or
``connectors.sandbox.server.Sandbox`` in process. It is believed as far as the vendors' own SDKs work against it
(``tests/connectors/sandbox``).
"""
