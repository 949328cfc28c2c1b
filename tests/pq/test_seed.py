"""The lines of the brief that every user knows, literally."""

from __future__ import annotations

from pq.testing import Write, recorded

ALERT = """
import pq
slack_api = pq.connect("Slack")
hubspot_api = pq.connect("Hubspot")
hubspot_api.add('contact', {"email": "john@acme.com", "name": "John Doe"})
slack_api.add('message', channel = 'QA', text = 'Data quality alert')
"""

ODOO = """
import pq, types
shown = []
st = types.SimpleNamespace(text=shown.append)

Odoo = pq.connect("Odoo") # use your name of the connection

result = Odoo.update("product", id = 1, name = "New product name")
st.text("Result: %s" % result)

Odoo.add("product", name="My product", price=100.05)
Odoo.update("invoice", id=123, payment_state = "in_payment", note = "...")
Odoo.delete("product", id=456)
"""

LOOP = """
import pq
Odoo = pq.connect("Odoo")
rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]

for row in rows:
   Odoo.update("product", id = row["id"], name = row["name"])
"""


def run(script: str) -> tuple[list[Write], dict[str, object]]:
    names: dict[str, object] = {}
    with recorded() as sent:
        exec(compile(script, "seed.txt", "exec"), names)
    return sent, names


def test_add_a_contact_send_a_message() -> None:
    """The two examples at the top."""
    sent, _ = run(ALERT)

    assert sent == [
        Write("Hubspot", "add", "contact", {"email": "john@acme.com", "name": "John Doe"}),
        Write("Slack", "add", "message", {"channel": "QA", "text": "Data quality alert"}),
    ]


def test_write_updates() -> None:
    """The Odoo example; the result prints as the dict it always was."""
    sent, names = run(ODOO)

    assert sent == [
        Write("Odoo", "update", "product", {"id": 1, "name": "New product name"}),
        Write("Odoo", "add", "product", {"name": "My product", "price": 100.05}),
        Write("Odoo", "update", "invoice", {"id": 123, "payment_state": "in_payment", "note": "..."}),
        Write("Odoo", "delete", "product", {"id": 456}),
    ]
    assert names["shown"] == ["Result: {'status': 'success', 'detail': {}}"]


def test_loop_over_rows() -> None:
    """One event per row."""
    sent, _ = run(LOOP)

    assert [write.fields for write in sent] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


def test_what_was_written_stays_as_it_was_when_the_script_changes_its_dict() -> None:
    """A write keeps its values when the script changes the dict afterwards, nested objects included."""
    sent, _ = run("""
import pq
body = {"tags": {"a": 1}}
api = pq.connect("Hubspot")
api.add("contact", body)
body["tags"]["a"] = 2
""")

    assert sent == [Write("Hubspot", "add", "contact", {"tags": {"a": 1}})]
