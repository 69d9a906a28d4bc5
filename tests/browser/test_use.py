"""What the page's script adds, by mouse and by keyboard: values on the curves, sorting, hidden runs, copying."""

import re
from importlib.resources import files

import numpy as np
import pytest

from keras_lr import Report
from tests.report.test_sensitivity import raced
from tests.report_samples import KINDS, page_of
from tests.result_records import make_range_test

pytestmark = pytest.mark.browser

MAX_SCRIPT_BYTES = 20_000


@pytest.fixture(scope="module")
def race_page():
    return Report("A race").add(raced()).to_html()


def place_on_screen(watched, picture, rate, loss):
    """Where a value stands, from the tick labels alone: neither the page's script nor its scales are asked."""
    return watched.page.evaluate(
        r"""([selector, rate, loss]) => {
          const svg = document.querySelector(selector);
          const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
          const across = texts.filter(([text]) => /^\de-?\d$/.test(text) || text === '1' || text === '10');
          const low = across[0], high = across[across.length - 1];
          const middle = ([, box]) => box.left + box.width / 2;
          const decade = ([text]) => Math.log10(Number(text));
          const share = (Math.log10(rate) - decade(low)) / (decade(high) - decade(low));
          const up = texts.filter(([text]) => /^\d\.\d+$/.test(text));
          const bottom = up[0], top = up[up.length - 1];
          const height = ([, box]) => box.top + box.height / 2;
          const rise = (loss - Number(bottom[0])) / (Number(top[0]) - Number(bottom[0]));
          return [
            middle(low) + share * (middle(high) - middle(low)), height(bottom) + rise * (height(top) - height(bottom)),
          ];
        }""",
        [picture, rate, loss],
    )


def values(text):
    """The loss and the learning rate that a tip names."""
    loss, rate = re.search(r": (\S+) at learning rate (\S+)$", text).groups()
    return float(loss), float(rate)


def test_the_mouse_reads_a_point_of_a_curve(open_page):
    result = make_range_test()
    watched = open_page(page_of("range test"))
    repeats = make_range_test(repeats=3).repeat_losses
    x, y = place_on_screen(watched, ".answer .wide svg", result.learning_rates[60], repeats[1, 60])
    watched.page.mouse.move(x, y)
    tip = watched.page.locator(".tip:visible")
    assert tip.inner_text().startswith("one step: ")
    loss, rate = values(tip.inner_text())
    assert rate == pytest.approx(result.learning_rates[60], rel=0.01)
    assert loss == pytest.approx(repeats[1, 60], rel=0.01)
    watched.page.mouse.move(2, 2)
    assert tip.count() == 0


@pytest.mark.parametrize("width", [1280, 360])
def test_the_keyboard_reads_every_point_of_a_curve(open_page, width):
    diagnosis = KINDS["diagnosis"]()[0]
    watched = open_page(page_of("diagnosis"), width=width)
    watched.page.locator(".answer .readable:visible").focus()
    watched.page.keyboard.press("Home")
    tip = watched.page.locator(".answer .tip:visible")
    read = []
    for _ in diagnosis.epochs:
        read.append(re.fullmatch(r"validation: (\S+) at epoch (\d+)", tip.inner_text()).groups())
        watched.page.keyboard.press("ArrowRight")
    assert [int(epoch) for _, epoch in read] == list(diagnosis.epochs)
    np.testing.assert_allclose([float(loss) for loss, _ in read], diagnosis.val_losses, rtol=0.006, atol=0.003)
    watched.page.keyboard.press("ArrowDown")
    last = re.fullmatch(r"training: (\S+) at epoch 29", tip.inner_text())
    assert float(last[1]) == pytest.approx(diagnosis.losses[-1], abs=0.003)
    assert watched.page.get_by_role("status").inner_text() == tip.inner_text()
    watched.page.keyboard.press("Escape")
    assert tip.count() == 0


def test_a_step_in_the_rate_is_read_where_it_ends(open_page):
    (log,) = KINDS["AutoLR"]()
    watched = open_page(page_of("AutoLR"))
    watched.page.locator(".answer .readable:visible").focus()
    watched.page.keyboard.press("Home")
    read = {}
    for _ in log.epochs:
        rate, epoch = re.fullmatch(
            r"learning rate: (\S+) at epoch (\d+)", watched.page.locator(".tip:visible").inner_text()
        ).groups()
        read[int(epoch)] = float(rate)
        watched.page.keyboard.press("ArrowRight")
    assert read == {0: 3.0, 2: 3.0, 3: 0.01, 11: 0.01} or read == dict(
        zip(log.epochs.tolist(), log.learning_rates.tolist(), strict=True)
    )


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_runs_are_hidden_and_shown_again(open_page, race_page, by):
    watched = open_page(race_page)

    def use(name):
        button = watched.page.locator(".answer .runs").get_by_role("button", name=name, exact=True)
        if by == "mouse":
            button.click()
        else:
            button.focus()
            watched.page.keyboard.press("Enter")

    def seen():
        return set(
            watched.page.evaluate(
                "[...document.querySelectorAll('.answer .wide [data-curve]')]"
                ".filter(line => line.getBoundingClientRect().width).map(line => line.dataset.run)"
            )
        )

    rates = seen()
    assert rates == {"1e-4", "1e-2", "1e-1"}
    use("1e-1")
    assert seen() == rates - {"1e-1"}
    labels = watched.page.locator(".answer .wide svg text", has_text=re.compile("^1e-1$"))
    assert not labels.first.is_visible()
    assert watched.page.get_by_role("button", name="1e-1", exact=True).first.get_attribute("aria-pressed") == "false"
    use("1e-1")
    assert seen() == rates
    use("Hide all")
    assert seen() == set()
    use("Show all")
    assert seen() == rates


def test_the_panel_of_a_run_is_hidden_with_its_button(open_page):
    watched = open_page(page_of("comparison"))
    panels = watched.page.locator(".answer .panels > div:visible")
    assert panels.count() == 3
    watched.page.locator(".answer .runs").get_by_role("button", name="0.01", exact=True).click()
    assert panels.count() == 2
    assert "0.01" not in [panel.get_attribute("data-run") for panel in panels.all()]


def column(watched, caption, place):
    cells = f"table:has(caption:text-is('{caption}')) tbody tr > :nth-child({place})"
    return watched.page.locator(cells).all_inner_texts()


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_table_is_sorted_by_any_column(open_page, by):
    watched = open_page(page_of("sensitivity"))
    caption = "Best val_loss of each run, by learning rate"
    rates = column(watched, caption, 1)
    assert rates == ["1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1"]

    def sort(name):
        head = watched.page.locator(f"table:has(caption:text-is('{caption}'))").get_by_role("button", name=name)
        if by == "mouse":
            head.click()
        else:
            head.focus()
            watched.page.keyboard.press("Space")
        return watched.page.locator(f"table:has(caption:text-is('{caption}')) th[aria-sort]").get_attribute("aria-sort")

    assert sort("Learning rate") == "ascending"
    assert column(watched, caption, 1) == rates
    assert sort("Learning rate") == "descending"
    assert column(watched, caption, 1) == rates[::-1]
    assert sort("Median") == "ascending"
    medians = column(watched, caption, 2)
    assert medians[-1] == "diverged"
    assert [float(value) for value in medians[:-1]] == sorted(float(value) for value in medians[:-1])
    # The rows stay whole.
    assert dict(zip(column(watched, caption, 1), medians, strict=True))["1"] == "diverged"


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_code_is_copied(open_page, by):
    watched = open_page(page_of("sensitivity"))
    watched.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = watched.page.get_by_role("button", name="Copy Code to paste")
    if by == "mouse":
        button.click()
    else:
        button.focus()
        watched.page.keyboard.press("Enter")
    watched.page.get_by_text("Copied", exact=True).wait_for()
    pasted = watched.page.evaluate("navigator.clipboard.readText()")
    assert pasted == watched.page.locator(".paste").first.inner_text()
    assert pasted.startswith("keras.optimizers.Adam(learning_rate=1e-3)")
    assert watched.page.get_by_role("status").inner_text() == "Copied: Code to paste"


def test_each_block_of_code_has_its_button_and_a_page_without_scripts_has_none(open_page, full_page):
    watched = open_page(full_page)
    watched.open_details()
    assert watched.page.locator(".copy").count() == watched.page.locator("pre.code").count() > 4
    assert open_page(full_page, scripts=False).page.locator("button, .tip, .runs").count() == 0


def test_the_script_is_small_and_prints_nothing(open_page, full_page):
    script = files("keras_lr.report").joinpath("templates", "report.js").read_bytes()
    assert len(script) <= MAX_SCRIPT_BYTES
    watched = open_page(full_page)
    watched.page.emulate_media(media="print")
    assert watched.page.locator(".copy:visible, .runs:visible, .tip:visible").count() == 0


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_axe_finds_no_violation_while_it_is_used(open_page, race_page, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    watched = open_page(race_page, scheme=scheme, width=width)
    watched.open_details()
    watched.page.locator(".answer .runs button").first.click()
    watched.page.locator(".sort").first.click()
    watched.page.locator(".copy").first.click()
    watched.page.locator(".answer .readable:visible").focus()
    watched.page.keyboard.press("ArrowRight")
    assert watched.page.locator(".tip:visible").count() == 1
    violations = Axe().run(watched.page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in violations] == []
    assert watched.messages == []
    assert watched.requests == []
    assert watched.sideways() == 0
