"""`eventyard transform test` against a running server."""

import json
from pathlib import Path

from tests.support.commands import Command

RULE = """
pattern: {type: [order.paid]}
target:
  http:
    url: http://127.0.0.1:9005/v1
    method: PUT
    headers: {x-tenant: acme}
    transform:
      template:
        paths: {id: data.id, total: data.total}
        path: /orders/<id>
        body: {amount: "<total>", currency: EUR}
"""


def test_a_rule_in_a_file_shows_the_request_that_it_makes(eventyard: Command, tmp_path: Path) -> None:
    file = tmp_path / "rule.yaml"
    file.write_text(RULE)
    ended = eventyard("transform", "test", str(file), "--event", '{"data": {"id": "a b", "total": 1.50}}')
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "PUT http://127.0.0.1:9005/v1/orders/a%20b",
        "content-type: application/json",
        "x-tenant: acme",
        "",
        '{"amount":1.50,"currency":"EUR"}',
    ]


def test_a_transform_alone_is_tried_and_one_that_fails_is_a_no(eventyard: Command) -> None:
    transform = json.dumps({"template": {"paths": {"id": "data.id"}, "path": "/<id>"}})
    taken = eventyard("transform", "test", "-", "--event", '{"data": {"id": 7}}', stdin=transform)
    assert (taken.code, taken.out.splitlines()[0]) == (0, "POST https://api.example.com/7")
    failed = eventyard("transform", "test", "-", "--event", '{"data": {"id": ".."}}', "--json", stdin=transform)
    assert (failed.code, failed.documents[0]["request"]) == (1, None)
    assert failed.documents[0]["failure"] == "path: found . or .. for a segment; wanted a path that goes only down"


def test_one_that_cannot_be_used_is_refused_at_its_place(eventyard: Command) -> None:
    ended = eventyard("transform", "test", "-", "--event", "{}", stdin='{"template": {"body": "<id>"}}')
    assert ended.code == 3
    assert "/target/http/transform/template/body" in ended.err


def test_a_rule_with_a_transform_is_applied_compared_and_exported(eventyard: Command, bus: str, tmp_path: Path) -> None:
    file = tmp_path / "rule.yaml"
    file.write_text(f"name: crm\nbus: {bus}\nowner: me\n{RULE}")
    assert eventyard("apply", "-f", str(file), "--yes").code == 0
    assert eventyard("apply", "-f", str(file), "--dry-run").code == 0
    file.write_text(file.read_text().replace("currency: EUR", "currency: USD"))
    changed = eventyard("apply", "-f", str(file), "--dry-run")
    assert changed.code == 6
    assert "target.http.transform.template.body.currency" in changed.out
    out = tmp_path / "out"
    assert eventyard("export", "--bus", bus, "-o", str(out)).code == 0
    text = "".join(path.read_text() for path in out.rglob("crm.*"))
    assert "/orders/<id>" in text
    assert "PUT" in text
