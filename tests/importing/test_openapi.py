"""An OpenAPI document becomes requests: values compared one by one with what the document says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.errors import BadInput
from harness.importing import Body, Call, Imported, Request, from_openapi, read_document
from harness.importing.reading import document_of

DOCUMENTS = Path(__file__).parent / "documents"
UUID = "00000000-0000-4000-8000-000000000001"


def petstore(**options: object) -> Imported:
    """The pet store, imported."""
    return from_openapi(read_document(DOCUMENTS / "petstore.yaml"), **options)  # type: ignore[arg-type]


def document(paths: object, **more: object) -> Imported:
    """A document of these paths."""
    tree = {"openapi": "3.1.0", "servers": [{"url": "http://127.0.0.1:1"}], "paths": paths, **more}
    return from_openapi(document_of(yaml.safe_dump(tree).encode(), where="d"), all_methods=True)


def refused(paths: object, **more: object) -> str:
    """The one error about a document of these paths."""
    with pytest.raises(BadInput) as caught:
        document(paths, **more)
    return str(caught.value)


def named(imported: Imported, name: str) -> tuple[Request, Call]:
    """A request by its name, and its one call."""
    (request,) = (one for one in imported.requests if one.name == name)
    (call,) = request.steps
    assert isinstance(call, Call)
    return request, call


def schema_value(schema: object) -> object:
    """What is made up for a body of this schema."""
    content = {"application/json": {"schema": schema}}
    _, call = named(document({"/": {"post": {"requestBody": {"content": content}}}}), "/")
    assert call.body is not None
    return call.body.value


def test_the_address_is_the_first_server_with_its_variables_filled() -> None:
    """Its path stands before every path."""
    imported = petstore()
    assert imported.address == "https://eu.pets.example.com"
    assert "the first of 2 servers is taken" in imported.notes
    assert named(imported, "getPet")[1].path == f"/v1/pets/{UUID}"


def test_an_address_wins_over_the_servers() -> None:
    """Its path too, where it has one."""
    assert petstore(address="http://127.0.0.1:8080").address == "http://127.0.0.1:8080"
    assert named(petstore(address="http://127.0.0.1:8080"), "getPet")[1].path == f"/v1/pets/{UUID}"
    assert named(petstore(address="http://127.0.0.1:8080/v2"), "getPet")[1].path == f"/v2/pets/{UUID}"


def test_a_read_is_filled_with_what_is_required() -> None:
    """Parameters of the path item and the operation, a list repeated, the optional one left out, the least success."""
    request, call = named(petstore(), "listPets")
    assert not request.off
    assert request.weight == 1
    assert call == Call(
        method="GET",
        path="/v1/pets?limit=5&born=2024-01-31&tags=small&tags=not%20loud",
        headers={"X-Tenant": "blue", "Authorization": "Bearer {{credentials.bearer}}"},
        status=200,
        remarks=(
            "All pets,\npage by page\n",
            "X-Tenant: the first of the enum",
            "limit: made up",
            "born: made up",
            "tags: the example",
        ),
    )


def test_what_may_change_something_is_off_unless_asked_for() -> None:
    """The reason says how to take it in; credentials that only such requests need are not asked for."""
    imported = petstore()
    assert [one.name for one in imported.requests if not one.off] == ["listPets", "getPet"]
    assert list(imported.credentials) == ["bearer"]
    assert imported.left_out == (
        "createPet, /pets/{petId}, login: it may change something; --all-methods takes it in",
        "putPhoto: its body (image/png) cannot be written here",
    )
    every = petstore(all_methods=True)
    assert [one.name for one in every.requests if one.off] == ["putPhoto"]
    assert every.credentials == {
        "bearer": "a bearer token (http)",
        "key": "the API key of the header X-API-Key",
    }


def test_a_body_has_the_required_properties_of_all_of_its_parts() -> None:
    """allOf merged, oneOf first, enum first, a cycle ended by an empty list, nothing read-only, nothing optional."""
    _, call = named(petstore(all_methods=True), "createPet")
    assert call.status == 201
    assert call.body == Body(
        kind="json",
        value={
            "name": "textxx",
            "kind": "cat",
            "age": 0.75,
            "owner": {"email": "someone@example.com"},
            "children": [],
            "shots": ["2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"],
        },
    )


def test_a_form_is_texts_and_braces_of_the_document_are_no_template() -> None:
    """An empty alternative of security asks for nothing; a redirect may be what is documented."""
    _, call = named(petstore(all_methods=True), "login")
    assert call.body == Body(kind="form", value={"user": "{{{{jo}}", "remember": "true"})
    assert call.headers == {}
    assert call.status == 302


def test_security_of_the_operation_wins() -> None:
    """An empty one asks for nothing."""
    imported = petstore(all_methods=True)
    assert named(imported, "getPet")[1].headers == {}
    assert named(imported, "/pets/{petId}")[1].headers == {"X-API-Key": "{{credentials.key}}"}


@pytest.mark.parametrize(
    ("scheme", "headers", "query"),
    [
        ({"type": "http", "scheme": "Basic"}, {"Authorization": "Basic {{credentials.my_key}}"}, {}),
        ({"type": "oauth2", "flows": {}}, {"Authorization": "Bearer {{credentials.my_key}}"}, {}),
        ({"type": "apiKey", "in": "query", "name": "k"}, {}, {"k": "{{credentials.my_key}}"}),
        ({"type": "apiKey", "in": "cookie", "name": "c"}, {"Cookie": "c={{credentials.my_key}}"}, {}),
    ],
)
def test_each_kind_of_proof_has_its_place(scheme: object, headers: object, query: object) -> None:
    """The name of the scheme becomes a column."""
    found = document({"/": {"get": {}}}, security=[{"my-key": []}], components={"securitySchemes": {"my-key": scheme}})
    _, call = named(found, "/")
    assert (call.headers, call.query) == (headers, query)
    assert list(found.credentials) == ["my_key"]


def test_cycles_end_and_what_has_no_end_is_off() -> None:
    """A nullable parent is null, a list of children empty; a schema that is only itself has no value."""
    imported = from_openapi(read_document(DOCUMENTS / "cycles.json"), all_methods=True)
    assert imported.address == "http://127.0.0.1:8080"
    assert named(imported, "addNode")[1].body == Body(
        kind="json", value={"parent": None, "children": [], "label": "leaf"}
    )
    assert named(imported, "endless")[0].off == "a schema requires itself without end, or too much: no value fits"
    assert named(imported, "oneNode")[1].path == "/api/nodes/11/1"
    assert named(imported, "/nodes")[1].status == "2xx"
    assert imported.notes[1] == "made up, so put in what your system has: id of oneNode, kind of oneNode"


def test_a_schema_that_fans_out_is_off_and_takes_no_time() -> None:
    """Ten levels of ten required properties each would be 10^10 values."""
    levels = {
        f"L{n}": {"required": list("abcdefghij"), "properties": {a: {"$ref": f"#/x/L{n + 1}"} for a in "abcdefghij"}}
        for n in range(10)
    }
    content = {"application/json": {"schema": {"$ref": "#/x/L0"}}}
    imported = document({"/": {"get": {}, "post": {"requestBody": {"content": content}}}}, x={**levels, "L10": {}})
    assert "or too much" in named(imported, "/ (POST)")[0].off


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 2),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "minimum": 11, "multipleOf": 5}, 15),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "exclusiveMinimum": 2, "exclusiveMaximum": 3}, 2.5),
        ({"type": "string"}, "text"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "format": "uuid"}, UUID),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "object", "properties": {"a": {}}}, {}),
        ({"properties": {"a": {"default": 3}}, "required": ["a"]}, {"a": 3}),
        ({"type": "string", "default": "d", "enum": ["e"]}, "d"),
        ({"type": "string", "enum": ["e", "f"]}, "e"),
        ({"type": "string", "examples": ["x"], "default": "d"}, "x"),
        ({"const": 0}, 0),
        ({"allOf": [{"required": ["a"], "example": {"a": 9}}, {"required": ["b"]}]}, {"a": "text", "b": "text"}),
        ({"allOf": [{"required": ["a"], "example": {"a": 9}}], "description": "d"}, {"a": 9}),
        (
            {"properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a"], "oneOf": [{"required": ["b"]}]},
            {"b": 2, "a": 1},
        ),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        (
            {"allOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"b": {"const": 2}}},
            {"a": "text", "b": 2},
        ),
    ],
)
def test_a_value_fits_its_schema(schema: object, value: object) -> None:
    """Examples first, then the default, then the enum, then the least that is allowed."""
    assert schema_value(schema) == value


def test_a_body_that_is_no_json_and_headers_of_its_own() -> None:
    """Text as text, JSON of another name with its Content-Type, cookies in one header."""
    paths = {
        "/t": {"post": {"requestBody": {"content": {"text/csv": {"example": "a,b\n"}}}}},
        "/j": {"put": {"requestBody": {"content": {"application/merge-patch+json": {"example": [1]}}}}},
        "/c": {"get": {"parameters": [{"name": n, "in": "cookie", "required": True, "example": n} for n in "ab"]}},
    }
    imported = document(paths)
    assert named(imported, "/t")[1].body == Body(kind="body", value="a,b\n")
    assert named(imported, "/t")[1].headers == {"Content-Type": "text/csv"}
    assert named(imported, "/j")[1].body == Body(kind="json", value=[1])
    assert named(imported, "/j")[1].headers == {"Content-Type": "application/merge-patch+json"}
    assert named(imported, "/c")[1].headers == {"Cookie": "a=a; b=b"}


def test_names_are_unique_and_paths_encoded() -> None:
    """The path is the name where there is no operationId; two operations of one path differ by their method."""
    imported = document({"/a b/{x}": {"get": {"parameters": [
        {"name": "x", "in": "path", "required": True, "example": "1/2 ä"}]}, "head": {}}})  # fmt: skip
    assert [one.name for one in imported.requests] == ["/a b/{x}", "/a b/{x} (HEAD)"]
    assert named(imported, "/a b/{x}")[1].path == "/a%20b/1%2F2%20%C3%A4"


def test_an_operation_with_a_server_of_its_own_is_off() -> None:
    """It would go to the wrong host."""
    servers = [{"url": "http://other"}]
    imported = document({"/": {"get": {}, "head": {"servers": servers}}})
    assert named(imported, "/ (HEAD)")[0].off == "it has a server of its own: http://other"


def test_what_an_experiment_cannot_hold_is_off() -> None:
    """A number of twenty digits, a header that is not ASCII."""
    header = {"name": "X", "in": "header", "required": True, "example": "ä"}
    content = {"application/json": {"example": 10**19}}
    imported = document(
        {"/": {"get": {}, "post": {"requestBody": {"content": content}}, "head": {"parameters": [header]}}}
    )
    assert named(imported, "/ (POST)")[0].off.startswith("a value is too long, too deep or too large a number")
    assert named(imported, "/ (HEAD)")[0].off == "a header cannot be sent: it is not of printable ASCII, or too long"


def test_a_document_without_operations_or_none_that_can_be_taken_in_is_refused() -> None:
    """The second says how to take them in."""
    assert refused({}) == "d #/paths: the document has no operations (expected paths with get, post, ...)"
    only = b"openapi: 3.0.0\npaths: {/: {post: {}, delete: {}}}\n"
    with pytest.raises(BadInput) as caught:
        from_openapi(document_of(only, where="d"))
    assert str(caught.value) == (
        "d #/paths: no operation can be taken in, of 2: it may change something; --all-methods takes it in"
    )


def test_a_server_that_is_no_url_is_told() -> None:
    """With its place."""
    said = refused({"/": {"get": {}}}, servers=[{"url": "http://[/"}])
    assert said == "d #/servers/0/url: expected a URL, got 'http://[/': Invalid IPv6 URL"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("#/components/nope", "$ref #/components/nope leads nowhere: there is no 'components'"),
        ("other.yaml#/x", "$ref other.yaml#/x leads out of the document"),
        ("#/paths/~1/get/parameters/0", "$ref #/paths/~1/get/parameters/0 leads back to itself"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_with_its_place(reference: str, message: str) -> None:
    """A JSON pointer to where it stands."""
    said = refused({"/": {"get": {"parameters": [{"$ref": reference}]}}})
    assert message in said
    assert "#/paths/~1/get/parameters/0" in said


def test_aliases_that_multiply_or_are_a_circle_are_no_example() -> None:
    """A few lines of YAML can stand for more values than fit in memory ("billion laughs"), or for a list of itself."""
    many: object = "ha"
    for _ in range(40):
        many = {"one": many, "two": many}
    circle: list[object] = []
    circle.append(circle)
    for example in (many, circle):
        body = {"requestBody": {"content": {"application/json": {"example": example}}}}
        found = document({"/": {"post": body}, "/fine": {"get": {}}})
        assert "no value fits" in named(found, "/")[0].off
