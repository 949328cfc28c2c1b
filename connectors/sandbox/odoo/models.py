"""The models of the sandbox's Odoo: a small part of the real ones, with the fields that scripts write."""

from __future__ import annotations

from typing import Any, Final

KEPT: Final = frozenset({"id", "display_name", "create_date", "write_date"})
"""A write of these is answered with true, and changes nothing."""


def _field(kind: str, relation: str = "", **more: Any) -> dict[str, Any]:
    return {"type": kind, "readonly": False, "required": False, **({"relation": relation} if relation else {}), **more}


EVERY: Final = {
    "id": _field("integer", readonly=True),
    "display_name": _field("char", readonly=True),
    "create_date": _field("datetime", readonly=True),
    "write_date": _field("datetime", readonly=True),
}
_STATES: Final = ["not_paid", "in_payment", "paid", "partial", "reversed"]
MODELS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "res.partner": {
        "name": _field("char", required=True),
        "email": _field("char"),
        "active": _field("boolean"),
        "is_company": _field("boolean"),
        "country_id": _field("many2one", "res.country"),
        "category_id": _field("many2many", "res.partner.category"),
        "ref": _field("char"),
    },
    "res.partner.category": {"name": _field("char", required=True)},
    "res.country": {"name": _field("char", required=True), "code": _field("char")},
    "ir.model.data": {
        "module": _field("char"),
        "name": _field("char"),
        "model": _field("char"),
        "res_id": _field("integer"),
    },
    "res.users": {"name": _field("char"), "login": _field("char")},
    "product.template": {
        "name": _field("char", required=True),
        "list_price": _field("float"),
        "default_code": _field("char"),
        "barcode": _field("char"),
        "active": _field("boolean"),
        "sale_ok": _field("boolean"),
    },
    "product.product": {"name": _field("char", required=True), "list_price": _field("float")},
    "account.move": {
        "name": _field("char"),
        "move_type": _field("selection", selection=["entry", "out_invoice", "out_refund", "in_invoice"]),
        "partner_id": _field("many2one", "res.partner"),
        "invoice_date": _field("date"),
        "invoice_date_due": _field("date"),
        "narration": _field("html"),
        "ref": _field("char"),
        "state": _field("selection", selection=["draft", "posted", "cancel"], readonly=True),
        "payment_state": _field("selection", selection=_STATES, readonly=True),
        "invoice_line_ids": _field("one2many", "account.move.line"),
    },
    "account.move.line": {
        "move_id": _field("many2one", "account.move"),
        "product_id": _field("many2one", "product.product"),
        "name": _field("char"),
        "quantity": _field("float"),
        "price_unit": _field("float"),
    },
    "sale.order": {
        "partner_id": _field("many2one", "res.partner", required=True),
        "note": _field("html"),
        "date_order": _field("datetime"),
        "order_line": _field("one2many", "sale.order.line"),
    },
    "sale.order.line": {
        "order_id": _field("many2one", "sale.order"),
        "product_id": _field("many2one", "product.product"),
        "product_uom_qty": _field("float"),
    },
}
UNIQUE: Final = {"product.template": "barcode", "res.partner.category": "name"}
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "res.partner": {"active": True, "is_company": False},
    "product.template": {"active": True, "sale_ok": True, "list_price": 1.0},
    "account.move": {"move_type": "entry", "state": "draft", "payment_state": "not_paid"},
}
