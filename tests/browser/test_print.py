"""The page on paper."""

import re
import zlib

import pytest

pytestmark = pytest.mark.browser

TOP, BOTTOM = "1 .2 .6", ".2 1 .6"


def pages_of(pdf):
    """The drawing commands of each page, in order."""
    objects = dict(re.findall(rb"(?:^|\n)(\d+) 0 obj\b(.*?)\nendobj", pdf, re.S))
    contents = re.findall(rb"/Type /Page\b.*?/Contents (\d+) 0 R", pdf, re.S)
    return [stream_of(objects[number]).decode("latin-1") for number in contents]


def stream_of(item):
    dictionary, _, rest = item.partition(b"stream")
    data = rest.strip(b"\r\n").removesuffix(b"\nendstream")
    return zlib.decompress(data) if b"/FlateDecode" in dictionary else data


def mark_edges(page):
    """Paints the upper and the lower edge of each figure in a colour that nothing else has."""
    page.evaluate(
        """([top, bottom]) => document.querySelectorAll('.wide svg, .panels svg').forEach(svg => {
          const box = svg.viewBox.baseVal;
          [[top, 0], [bottom, box.height - 2]].forEach(([color, y]) => {
            const edge = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
            edge.setAttribute('fill', color);
            edge.setAttribute('width', box.width);
            edge.setAttribute('height', 2);
            edge.setAttribute('y', y);
            svg.append(edge);
          });
        })""",
        ["rgb(255, 51, 153)", "rgb(51, 255, 153)"],
    )


def test_no_figure_is_cut_in_two(open_page, full_page):
    watched = open_page(full_page)
    mark_edges(watched.page)
    figures = watched.page.locator(".wide svg, .panels svg").count()
    printed = pages_of(watched.page.pdf(format="A4", print_background=True))
    tops, bottoms = ([page.count(f"{color} rg") for page in printed] for color in (TOP, BOTTOM))
    assert sum(tops) == figures
    assert tops == bottoms
