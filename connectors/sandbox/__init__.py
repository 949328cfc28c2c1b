"""A local SaaS that answers like HubSpot and like Slack, fails on request, and remembers all it has received.

For the demo, the tests and the benchmarks: ``python -m connectors.sandbox --port 0`` or
``connectors.sandbox.server.Sandbox`` in process. It is believed as far as the vendors' own SDKs work against it
(``tests/connectors/test_sandbox_*_sdk.py``).
"""
