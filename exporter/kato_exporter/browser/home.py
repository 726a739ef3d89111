"""The first page: what is here, whether it is well, and how much of it there is."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLongError
from dataclasses import dataclass
from typing import Literal

from flask import Blueprint, Response

from kato_exporter.browser.answers import answer
from kato_exporter.stores.deadline import Deadline
from kato_exporter.stores.errors import StoreError

_THREADS = 8


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that is worth knowing of a store; a value of None is unknown, and not shown."""

    name: str
    value: float | str | None
    unit: Literal["number", "bytes", "text"] = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A store as the first page shows it.

    `figures` asks the store; it raises StoreError where that gives no answer. `links` are pages of
    the browser, as text and path.
    """

    title: str
    store: str
    address: str
    links: tuple[tuple[str, str], ...]
    figures: Callable[[], list[Figure]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a look at a store gave; `failure` says why nothing is known of it."""

    title: str
    store: str
    address: str
    up: bool
    failure: str | None
    figures: list[Figure]


def home_pages(subjects: Sequence[Subject], *, patience: float) -> Blueprint:
    """Make the first page; all stores are asked at once, for at most `patience` seconds."""
    pages = Blueprint("home", __name__)
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="home")

    @pages.get("/")
    def home() -> Response:
        deadline = Deadline.after(patience)
        looks = [threads.submit(subject.figures) for subject in subjects]
        sights = [
            _sight(subject, look, deadline) for subject, look in zip(subjects, looks, strict=True)
        ]
        links = {subject.store: subject.links for subject in subjects}
        return answer("home/home.html", {"stores": sights, "links": links})

    return pages


def _sight(subject: Subject, look: Future[list[Figure]], deadline: Deadline) -> Sight:
    figures: list[Figure] = []
    failure = None
    try:
        figures = [each for each in look.result(deadline.remaining) if each.value is not None]
    except StoreError as error:
        failure = str(error)
    except TookTooLongError:
        look.cancel()
        failure = "no answer in time"
    return Sight(
        title=subject.title,
        store=subject.store,
        address=subject.address,
        up=failure is None,
        failure=failure,
        figures=figures,
    )
