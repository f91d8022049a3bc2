"""The page and its interface, as a WSGI application without any state: whatever is known of a person is in the request.

    GET  /api/about                                 data set, learner, rating scale
    GET  /api/search?q=words                        {"found": [{item, title, count}, ...]}, popular first
    POST /api/recommend {"ratings": [[id, stars], ...]}
        {"rated": [{item, title, stars}, ...], "recommended": [{item, title, prediction, spread, why, influence}, ...],
         "next": [{item, title}, ...], "milliseconds": 7.5}

Items are named by their raw ids, which are strings. `spread` is the standard deviation of the taste (`recommend.py`) or
null, `why` a sentence, `influence` one number a rating in the order of `rated`. What is wrong with a request is said as
{"error": "..."} with a status of 4xx.
"""

import json
import reprlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bottle
import numpy as np

from metarec_jax.data.features.titles import article_first
from metarec_jax.data.table import Ratings
from metarec_jax.serve.demo.connections import SECONDS
from metarec_jax.serve.demo.search import Titles
from metarec_jax.serve.explain import reason
from metarec_jax.serve.recommender import Answer, Recommender

FILES = ("page.css", "page.js", "parts.js", "icon.svg")
BODY = 1 << 20  # bytes of a request
MOST_CHOICES = 10  # ratings to choose from
HOSTS = {"127.0.0.1", "localhost"}
HEADERS = [
    ("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
]


class RequestError(ValueError):
    """A request that cannot be answered; the message says why, to a person."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


def make_app(recommender: Recommender, ratings: Ratings, learner: str) -> Callable:
    """The WSGI application.

    Args:
      recommender: of a learner trained on this table.
      ratings: the table, for ids, titles and the rating scale.
      learner: its name, for people.
    """
    app, index = bottle.Bottle(), Titles(ratings.item_titles, recommender.popularity)
    titles = [article_first(str(title)) for title in ratings.item_titles]
    items = [{"item": str(raw), "title": title} for raw, title in zip(ratings.item_ids, titles, strict=True)]
    place = {item["item"]: number for number, item in enumerate(items)}
    about = {
        "dataset": ratings.name,
        "learner": learner,
        "items": ratings.num_items,
        "choices": choices(ratings.levels),
        "scale": [float(ratings.levels[0]), float(ratings.levels[-1])],
        "capacity": recommender.capacity,
    }

    @app.get("/api/about")
    def _() -> dict[str, Any]:
        return about

    @app.get("/api/search")
    def _() -> dict[str, Any]:
        hits = index.find(bottle.request.query.getunicode("q", ""))
        return {"found": [items[number] | {"count": int(recommender.popularity[number])} for number in hits]}

    @app.post("/api/recommend")
    def _() -> dict[str, Any]:
        body = read_body(bottle.request.environ)
        rated, stars = read_ratings(body, place, about["scale"], recommender.capacity)
        begun = time.perf_counter()
        answer = recommender(rated, stars)
        seconds = time.perf_counter() - begun
        return told(items, rated, stars, answer) | {"milliseconds": round(1000 * seconds, 1)}

    here = Path(__file__).parent
    app.get("/", callback=lambda: bottle.static_file("page.html", here))
    app.get(f"/<name:re:{'|'.join(FILES)}>", callback=lambda name: bottle.static_file(name, here))
    for status in (400, 404, 405, 408, 413, 500):
        app.error(status, callback=_error)
    return guarded(app)


def choices(levels: np.ndarray) -> list[float]:
    """The ratings that a person may choose from: the whole levels, or where those are too few or too many to show, five
    from the lowest to the highest."""
    whole = levels[levels == np.round(levels)]
    return [float(x) for x in (whole if 2 <= len(whole) <= MOST_CHOICES else np.linspace(levels[0], levels[-1], 5))]


def told(items: list[dict[str, str]], rated: list[int], stars: list[float], answer: Answer) -> dict[str, Any]:
    """What the page shows of an answer.

    Args:
      items: [I] what is said of each item.
      rated, stars: what was rated, and how.
      answer: the answer to that.
    """
    titles, recommended = [items[number]["title"] for number in rated], []
    for number, influence in zip(answer.top, answer.influence[:, : len(rated)].tolist(), strict=True):
        if answer.open[number]:
            shown = {
                "prediction": round(float(answer.prediction[number]), 4),
                "spread": None if answer.spread is None else round(float(answer.spread[number]), 4),
                "why": reason(titles, stars, influence),
                "influence": [round(value, 4) for value in influence],
            }
            recommended.append(items[number] | shown)
    return {
        "rated": [items[number] | {"stars": value} for number, value in zip(rated, stars, strict=True)],
        "recommended": recommended,
        "next": [items[number] for number in answer.ask if answer.open[number]],
    }


def read_body(environ: dict[str, Any]) -> bytes:
    """The body of a request.

    Raises:
      RequestError: it does not say how long it is, is too long, or does not come.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit()):
        raise RequestError("the request does not say how long its body is (Content-Length).")
    if len(length) > 12 or int(length) > BODY:
        raise RequestError(f"the body of a request has at most {BODY:,} bytes.", 413)
    try:
        body = environ["wsgi.input"].read(int(length))
    except TimeoutError:
        raise RequestError(f"the body of the request did not come within {SECONDS} seconds.", 408) from None
    if len(body) < int(length):
        raise RequestError(f"the body of the request ends after {len(body):,} of its {int(length):,} bytes.")
    return body


def read_ratings(
    body: bytes, place: dict[str, int], scale: list[float], capacity: int
) -> tuple[list[int], list[float]]:
    """Items and their ratings from the body of a request.

    Args:
      body: JSON.
      place: raw id -> index of the item.
      scale: lowest and highest rating.
      capacity: at most so many ratings.

    Raises:
      RequestError: anything else than {"ratings": [[id, stars], ...]} with known ids, each once, and ratings of the
        scale.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {str(error)[:100]}.") from None
    pairs = request.get("ratings") if isinstance(request, dict) else None
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise RequestError('the body is to read {"ratings": [[id, stars], ...]}.')
    if len(pairs) > capacity:
        raise RequestError(f"{len(pairs)} ratings are too many; {capacity} can be taken in.")
    stars_by_place: dict[int, float] = {}
    for raw, stars in pairs:
        if not isinstance(raw, str) or raw not in place:
            raise RequestError(f"there is no item {reprlib.repr(raw)}; ids are strings, as /api/search gives them.")
        if isinstance(stars, bool) or not isinstance(stars, int | float) or not scale[0] <= stars <= scale[1]:
            raise RequestError(f"{reprlib.repr(stars)} is not a rating from {scale[0]:g} to {scale[1]:g}.")
        if place[raw] in stars_by_place:
            raise RequestError(f"item {reprlib.repr(raw)} is rated twice.")
        stars_by_place[place[raw]] = float(stars)
    return list(stars_by_place), list(stars_by_place.values())


def guarded(app: bottle.Bottle) -> Callable:
    """The application behind a check of the host, with headers that keep others out and errors as JSON.

    A page of another site may point a name of its own to this machine (DNS rebinding) and would then be of the same
    origin; the name is still in the Host header.
    """

    def guard(environ: dict[str, Any], start_response: Callable) -> Any:
        def start(status: str, headers: list, *rest: Any) -> Any:
            return start_response(status, [*headers, *HEADERS], *rest)

        try:
            host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname
        except ValueError:  # not the name of any host
            host = None
        if host in HOSTS:
            return app(environ, start)
        start("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"error": f"ask for {' or '.join(sorted(HOSTS))}."}).encode()]

    app.install(_request_errors)
    return guard


def _request_errors(callback: Callable) -> Callable:
    """A plugin: what a person can mend is an answer, not an accident."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return callback(*arguments, **named)
        except RequestError as error:
            return bottle.HTTPError(error.status, str(error))

    return wrapped


def _error(error: bottle.HTTPError) -> str:
    bottle.response.content_type = "application/json"
    return json.dumps({"error": error.body})
