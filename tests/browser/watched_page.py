"""A page in the browser, with all it said and asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# The colours a reader sees: of text and lines over the card they lie on.
_LUMINANCE = """
const rgb = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
const luminance = text => rgb(text)
  .map(part => part / 255)
  .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const contrast = (one, other) => {
  const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
};
"""
_CONTRASTS = f"""([selector, property]) => {{
  {_LUMINANCE}
  const faint = element => element.closest('[opacity], [stroke-opacity], [fill-opacity]');
  return [...document.querySelectorAll(selector)]
    .filter(element => element.getClientRects().length && !faint(element))
    .map(element => [getComputedStyle(element)[property], getComputedStyle(element.closest('.card')).backgroundColor])
    .filter(([color]) => color.startsWith('rgb('))
    .map(([color, card]) => [contrast(color, card), color]);
}}"""
_BROKEN_RATES = """() => {
  const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  const broken = [];
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    if (node.parentElement.closest('svg, .code')) continue;
    for (const match of node.data.matchAll(/\\d(\\.\\d+)?e-\\d+/g)) {
      const range = document.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      if (new Set([...range.getClientRects()].map(rect => Math.round(rect.top))).size > 1) broken.push(node.data);
    }
  }
  return broken;
}"""
_NETWORK_FREE = ("data:", "blob:", "about:")


class WatchedPage:
    """A page opened from a file.

    Attributes:
        page: Playwright's page.
        messages: What the console and uncaught errors said.
        requests: Addresses asked for, other than the page itself.
        dialogs: Texts of alerts and the like.
    """

    def __init__(self, page: Any, path: Path) -> None:
        self.page = page
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        address = path.as_uri()
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("dialog", self._dismiss)
        page.on("request", lambda request: self._note(request.url, address))
        page.goto(address, wait_until="load")

    def loaded_milliseconds(self) -> float:
        """From the start of the navigation to the end of loading, as the browser measured it."""
        return float(self.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))

    def broken_rates(self) -> list[str]:
        """Texts in which a rate such as 1e-2 begins on one line and ends on the next."""
        return list(self.page.evaluate(_BROKEN_RATES))

    def open_details(self) -> None:
        """Opens all that is folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(item => { item.open = true })")

    def sideways(self) -> int:
        """Pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def contrasts(self, selector: str, attribute: str) -> list[tuple[float, str]]:
        """Contrast and colour of each visible, opaque element in a figure against the card under it."""
        return [(ratio, color) for ratio, color in self.page.evaluate(_CONTRASTS, [selector, attribute])]

    def _note(self, url: str, address: str) -> None:
        if url != address and not url.startswith(_NETWORK_FREE):
            self.requests.append(url)

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()
