"""The page in a browser, as a person meets it."""

import os
import re
import shutil
from threading import Thread

import pytest

from metarec_jax.serve.demo.connections import bind

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no browser: install chromium or google-chrome, for example by apt-get install chromium"
)


@pytest.fixture(scope="module")
def address(demo):
    with bind(0) as server:
        server.listen(demo)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox refuses to start for root, which is who tests run as in a container.
        browser = driver.chromium.launch(executable_path=BROWSER, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page as it is at first; whatever the browser complains of is an error."""
    page, complaints = browser.new_page(viewport={"width": 1280, "height": 900}), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith(address) or complaints.append(request.url))
    page.goto(address)
    playwright.expect(page.locator("#top li")).to_have_count(5)
    yield page
    page.close()
    assert complaints == []


def top(page) -> list[str]:
    return page.locator("#top .title").all_inner_texts()


def test_five_ratings_change_the_list_and_stay(page):
    before = top(page)
    page.fill("#query", "film")
    for number in range(5):
        row = page.locator("#found li").nth(number)
        row.get_by_role("radio", name=re.compile("^5 stars$" if number else "^1 star$")).click()
        playwright.expect(page.locator("#rated li")).to_have_count(number + 1)
    playwright.expect(page.locator("#basis")).to_contain_text("From 5 ratings")
    rated, after = page.locator("#rated .title").all_inner_texts(), top(page)
    assert after != before and not set(rated) & set(after)
    whys = page.locator("#top .why").all_inner_texts()
    assert len(whys) == 5
    assert all(any(f"{title} five stars" in why or f"{title} one star" in why for title in rated) for why in whys)
    playwright.expect(page.locator("#time")).to_contain_text(re.compile(r"answered in [\d.]+ ms"))
    page.locator("#top li").first.hover()
    effects = page.locator("#rated .effect").all_inner_texts()
    assert any(re.fullmatch(r"[+−]\d\.\d\d", effect) for effect in effects)
    page.reload()
    playwright.expect(page.locator("#rated li")).to_have_count(5)
    assert top(page) == after
    page.click("#clear")
    playwright.expect(page.locator("#rated li")).to_have_count(0)
    playwright.expect(page.locator("#top .title")).to_have_text(before)
    assert "#" not in page.url


def test_by_keyboard(page):
    page.keyboard.press("/")
    page.keyboard.type("AMELIE")
    playwright.expect(page.locator("#found li")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#rated li [aria-checked=true]")).to_have_attribute("data-value", "4")
    page.keyboard.press("2")
    playwright.expect(page.locator("#rated li [aria-checked=true]")).to_have_attribute("data-value", "2")
    page.keyboard.press("ArrowUp")
    playwright.expect(page.locator("#query")).to_be_focused()
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#found")).to_be_hidden()
    page.get_by_label("Take back Amélie (2001)").press("Enter")
    playwright.expect(page.locator("#rated li")).to_have_count(0)


def test_an_answer_that_comes_late_leaves_the_focus_where_it_is(page):
    held, holding = [], []
    # Set up before the first search, whose answer shows that it is in force: a browser may take a moment.
    page.route("**/api/search*", lambda route: held.append(route) if holding else route.continue_())
    page.fill("#query", "ameli")
    playwright.expect(page.locator("#found li")).to_have_count(1)
    holding.append(True)
    with page.expect_request("**/api/search*"):
        page.keyboard.press("e")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.locator("#found li").evaluate("row => (row.dataset.old = 'yes')")
    assert len(held) == 1
    held[0].continue_()
    playwright.expect(page.locator("#found li[data-old]")).to_have_count(0)
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#rated li [aria-checked=true]")).to_have_attribute("data-value", "4")


def test_markup_in_a_title_is_text(page, table):
    markup = next(title for title in table.item_titles if "<script>" in title)
    page.fill("#query", "script")
    found = page.locator("#found .title")
    playwright.expect(found).to_have_text(markup)
    page.locator("#found").get_by_role("radio", name="5 stars").click()
    playwright.expect(page.locator("#rated .title")).to_have_text(markup)
    playwright.expect(page.locator("#top .why").first).to_contain_text(markup)
    assert page.locator("main b:not(.bar b), main script, main img").count() == 0
    assert page.title() == "Rate a few, see what follows"


def test_nothing_is_wider_than_a_telephone(page, address):
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(f"{address}#i1=5&i2=1")
    playwright.expect(page.locator("#rated li")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_what_goes_wrong_is_said(browser, address):
    page = browser.new_page()
    page.goto(f"{address}#nothing=5")
    playwright.expect(page.get_by_role("alert")).to_contain_text("there is no item 'nothing'")
    page.click("#clear")
    playwright.expect(page.locator("#top li")).to_have_count(5)
    playwright.expect(page.get_by_role("alert")).to_be_hidden()
    page.route("**/api/recommend", lambda route: route.abort())
    page.locator("#next").get_by_role("radio", name="5 stars").first.click()
    playwright.expect(page.get_by_role("alert")).to_contain_text("Is scripts/demo.sh still running?")
    page.close()
