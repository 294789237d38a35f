"""Opens every page of the built site in Chromium, as readers do, and says what is wrong with it.

    python docs/check.py [site] [--screenshots FOLDER] [--browser chromium]

On a desktop, light and dark, and on a phone: errors in the console, what does not load or comes
from elsewhere, links to pages or places that there are not, pages wider than the screen or heavier
than 1 MB, code that a desktop scrolls, images without words, text that is hard to tell from its
background, and a search that finds another page first, also when read from disk. The same of an
address without a page.
"""

import argparse
import functools
import http.server
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag

from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

SIZES = {"desktop": (1280, 900), "phone": (375, 812)}
WINDOWS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light")]
MOST_BYTES = 1_000_000
SEARCHED = {  # what people type, and the page that comes first; never the same page twice in a row
    "avg_pool2d": "reference.html",
    "ceil_mode": "windows.html",
    "cite": "faq.html",
    "install": "install.html",
    "faq": "faq.html",
    "NHWC": "choosing.html",
    "upsample": "recipes.html",
}
MISSING = "no/such/page.html"  # hosts show 404.html at its address


class Visit(NamedTuple):
    """What one page was like in one window."""

    links: list[str]
    anchors: set[str]
    size: int
    problems: list[str]


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address at which the files of `folder` can be read."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    Handler.error_message_format = (folder / "404.html").read_text().replace("%", "%%")
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def visit(
    browser: Browser, base: str, name: str, size: str, scheme: str, pictures: Path | None
) -> Visit:
    """Opens the page `name` in a window of its own, and looks at it."""
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    context = browser.new_context(viewport=viewport, color_scheme=scheme)  # nothing cached
    page = context.new_page()
    problems: list[str] = []
    loaded: list[int] = []

    def finished(request: Request) -> None:
        loaded.append(request.sizes()["responseBodySize"])
        if not request.url.startswith((base, "data:", "blob:")):
            problems.append(f"loads {request.url}")

    if name != MISSING:  # of which the console has an error, as it should
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("requestfailed", lambda request: problems.append(f"does not load {request.url}"))
    page.on("requestfinished", finished)
    page.goto(base + name, wait_until="networkidle")
    for image in page.locator("img").all():  # those further down load when they are seen
        image.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    bytes_loaded = sum(loaded)
    if bytes_loaded > MOST_BYTES:
        problems.append(f"loads {bytes_loaded:,} bytes")
    problems += page.evaluate(LOOKED_FOR)
    if size == "desktop":
        problems += contrast(page)
    links = page.evaluate("[...document.links].map(link => link.href)")
    anchors = set(page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)"))
    if name in ("index.html", MISSING):
        problems += search(page)
    if pictures:
        page.goto(base + name)
        file = f"{name.removesuffix('.html').replace('/', '-')}-{size}-{scheme}.png"
        page.screenshot(path=pictures / file, full_page=True)
    context.close()
    return Visit(links, anchors, bytes_loaded, problems)


LOOKED_FOR = """() => {
  const problems = []
  const {scrollWidth, clientWidth} = document.documentElement
  if (scrollWidth > clientWidth) problems.push(`is ${scrollWidth - clientWidth} pixels too wide`)
  for (const image of document.images) {
    if (!image.naturalWidth) problems.push(`has a broken image ${image.src}`)
    if (!image.alt) problems.push(`has no words for ${image.src}`)
  }
  for (const drawing of document.querySelectorAll("figure svg"))
    if (!drawing.ariaLabel) problems.push("has no words for a drawing")
  for (const code of document.querySelectorAll("pre code"))  // examples are folded
    if (innerWidth > 1000 && !code.closest("details") && code.scrollWidth > code.clientWidth)
      problems.push(`has code that is too wide: ${code.textContent.slice(0, 40)}`)
  return problems
}"""

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
LOW_CONTRAST = """async () => {
  const {violations} = await axe.run({runOnly: ["color-contrast"], resultTypes: ["violations"]})
  return violations.flatMap(found => found.nodes).map(node => {
    const {contrastRatio, fgColor, bgColor} = node.any[0].data
    return `has contrast ${contrastRatio} (${fgColor} on ${bgColor}) at ${node.target}`
  })
}"""


def contrast(page: Page) -> list[str]:
    """Text that is hard to tell from its background, by the rules of WCAG."""
    page.evaluate("scrollTo(0, 0)")  # further down the tabs fade
    # axe leaves out text before a gradient, as code and tables are, and sees what fades half-way
    still = "background-image: none !important; transition: none !important"
    page.add_style_tag(content=f"*, *::before, *::after {{ {still} }}")
    page.evaluate(AXE)
    return page.evaluate(LOW_CONTRAST)


def search(page: Page) -> list[str]:
    """What is wrong with the search, which is done in the browser."""
    problems = []
    first = page.locator(".md-search-result__link:visible").first
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.classList.contains('md-search__input')")
    for word, wanted in SEARCHED.items():
        page.locator(".md-search__input").fill("")
        page.keyboard.type(word)
        try:
            expect(first).to_have_attribute("href", re.compile(re.escape(wanted)), timeout=20_000)
        except AssertionError:
            found = first.get_attribute("href") if first.count() else "nothing"
            problems.append(f"search for {word} finds {found} and not {wanted}")
    return problems


def dead_links(site: Path, base: str, visits: dict[str, Visit]) -> Iterator[tuple[str, str]]:
    """Pages, and links on them within the site that lead nowhere."""
    for name, seen in visits.items():
        for link in seen.links:
            address, anchor = urldefrag(link)
            if not address.startswith(base):
                continue
            target = unquote(address.removeprefix(base)) or "index.html"
            if target not in visits:
                if not (site / target).is_file():
                    yield name, f"links to {target}, which there is not"
            elif anchor and unquote(anchor) not in visits[target].anchors:
                yield name, f"links to {target}#{anchor}, a place that there is not"


def main() -> int:
    """Prints a line for each page, and what is wrong; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, nargs="?", default=Path("site"))
    parser.add_argument("--screenshots", type=Path, help="a folder for a picture of each page")
    parser.add_argument("--browser", default=shutil.which("chromium"))
    options = parser.parse_args()
    names = sorted(str(path.relative_to(options.site)) for path in options.site.rglob("*.html"))
    names = [MISSING if name == "404.html" else name for name in names]
    if not names:
        parser.error(f"no pages in {options.site}: run mkdocs build first")
    problems = []
    with serving(options.site) as base, sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=options.browser, args=flags)
        for size, scheme in WINDOWS:
            visits = {}
            for name in names:
                visits[name] = visit(browser, base, name, size, scheme, options.screenshots)
                window = f"{name} on a {size}, {scheme}"
                print(f"{window:48}  {visits[name].size / 1000:4.0f} kB", flush=True)
                problems += [f"{window} {problem}" for problem in visits[name].problems]
            dead = dead_links(options.site, base, visits)
            problems += [f"{name} {problem}" for name, problem in dead]
        page = browser.new_page()
        page.goto((options.site / "index.html").absolute().as_uri())
        problems += [f"index.html from disk: {problem}" for problem in search(page)]
        browser.close()
    problems = list(dict.fromkeys(problems))  # a dead link is one in every window
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(names)} pages, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
