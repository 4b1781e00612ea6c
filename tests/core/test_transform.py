"""Transforms: what a template makes of an event, and that nothing of an event steers the request."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import limits, rule
from eventyard.core.errors import InvalidRule
from eventyard.core.network import parse_url
from eventyard.core.rule import Alike, RuleRecord, Status
from eventyard.core.target import HttpTarget, compiled_transform
from eventyard.core.transform import TransformFailed
from eventyard.core.transform.shaped import Shaped, address
from eventyard.core.transform.template import Compiled
from tests.support.builders import URL, a_rule_document

EVENT = (
    b'{"specversion":"1.0","id":"e1","source":"/shop","type":"order.paid","data":{"id":"A 7/x","total":1.50,'
    b'"big":12345678901234567890,"items":[{"sku":"s1"},{"sku":"s2"}],"tags":["a","b&c"],"none":null,"ok":true,'
    b'"quote":"say \\"hi\\"\\n","evil":"x\\r\\nhost: evil","up":"..","dotted":"../../admin","slash":"a/b","empty":""}}'
)
FACTS = {"bus": b'"shop"', "rule": b'"crm"', "delivery": b'"i-1-2-0"', "position": b"2", "attempt": b"1"}


def target(*, url: str = "https://api.example.com/v1?key=1", method: str = "POST", **template: Any) -> HttpTarget:
    document = {"url": url, "method": method, "transform": {"template": template}}
    return msgspec.json.decode(json.dumps(document), type=HttpTarget)


def shaped(event: bytes = EVENT, **template: Any) -> Shaped:
    compiled = compiled_transform(target(**template))
    assert isinstance(compiled, Compiled)
    return compiled.shape(event, FACTS)


def body(written: str, paths: dict[str, Any], **more: Any) -> bytes:
    text = json.dumps({"paths": paths, **more})[:-1] + f', "body": {written}}}'
    document = f'{{"url": "{URL}", "transform": {{"template": {text}}}}}'
    compiled = compiled_transform(msgspec.json.decode(document, type=HttpTarget))
    assert isinstance(compiled, Compiled)
    made = compiled.shape(EVENT, FACTS).body
    assert made is not None
    return made


def failure(event: bytes = EVENT, **template: Any) -> str:
    with pytest.raises(TransformFailed) as caught:
        shaped(event, **template)
    return str(caught.value)


def refusal(**http: Any) -> InvalidRule:
    with pytest.raises(InvalidRule) as caught:
        rule.parse(a_rule_document(target={"http": {"url": URL, **http}}))
    return caught.value


# The body


def test_a_text_that_is_one_placeholder_becomes_the_value_as_it_is_spelt() -> None:
    made = body('{"total": "<total>", "big":"<big>","all": "<items>", "no": "<none>"}', PATHS)
    assert made == b'{"total":1.50,"big":12345678901234567890,"all":[{"sku":"s1"},{"sku":"s2"}],"no":null}'


def test_among_other_text_a_value_becomes_text() -> None:
    made = body('["order <id> of <total>: <ok> <none> <tags>", "<quote>!", "a << b"]', PATHS)
    assert json.loads(made) == ['order A 7/x of 1.50: true null ["a","b&c"]', 'say "hi"\n!', "a < b"]


def test_what_has_no_placeholder_is_sent_as_it_is_spelt() -> None:
    made = body('{"a": 1.0e2, "b" : [true, null, {}, []], "é<<": "\\u00e9"}', {})
    assert made == '{"a":1.0e2,"b":[true,null,{},[]],"é<":"é"}'.encode()


PATHS: dict[str, Any] = {name: f"data.{name}" for name in ("id", "total", "big", "items", "tags", "none", "ok", "quote")}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("type", b'"order.paid"'),
        ("data.items[1].sku", b'"s2"'),
        ("@event", EVENT),
        ("@delivery", b'"i-1-2-0"'),
        ("@position", b"2"),
        ({"path": "data.nothing", "default": {"n": 1.0}}, b'{"n": 1.0}'),
        ({"path": "data.total", "default": 7}, b"1.50"),
        ({"path": "data.none", "default": 7}, b"null"),
    ],
)
def test_a_path_finds(path: Any, value: bytes) -> None:
    assert body('"<it>"', {"it": path}) == value


@pytest.mark.parametrize("path", ["nothing", "data.items[2]", "data.items.sku", "data.total.x", "type.x", "data[0]", "type[0]"])
def test_what_is_not_there_fails_and_names_it(path: str) -> None:
    assert failure(paths={"it": path}, body={"a": ["<it>"]}) == f"body: found nothing at {path}"


def test_without_a_body_there_is_none() -> None:
    assert shaped(paths={"id": "id"}, headers={"idempotency-key": "<id>"}) == Shaped(headers=(("idempotency-key", "e1"),))


def test_a_form_and_a_text() -> None:
    form = shaped(
        paths=PATHS, content_type="application/x-www-form-urlencoded", body={"to": "<id>", "tag": "<tags>", "no": "<none>"}
    )
    assert (form.body, form.content_type) == (b"to=A+7%2Fx&tag=a&tag=b%26c", "application/x-www-form-urlencoded")
    text = shaped(paths=PATHS, content_type="text/plain; charset=utf-8", body="<id> \u00e9 <quote>")
    assert text.body == 'A 7/x \u00e9 say "hi"\n'.encode()


# Size


def test_a_body_up_to_the_limit_is_made_and_one_byte_more_is_not() -> None:
    room = limits.TRANSFORMED_BYTES_MAX - 2

    def event(length: int) -> bytes:
        return b'{"data":"' + b"x" * length + b'"}'

    made = shaped(event(room), paths={"it": "data"}, body="<it>")
    assert made.body is not None
    assert len(made.body) == limits.TRANSFORMED_BYTES_MAX
    assert "more than" in failure(event(room + 1), paths={"it": "data"}, body="<it>")


def test_a_template_that_names_a_large_value_many_times_fails_and_takes_no_memory_for_all() -> None:
    event = b'{"data":"' + b"x" * 500_000 + b'"}'
    assert "more than" in failure(event, paths={"it": "data"}, body=["<it> <it>"] * 1_000)


# Path and query


@pytest.mark.parametrize(
    ("path", "name", "made"),
    [
        ("/orders/<it>", "id", "/orders/A%207%2Fx"),
        ("/orders/<it>/lines", "slash", "/orders/a%2Fb/lines"),
        ("/<it>.json", "total", "/1.50.json"),
        ("/a/<it>", "evil", "/a/x%0D%0Ahost%3A%20evil"),
        ("/a/", "id", "/a/"),
    ],
)
def test_a_value_is_one_segment(path: str, name: str, made: str) -> None:
    assert shaped(paths={"it": f"data.{name}"}, path=path).path == made


@pytest.mark.parametrize(
    ("path", "name", "why"),
    [
        ("/a/<it>", "up", ". or .."),
        ("/a/<it>/b", "dotted", ". or .."),
        ("/a/.<it>", "dot", ". or .."),
        ("/a/<it>", "twice", ". or .."),
        ("/a/<it>", "parameter", ". or .."),
        ("/a/<it>", "backslash", ". or .."),
        ("/a/<it>", "empty", "empty"),
        ("/a/<it>", "none", "null"),
        ("/a/<it>", "object", "an object"),
        ("/a/<it>", "missing", "nothing at data.missing"),
    ],
)
def test_a_value_that_would_lead_elsewhere_fails(path: str, name: str, why: str) -> None:
    event = json.dumps(
        {
            "data": {
                "up": "..", "dotted": "x/../../admin", "dot": ".", "twice": "%252e%2e/a", "parameter": "..;x/a",
                "backslash": "..\\a", "empty": "", "none": None, "object": {},
            }
        }
    ).encode()  # fmt: skip
    assert why in failure(event, paths={"it": f"data.{name}"}, path=path)


def test_a_query_leaves_null_out_and_repeats_for_an_array() -> None:
    made = shaped(paths=PATHS, query={"to": "<id>", "tag": "<tags>", "no": "<none>", "a b": "x=<total>&"})
    assert made.query == "to=A%207%2Fx&tag=a&tag=b%26c&a%20b=x%3D1.50%26"
    assert failure(paths=PATHS, query={"it": "<items>"}) == ("query/it: found an object; wanted text, a number or a boolean")
    assert "null" in failure(paths=PATHS, query={"it": "x<none>"})


def test_path_and_query_go_behind_those_of_the_url() -> None:
    made = Shaped(path="/a", query="b=1")
    assert address("https://api.example.com:8443/v1/?key=1", made) == "https://api.example.com:8443/v1/a?key=1&b=1"
    assert address("https://api.example.com", made) == "https://api.example.com/a?b=1"
    assert address("https://api.example.com/v1", Shaped(query="b=1")) == "https://api.example.com/v1?b=1"
    with pytest.raises(TransformFailed, match="URL of"):
        address("https://api.example.com", Shaped(path="/" + "a" * limits.TARGET_URL_LENGTH_MAX))


@given(st.text(), st.text())
def test_whatever_an_event_says_host_scheme_and_base_path_stay(segment: str, parameter: str) -> None:
    event = msgspec.json.encode({"data": {"a": segment, "b": parameter}})
    http = target(paths={"a": "data.a", "b": "data.b"}, path="/orders/<a>/x", query={"q": "<b>"})
    compiled = compiled_transform(http)
    assert isinstance(compiled, Compiled)
    try:
        made = address(http.url, compiled.shape(event, FACTS))
    except TransformFailed:
        return
    url = parse_url(made)
    assert (url.scheme, url.host, url.port) == ("https", "api.example.com", 443)
    path, _, query = url.text.partition("https://api.example.com")[2].partition("?")
    assert path.startswith("/v1/orders/")
    assert path.count("/") == 4
    assert query.startswith("key=1&q=")
    assert query.count("&") == 1


# Headers


def test_a_header_that_http_does_not_carry_fails_and_is_not_told() -> None:
    told = failure(paths={"it": "data.evil"}, headers={"x-id": "<it>"})
    assert told == "headers/x-id: found what no header can hold; wanted printable ASCII, no space at either end"
    assert "no header" in failure(paths={"it": "data.empty"}, headers={"x-id": "<it>"})
    assert shaped(paths={"it": "data.none"}, headers={"x-id": "<it>"}).headers == ()


@given(st.text(min_size=1))
def test_no_value_ends_a_header(text: str) -> None:
    try:
        made = shaped(msgspec.json.encode({"data": text}), paths={"it": "data"}, headers={"x-id": "<it>"})
    except TransformFailed:
        return
    assert made.headers == (("x-id", text),)
    assert text.isascii()
    assert text.isprintable()


# What is refused when it is saved


@pytest.mark.parametrize(
    ("template", "at", "found"),
    [
        ({"paths": {"id": "data..id"}}, "/paths/id", "data..id"),
        ({"paths": {"id": "data.x[a]"}}, "/paths/id", "data.x[a]"),
        ({"paths": {"a b": "data"}}, "/paths/a b", "a b"),
        ({"paths": {"it": "@secret"}}, "/paths/it", "@secret"),
        ({"paths": {"it": "a." * 64 + "a"}}, "/paths/it", "65 steps"),
        ({"paths": {f"p{number}": "id" for number in range(101)}}, "/paths", "101 paths"),
        ({"paths": {"order": "id"}, "body": {"a": ["<ordr>"]}}, "/body/a/0", "<ordr>"),
        ({"body": {"a/b": "1 < 2"}}, "/body/a~1b", 'a "<" at character 2'),
        ({"paths": {"id": "id"}, "body": {"<id>": 1}}, "/body/<id>", "a placeholder in the name"),
        ({"body": 1, "content_type": "text/plain"}, "/body", "another kind of body"),
        ({"body": "x", "content_type": "application/x-www-form-urlencoded"}, "/body", "another kind of body"),
        ({"body": "x", "content_type": "json"}, "/content_type", "json"),
        ({"body": "x", "content_type": "text/plain; charset=latin-1"}, "/content_type", "latin-1"),
        ({"path": "orders"}, "/path", "orders"),
        ({"path": "//evil.example/"}, "/path", "empty segment"),
        ({"path": "/a/../b"}, "/path", ".."),
        ({"path": "/a/%2e%2e/b"}, "/path", ".."),
        ({"path": "/a?b=1"}, "/path", "cannot stand"),
        ({"path": "/a#b"}, "/path", "cannot stand"),
        ({"path": "/é"}, "/path", "cannot stand"),
        ({"query": {"a": "<b>"}}, "/query/a", "<b>"),
        ({"query": {str(number): "" for number in range(101)}}, "/query", "101"),
        ({"headers": {"host": "evil"}}, "/headers/host", "host"),
        ({"headers": {"connection": "close"}}, "/headers/connection", "connection"),
        ({"headers": {"content-length": "0"}}, "/headers/content-length", "content-length"),
        ({"headers": {"authorization": "x"}}, "/headers/authorization", "authorization"),
        ({"headers": {"x-tenant": "x"}}, "/headers/x-tenant", "x-tenant"),
        ({"headers": {"X-Id": "x"}}, "/headers/X-Id", "X-Id"),
        ({"headers": {"webhook-id": "x"}}, "/headers/webhook-id", "webhook-id"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_at_its_place(template: dict[str, Any], at: str, found: str) -> None:
    error = refusal(headers={"x-tenant": "acme"}, transform={"template": template})
    assert error.at == "/target/http/transform/template" + at
    assert found in error.found


def test_a_misspelt_name_is_told_with_the_nearest() -> None:
    error = refusal(transform={"template": {"paths": {"order": "id"}, "body": "<ordr>"}})
    assert "perhaps <order>" in error.wanted


def test_a_body_nested_too_deeply_is_refused() -> None:
    nested: Any = "x"
    for _ in range(limits.TRANSFORM_DEPTH_MAX):
        nested = [nested]
    rule.parse(a_rule_document(target={"http": {"url": URL, "transform": {"template": {"body": nested}}}}))
    assert "levels" in refusal(transform={"template": {"body": [nested]}}).found


def test_there_is_exactly_one_kind_of_transform_and_get_has_no_body() -> None:
    assert refusal(transform={}).at == "/target/http/transform"
    assert refusal(method="GET", transform={"template": {"body": {}}}).at == "/target/http/method"
    assert refusal(method="HEAD").at == "/target/http/method"


# As it is kept


def test_a_rule_keeps_its_transform_over_the_store() -> None:
    template = {"paths": {"id": {"path": "data.id", "default": None}}, "body": {"id": "<id>"}}
    parsed, _ = rule.parse(a_rule_document(target={"http": {"url": URL, "method": "PUT", "transform": {"template": template}}}))
    record = RuleRecord(2, "crm", 2, parsed, Status.LIVE, 0, 0)
    again = Alike().kept(msgspec.json.decode(msgspec.json.encode(record), type=RuleRecord))
    assert again == record
    assert json.loads(msgspec.json.encode(again.rule.target))["http"]["transform"] == {"template": template}


def test_a_rule_of_an_older_store_has_none_and_posts() -> None:
    parsed = msgspec.json.decode(
        b'{"url":"http://127.0.0.1:9/","mode":"binary","timeout_s":10.0,"headers":{}}', type=HttpTarget
    )
    assert (parsed.method, parsed.transform) == ("POST", msgspec.UNSET)


def test_two_rules_with_one_address_keep_their_own_methods() -> None:
    alike = Alike()
    found = []
    for method in ("POST", "PUT"):
        parsed, _ = rule.parse(a_rule_document(target={"http": {"url": URL, "method": method}}))
        found.append(alike.kept(RuleRecord(2, "crm", 2, parsed, Status.LIVE, 0, 0)).rule.target.http)
    assert [http.method for http in found if http is not None] == ["POST", "PUT"]
