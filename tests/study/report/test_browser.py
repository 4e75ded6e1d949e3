"""Both pages in a real browser: phone and desktop, light and dark, with and without JavaScript, by keyboard alone.

Where no Chromium is found the tests are skipped, except in continuous integration, where they fail.
"""

import os
import shutil

import pytest

from tests.study.report.runs import comparison, run
from xai_ext.study.report import bench_report, compare_report

pytestmark = pytest.mark.slow

SCREENS = {
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
    "desktop": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
HOSTILE = "<img src=x onerror=\"document.title='pwned'\">"


def missing(what):
    """Skip, or fail where the tests must not be skipped."""
    message = f"{what} is missing; fix: apt-get install chromium, pip install playwright axe-playwright-python"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        missing("Chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    pages = {"compare": compare_report(comparison()), "bench": bench_report(run())}
    pages["hostile"] = bench_report(run(HOSTILE))
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in pages}


class Visit:
    """An open page, with everything it asked for and said."""

    def __init__(self, browser, url, screen, javascript=True):
        self.context = browser.new_context(java_script_enabled=javascript, **SCREENS[screen])
        self.page = self.context.new_page()
        self.requests, self.messages = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.goto(url, wait_until="load")
        self.url = url

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def foreign(self):
        return [url for url in self.requests if url != self.url and not url.startswith("data:")]


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", ["compare", "bench"])
class TestPage:
    @pytest.mark.parametrize("javascript", [True, False], ids=["js", "no js"])
    def test_it_asks_for_nothing_says_nothing_and_fits_the_screen(self, browser, files, name, screen, javascript):
        with Visit(browser, files[name], screen, javascript) as visit:
            page = visit.page
            page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
            width = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert width[0] <= width[1]
            pictures = page.locator("img").evaluate_all(
                "all => all.map(one => [one.complete && one.naturalWidth > 0, one.alt.length >= 20])"
            )
            assert len(pictures) > 5
            assert all(loaded and told for loaded, told in pictures)
            assert visit.foreign() == []
            assert visit.messages == []
            assert (page.locator("th button").count() > 0) == javascript

    def test_everything_can_be_reached_and_opened_by_keyboard(self, browser, files, name, screen):
        with Visit(browser, files[name], screen) as visit:
            page = visit.page
            page.evaluate(MARK)
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.className") == "skip"
            for _ in range(2000):
                here = page.evaluate("[document.activeElement.tagName, document.activeElement.dataset.stop]")
                if here[0] == "BODY":
                    break
                if here[0] == "SUMMARY" and not page.evaluate("document.activeElement.parentNode.open"):
                    page.keyboard.press("Enter")
                    assert page.evaluate("document.activeElement.parentNode.open")
                page.evaluate("document.activeElement.dataset.seen = 'yes'")
                page.keyboard.press("Tab")
            left = page.evaluate("[...document.querySelectorAll('[data-stop]:not([data-seen])')].map(e => e.outerHTML)")
            assert [html[:200] for html in left] == []
            assert page.locator("[data-seen]").count() > 10

    def test_it_meets_wcag_2_a_and_aa(self, browser, files, name, screen):
        try:
            from axe_playwright_python.sync_playwright import Axe
        except ImportError:
            missing("axe-playwright-python")
        with Visit(browser, files[name], screen) as visit:
            visit.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
            rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
            found = Axe().run(visit.page, options=rules).response
            assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
            assert len(found["passes"]) > 10


MARK = """
for (const one of document.querySelectorAll('summary, [tabindex="0"], a, th button')) one.dataset.stop = 'yes';
"""


def test_it_fits_on_paper(browser, files):
    with Visit(browser, files["compare"], "desktop") as visit:
        visit.page.emulate_media(media="print")
        visit.page.set_viewport_size({"width": 794, "height": 1123})  # A4 at 96 dots per inch
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 794
        assert visit.page.locator("details").first.locator("table").bounding_box()["height"] > 50  # unfolded


def test_a_click_on_a_head_sorts_the_table(browser, files):
    with Visit(browser, files["compare"], "desktop") as visit:
        head = visit.page.locator("#table-scores thead th").nth(2)  # deletion
        column = "all => all.map(row => row.cells[2].dataset.value).filter(v => v !== undefined).map(Number)"
        for order in ("descending", "ascending"):
            head.locator("button").press("Enter")
            assert head.get_attribute("aria-sort") == order
            values = visit.page.locator("#table-scores tbody tr").evaluate_all(column)
            assert values == sorted(values, reverse=order == "descending")
        assert visit.messages == []


def test_hostile_names_stay_text(browser, files):
    with Visit(browser, files["hostile"], "desktop") as visit:
        assert visit.page.title() == "5 methods on 6 images"
        assert visit.page.locator("img[src=x]").count() == 0
        assert visit.foreign() == visit.messages == []


def test_another_script_is_blocked(browser, files, tmp_path):
    text = compare_report(comparison()).replace("<footer>", "<script>document.title = 'pwned'</script><footer>")
    (tmp_path / "mutant.html").write_text(text, encoding="utf-8")
    with Visit(browser, (tmp_path / "mutant.html").as_uri(), "desktop") as visit:
        assert visit.page.title() != "pwned"
        assert any("Content Security Policy" in message for message in visit.messages)


def test_a_picture_from_elsewhere_is_seen(browser, files, tmp_path):
    """The test of requests can fail."""
    text = compare_report(comparison()).replace("<footer>", '<img src="there.png" alt=""><footer>')
    text = text.replace("img-src data:", "img-src *")
    (tmp_path / "mutant.html").write_text(text, encoding="utf-8")
    with Visit(browser, (tmp_path / "mutant.html").as_uri(), "desktop") as visit:
        assert visit.foreign() != []
