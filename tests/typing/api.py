"""Checked by mypy, never run: what the types of pq promise to scripts."""

from __future__ import annotations

from typing import Any, assert_type

import pq

crm = pq.connect("CRM")
assert_type(crm, pq.Handle)
assert_type(pq.connect(789), pq.Handle)
assert_type(crm.add("contact", {"email": "x"}, name="y"), pq.Receipt)
assert_type(crm.update("contact", id=1, timeout=True), pq.Receipt)
assert_type(crm.upsert("contact", searchfield="email", searchterm="x"), pq.Receipt)
assert_type(crm.delete("contact", id=1, timeout=2.5), pq.Receipt)
assert_type(crm.add("contact")["status"], Any)
assert_type(crm.get("contact", id=1), dict[str, Any])
assert_type(crm.findone("contact", searchfield="email", searchterm="x"), dict[str, Any])
assert_type(crm.list("contact", bookmark=None), dict[str, Any])
assert_type(next(crm.records("contact")), dict[str, Any])
assert_type(crm.apicall("path", method="post", body={}), dict[str, Any])
assert_type(pq.list_connections(), list[dict[str, Any]])
warehouse = pq.dbconnect(pq.DW_NAME)
assert_type(warehouse.insert("shop", "product", {"id": 1}), int)
assert_type(warehouse.delete("shop", "product", id=1), int)
assert_type(warehouse.list_tables("shop"), list[str])
assert_type(pq.wait([crm.add("contact", name="x")]), pq.Outcomes)
crm.add("contact", "no dict")  # type: ignore[arg-type]
crm.add()  # type: ignore[call-arg]
