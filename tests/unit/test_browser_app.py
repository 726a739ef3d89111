"""What all pages share: forms of an answer, arguments, failures, counts."""

from typing import Any

import pytest
from flask import Blueprint, Response, abort
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from kato_exporter.browser.answers import answer
from kato_exporter.browser.app import create_app
from kato_exporter.browser.arguments import (
    choice_argument,
    integer_argument,
    key_argument,
    text_argument,
)
from kato_exporter.browser.exports import Export
from kato_exporter.browser.failures import name_in_failures
from kato_exporter.browser.home import Figure, Subject, home_pages
from kato_exporter.stores.errors import QueryError, StoreError


def broken() -> Response:
    """Fail as code fails."""
    raise RuntimeError("secret-of-the-inside")


@pytest.fixture
def client() -> FlaskClient:
    """Give a client of an application with a page of each kind."""
    pages = Blueprint("pages", __name__)

    @pages.get("/listing")
    def listing() -> Response:
        rows = [{"name": "a"}, {"name": "b"}]
        export = Export(name="things", columns=("name",), rows=lambda: iter(rows))
        return answer("error.html", {"status": 200, "reason": "fine"}, export=export)

    @pages.get("/arguments")
    def arguments() -> Response:
        facts: dict[str, Any] = {
            "text": text_argument("text", most=5),
            "n": integer_argument("n", default=7, least=-1, most=10),
            "sort": choice_argument("sort", ("name", "age"), default="name"),
            "after": key_argument("after"),
        }
        return answer("error.html", facts)

    @pages.get("/down")
    def down() -> Response:
        raise StoreError("Connection refused")

    @pages.get("/refused")
    def refused() -> Response:
        raise QueryError("not permitted")

    @pages.get("/gone")
    def gone() -> Response:
        abort(404, "There is no session <b>x</b>.")

    pages.add_url_rule("/fault", view_func=broken)
    return create_app([pages], [], export_rows=10).test_client()


def test_a_page_has_twins(client: FlaskClient) -> None:
    """By the URL or by Accept; a listing as a download too."""
    assert "text/html; charset=utf-8" == client.get("/listing").content_type
    assert {"status": 200, "reason": "fine"} == client.get("/listing?format=json").json
    accepted = client.get("/listing", headers={"Accept": "application/json"})
    assert "application/json" == accepted.content_type
    download = client.get("/listing?format=jsonl")
    assert '{"name": "a"}\n{"name": "b"}\n' == download.text
    assert "attachment; filename=things.jsonl" == download.headers["Content-Disposition"]
    assert "name\r\na\r\nb\r\n" == client.get("/listing?format=csv").text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/listing?format=xml", "format=xml: there is no such form; give one of html, json"),
        ("/arguments?format=csv", "format=csv: only listings have it; give html or json"),
        ("/arguments?text=123456", "text=123456: give at most 5 characters"),
        ("/arguments?text=a%00b", "without the character NUL"),
        ("/arguments?n=11", "n=11: give a whole number from -1 to 10"),
        ("/arguments?n=1e1", "n=1e1: give a whole number from -1 to 10"),
        ("/arguments?n=" + "9" * 150, "give a whole number"),
        ("/arguments?sort=size", "sort=size: give one of name, age"),
        ("/arguments?after=!!", "after=!!: it comes from a link to a next page"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_right(
    client: FlaskClient, path: str, words: str
) -> None:
    """The message names the argument, what was given, and what to give."""
    response = client.get(path)

    assert 400 == response.status_code
    assert words in response.text.replace("&#39;", "'")


def test_arguments_have_defaults(client: FlaskClient) -> None:
    """What is not given, or left empty in a form, counts as not given."""
    expected = {"text": "", "n": 7, "sort": "name", "after": None}

    assert expected == client.get("/arguments?text=+&n=&sort=&after=&format=json").json


def test_a_store_that_is_down_says_so_and_offers_a_retry(client: FlaskClient) -> None:
    """503 with Retry-After, a link to the same page, and a twin."""
    response = client.get("/down?x=1")

    assert 503 == response.status_code
    assert "5" == response.headers["Retry-After"]
    assert "The store gives no answer: Connection refused" in response.text
    assert 'href="/down?x=1">Try again' in response.text
    twin = client.get("/down?format=json").json
    assert twin is not None
    assert "Service Unavailable" == twin["error"]


def test_pages_of_a_store_name_it() -> None:
    """Who reads that nothing answers also reads who does not."""

    def down() -> Response:
        raise StoreError("Connection refused")

    pages = name_in_failures(Blueprint("sessions", __name__), "Redis")
    pages.add_url_rule("/down", view_func=down)
    client = create_app([pages], [], export_rows=10).test_client()

    assert "Redis gives no answer: Connection refused" in client.get("/down").text


def test_a_refused_question_is_no_outage(client: FlaskClient) -> None:
    """502, as the store itself answers."""
    assert 502 == client.get("/refused").status_code
    assert "The store refused this question: not permitted" in client.get("/refused").text


def test_a_fault_of_ours_shows_nothing_of_the_inside(client: FlaskClient) -> None:
    """A reference leads to the log; the page has neither the message nor a trace."""
    response = client.get("/fault")

    assert 500 == response.status_code
    assert "The log has it under" in response.text
    assert "secret-of-the-inside" not in response.text


def test_failures_are_escaped_and_typed(client: FlaskClient) -> None:
    """Also where somebody asked for a download."""
    assert "There is no session &lt;b&gt;x&lt;/b&gt;." in client.get("/gone").text
    assert "text/plain; charset=utf-8" == client.get("/gone?format=csv").content_type
    assert 404 == client.get("/nowhere").status_code
    assert 405 == client.post("/gone").status_code
    assert "GET" in client.post("/gone").headers["Allow"]


def test_requests_are_counted_by_route(client: FlaskClient) -> None:
    """No path, and so no id, gets into a label."""
    client.get("/gone")
    client.get("/nowhere/at/all")
    counted = {
        (each.labels["route"], each.labels["status"]): each.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for each in family.samples
        if each.name == "kato_browser_requests_total"
    }

    assert {("/gone", "404"): 1, ("(none)", "404"): 1} == counted


def subject(store: str, figures: Any) -> Subject:
    """Give a store for the first page."""
    return Subject(
        title=store.title(), store=store, address=f"{store}://h", links=(), figures=figures
    )


def test_home_shows_each_store_by_itself() -> None:
    """One that is down says why; the others are whole, and an unknown figure is left out."""

    def refuse() -> list[Figure]:
        raise StoreError("Connection refused")

    figures = [Figure("keys", 12_345), Figure("memory", None, "bytes"), Figure("of", 0)]
    pages = home_pages([subject("redis", lambda: figures), subject("qdrant", refuse)], patience=5)
    client = create_app([pages], [], export_rows=10).test_client()
    page = client.get("/").text
    stores = (client.get("/?format=json").json or {})["stores"]

    assert "12,345" in page
    assert "memory" not in page
    assert "Connection refused" in page
    assert [True, False] == [store["up"] for store in stores]


def test_home_without_stores_says_what_to_set() -> None:
    """An empty page would help nobody."""
    client = create_app([home_pages([], patience=1)], [], export_rows=10).test_client()

    assert "KATO_HOST" in client.get("/").text
