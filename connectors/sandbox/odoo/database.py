"""What an Odoo database keeps, and how: as a real Odoo 18 did when it was called, its silences included.

A many2one that is given a name is emptied, every text is true, a list is all or nothing, ``load`` says in messages what
is wrong with its rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from connectors.sandbox.odoo.models import DEFAULTS, EVERY, KEPT, MODELS, UNIQUE

READS: Final = frozenset({"read", "search", "search_read", "search_count", "fields_get"})
USER: Final = 2
"""The number of the one user, ``admin``."""
_LINES: Final = {"account.move": ("account.move.line", "move_id"), "sale.order": ("sale.order.line", "order_id")}


class OdooError(Exception):
    """``name``: the dotted class of the exception on the server."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


_DATETIME: Final = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?")


@dataclass
class Database:
    """``call`` is what every API comes to; it raises ``OdooError``, and then nothing of the call is left."""

    records: dict[str, dict[int, dict[str, Any]]]
    external: dict[str, tuple[str, int]]

    @classmethod
    def new(cls) -> Database:
        records: dict[str, dict[int, dict[str, Any]]] = {model: {} for model in MODELS}
        records["res.users"][USER] = {"id": USER, "name": "Administrator", "login": "admin"}
        records["res.country"][57] = {"id": 57, "name": "Germany", "code": "DE"}
        return cls(records, {})

    def call(self, model: str, method: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        if model not in MODELS:
            raise OdooError("odoo.exceptions.UserError", f"Object {model} doesn't exist")
        if method.startswith("_"):
            raise OdooError(
                "odoo.exceptions.AccessError", f"Private methods (such as {method}) cannot be called remotely."
            )
        found: Callable[..., Any] | None = getattr(self, f"do_{method}", None)
        if found is None:
            raise OdooError("builtins.AttributeError", f"The method '{method}' does not exist on the model {model}")
        if method in READS:
            return self._called(found, model, args, named)
        before = deepcopy((self.records, self.external))
        try:
            return self._called(found, model, args, named)
        except OdooError:
            self.records, self.external = before
            raise

    def _called(self, method: Callable[..., Any], model: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        try:
            return method(model, *args, **named)
        except TypeError as error:
            raise OdooError("builtins.TypeError", str(error).replace("Database.do_", "")) from error

    # -- the methods -------------------------------------------------------------------------------------------------

    def do_create(self, model: str, vals_list: Any, context: Any = None) -> Any:  # noqa: ARG002
        one = isinstance(vals_list, dict)
        made = [self._create(model, values) for values in ([vals_list] if one else vals_list)]
        return made[0] if one else made

    def do_write(self, model: str, ids: Any, vals: dict[str, Any], context: Any = None) -> bool:  # noqa: ARG002
        for record in self._existing(model, ids):
            self._store(model, record, vals)
        return True

    def do_unlink(self, model: str, ids: Any, context: Any = None) -> bool:  # noqa: ARG002
        for record in self._existing(model, ids):
            if record.get("state") == "posted":
                raise OdooError("odoo.exceptions.UserError", "You cannot delete a posted entry.")
            del self.records[model][record["id"]]
        self.external = {name: (m, i) for name, (m, i) in self.external.items() if i in self.records[m]}
        return True

    def do_read(self, model: str, ids: Any, fields: Any = None, load: Any = None, context: Any = None) -> list[Any]:  # noqa: ARG002
        wanted = [ids] if isinstance(ids, int) else ids
        records = self._of(model)
        return [self._shown(model, records[one], fields) for one in wanted if one in records]

    def _of(self, model: str) -> dict[int, dict[str, Any]]:
        """External ids are records as well: of ``ir.model.data``."""
        if model != "ir.model.data":
            return self.records[model]
        found: dict[int, dict[str, Any]] = {}
        for number, (external, (of, record)) in enumerate(self.external.items(), 1):
            module, _, name = external.partition(".")
            found[number] = {"id": number, "module": module, "name": name, "model": of, "res_id": record}
        return found

    def do_search(  # noqa: PLR0917 - Odoo's own signature
        self,
        model: str,
        domain: Any = (),
        offset: int = 0,
        limit: int | None = None,
        order: str | None = None,  # noqa: ARG002 - everything is in the order of ids
        context: Any = None,
    ) -> list[int]:
        hidden = "active" in MODELS[model] and (context or {}).get("active_test", True)
        found = [
            number
            for number, record in sorted(self._of(model).items())
            if all(_holds(model, record, leaf) for leaf in domain) and (not hidden or record.get("active", True))
        ]
        return found[offset : None if not limit else offset + limit]

    def do_search_read(self, model: str, domain: Any = (), fields: Any = None, **named: Any) -> list[Any]:
        return self.do_read(model, self.do_search(model, domain or (), **named), fields)

    def do_search_count(self, model: str, domain: Any = (), **named: Any) -> int:
        return len(self.do_search(model, domain, **named))

    def do_fields_get(
        self,
        model: str,
        allfields: Any = None,  # noqa: ARG002
        attributes: Any = None,
        context: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        fields = {**EVERY, **MODELS[model]}
        return {
            name: {key: value for key, value in spec.items() if not attributes or key in attributes}
            for name, spec in fields.items()
        }

    def do_context_get(self, model: str) -> dict[str, Any]:  # noqa: ARG002 - a method of res.users
        return {"lang": "en_US", "tz": "UTC"}

    def do_action_post(self, model: str, ids: Any, context: Any = None) -> bool:  # noqa: ARG002
        """``false`` is success. Posting computes the payment state anew."""
        for move in self._existing(model, ids):
            if move["state"] != "draft":
                raise OdooError("odoo.exceptions.UserError", f"The entry {move.get('name')} must be in draft.")
            if not move.get("partner_id"):
                raise OdooError("odoo.exceptions.UserError", "The field 'Customer' is required.")
            move["state"], move["payment_state"] = "posted", "not_paid"
        return False

    def do_load(self, model: str, fields: Sequence[str], data: Sequence[Sequence[str]], context: Any = None) -> Any:  # noqa: ARG002
        for column in fields:
            name = column.partition("/")[0]
            if name != "id" and name not in MODELS[model]:
                raise OdooError("builtins.ValueError", f"Invalid field name '{name}'")
        before = deepcopy((self.records, self.external))
        ids: list[int] = []
        messages: list[dict[str, Any]] = []
        for number, cells in enumerate(data):
            try:
                ids.append(self._load_row(model, dict(zip(fields, cells, strict=True))))
            except OdooError as error:
                rows = {"from": number, "to": number}
                messages.append({"type": "error", "record": number, "rows": rows, "message": error.message})
        if messages:
            self.records, self.external = before
            return {"ids": False, "messages": messages, "nextrow": 0}
        return {"ids": ids, "messages": [], "nextrow": 0}

    # -- one record --------------------------------------------------------------------------------------------------

    def _load_row(self, model: str, cells: dict[str, str]) -> int:
        external = cells.pop("id", "")
        if external and "." not in external:
            external = f"__import__.{external}"
        values = {column.partition("/")[0]: self._cell(model, column, cell) for column, cell in cells.items()}
        known = self.external.get(external)
        if known is not None and known[0] != model:
            raise OdooError("odoo.exceptions.ValidationError", f"found record of different model {known[0]}")
        if known is not None:
            self._store(model, self.records[model][known[1]], values)
            return known[1]
        made = self._create(model, values)
        if external:
            self.external[external] = (model, made)
        return made

    def _cell(self, model: str, column: str, cell: str) -> Any:
        name, _, by = column.partition("/")
        spec = MODELS[model][name]
        if cell == "":
            return False
        if spec["type"] == "boolean":
            return cell.lower() in {"1", "true", "yes"}
        if spec["type"] in {"many2one", "many2many"}:
            ids = [self._linked(spec["relation"], name, one, by) for one in cell.split(",")]
            return ids[0] if spec["type"] == "many2one" else [[6, 0, ids]]
        return cell

    def _linked(self, relation: str, name: str, cell: str, by: str) -> int:
        if by == ".id":
            found = int(cell) if int(cell) in self.records[relation] else None
        elif by == "id":
            found = self.external.get(cell, ("", None))[1]
        else:
            found = next((n for n, one in self.records[relation].items() if one.get("name") == cell), None)
        if found is None:
            raise OdooError(
                "odoo.exceptions.ValidationError", f"No matching record found for '{cell}' in field '{name}'"
            )
        return found

    def _create(self, model: str, values: Mapping[str, Any]) -> int:
        number = max((*self.records[model], 100 if model == "res.partner" else 0)) + 1
        record = self.records[model][number] = {"id": number, **DEFAULTS.get(model, {})}
        if model == "account.move":
            record["name"] = f"INV/2026/{number:05}"
        self._store(model, record, values)
        for name, spec in MODELS[model].items():
            if spec["required"] and not record.get(name):
                text = "The operation cannot be completed: - Create/update: a mandatory field is not set."
                raise OdooError("odoo.exceptions.ValidationError", f"{text} Model: {model} Field: {name}")
        return number

    def _store(self, model: str, record: dict[str, Any], values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if name in KEPT:
                continue  # true, and nothing changes
            if name not in MODELS[model]:
                raise OdooError("builtins.ValueError", f"Invalid field '{name}' on model '{model}'")
            if name == "payment_state" and record.get("payment_state") == "paid":
                continue
            record[name] = self._stored(model, record, name, value)
        unique = UNIQUE.get(model)
        if unique and record.get(unique):
            others = [n for n, one in self.records[model].items() if one.get(unique) == record[unique]]
            if len(others) > 1:
                raise OdooError("odoo.exceptions.ValidationError", f"Barcode(s) already assigned: {record[unique]}")

    def _stored(self, model: str, record: dict[str, Any], name: str, value: Any) -> Any:  # noqa: C901, PLR0911 - one per type
        spec = MODELS[model][name]
        match spec["type"]:
            case "many2one":
                return self._one(spec["relation"], value)
            case "boolean":
                return bool(value)
            case "float":
                return _number(value)
            case "date":
                return str(value)[:10] if value else False
            case "datetime":
                if value and not _DATETIME.fullmatch(str(value)):
                    raise OdooError(
                        "builtins.ValueError", f"time data {value!r} does not match format '%Y-%m-%d %H:%M:%S'"
                    )
                return value
            case "selection":
                if value and value not in spec["selection"]:
                    raise OdooError("builtins.ValueError", f"Wrong value for {model}.{name}: {value!r}")
                return value
            case "one2many":
                return self._lines(model, record, value)
            case "many2many":
                return [one for command in value or [] if command[0] == 6 for one in command[2]]
            case _:
                return value

    def _one(self, relation: str, value: Any) -> Any:
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if not isinstance(value, int) or not value:
            return False  # a name empties it, without a word
        if value not in self.records[relation]:
            raise _missing(relation, value)
        return value

    def _lines(self, model: str, record: dict[str, Any], commands: Any) -> list[int]:
        line_model, parent = _LINES[model]
        mine = [n for n, line in self.records[line_model].items() if line.get(parent) == record["id"]]
        new = [command[2] for command in commands or [] if command[0] == 0]
        return mine + [self._create(line_model, {**line, parent: record["id"]}) for line in new]

    def _existing(self, model: str, ids: Any) -> list[dict[str, Any]]:
        wanted = [ids] if isinstance(ids, int) else ids
        for one in wanted:
            if one not in self.records[model]:
                raise _missing(model, one)
        return [self.records[model][one] for one in wanted]

    def _shown(self, model: str, record: Mapping[str, Any], fields: Any) -> dict[str, Any]:
        for name in fields or ():
            if name not in MODELS[model] and name not in EVERY:
                raise OdooError("builtins.ValueError", f"Invalid field '{name}' on model '{model}'")
        shown: dict[str, Any] = {"id": record["id"]}
        for name, spec in {**EVERY, **MODELS[model]}.items():
            if name == "id" or (fields and name not in fields):
                continue
            value = record.get("name", "") if name == "display_name" else record.get(name, False)
            if spec["type"] == "many2one" and value:
                value = [value, self.records[spec["relation"]][value].get("name", "")]
            shown[name] = value
        return shown


def _missing(model: str, number: Any) -> OdooError:
    text = f"Record does not exist or has been deleted. (Record: {model}({number},), User: {USER})"
    return OdooError("odoo.exceptions.MissingError", text)


def _number(value: Any) -> float:
    try:
        return round(float(value or 0), 2)
    except ValueError as error:
        raise OdooError("builtins.ValueError", f"could not convert string to float: {value!r}") from error


def _holds(model: str, record: Mapping[str, Any], leaf: Any) -> bool:
    try:
        name, operator, wanted = leaf
    except ValueError as error:
        raise OdooError("builtins.ValueError", "not enough values to unpack (expected 3)") from error
    if name not in MODELS[model] and name not in EVERY:
        raise OdooError("builtins.ValueError", f"Invalid field {model}.{name} in leaf {tuple(leaf)}")
    value = record.get(name, False)
    match operator:
        case "=":
            return bool(value == wanted)
        case "!=":
            return bool(value != wanted)
        case ">":
            return bool(value > wanted)
        case "in":
            return value in wanted
        case "ilike":
            return str(wanted).lower() in str(value).lower()
        case _:
            raise OdooError("builtins.ValueError", f"Invalid operator {operator} in domain term {tuple(leaf)}")
