"""The viewer's pages in a real browser: what they draw, what keys and controls do, and that nothing leaves the page."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, is_bad
from PIL import Image
from viewer_cases import BLUE, EVIL, RED, image_case, volume_case

from monai_semigan.segmentation import viewer
from monai_semigan.segmentation.viewer import VIEWER_IMAGE, write_viewer
from monai_semigan.workflows.viewing import ResultServer

pytestmark = pytest.mark.e2e

DONE = "document.getElementById('viewer').dataset.ready || !document.getElementById('problem').hidden"
FRAME = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


@pytest.fixture
def show(browser: Browser, tmp_path: Path):
    """Write a case's viewer and open it as a file."""

    def write_and_open(case, folder: str = "case") -> Browser:
        (tmp_path / folder).mkdir(exist_ok=True)
        write_viewer(tmp_path / folder / "viewer.html", case)
        return open_page(browser, (tmp_path / folder / "viewer.html").as_uri())

    return write_and_open


def open_page(browser: Browser, address: str) -> Browser:
    browser.open(address)
    browser.wait(DONE)
    browser.run(FRAME)
    return browser


def errors(browser: Browser) -> list[str]:
    """What the console complains of; drivers' remarks on speed are warnings."""
    return [message for message in browser.messages if not message.startswith("warning")]


def problem(browser: Browser) -> str:
    return "" if browser.run("byId('problem').hidden") else browser.run("byId('problem').textContent")


def pixels(browser: Browser, panel: str) -> np.ndarray:
    """Colors of a panel's canvas, ``(H, W, 3)``."""
    browser.run(FRAME)
    address = browser.run(f"document.querySelector('#panel-{panel} canvas').toDataURL()")
    with Image.open(BytesIO(base64.b64decode(address.split(",")[1]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def place_of(browser: Browser, element: str) -> list[float]:
    """Left, top, width and height of an element in the window."""
    box = f"const box = document.querySelector({element!r}).getBoundingClientRect()"
    return browser.run(f"(() => {{ {box}; return [box.x, box.y, box.width, box.height] }})()")


def near(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture - color).max(axis=2) < 40


def reddish(picture: np.ndarray) -> np.ndarray:
    return picture[:, :, 0] - picture[:, :, 1] > 25


def test_a_volume_is_drawn_in_three_planes(show) -> None:
    browser = show(volume_case())

    assert problem(browser) == "" and errors(browser) == []
    for name in ("axial", "coronal", "sagittal"):
        picture = pixels(browser, name)
        assert near(picture, RED).any() and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20, name
    assert [address for address in browser.requests if not address.startswith(("file:", "data:"))] == []


def test_the_patients_right_is_at_the_left_and_the_front_on_top(show) -> None:
    """The organ lies at x = 0.7 and y = 0.6 of an RAS volume, low in it: right, towards the front, towards the feet."""
    browser = show(volume_case(probability=None))
    browser.press("x")

    axial, coronal, sagittal = (reddish(pixels(browser, name)) for name in ("axial", "coronal", "sagittal"))
    for picture, is_left, is_high in ((axial, True, True), (coronal, True, False), (sagittal, True, False)):
        rows, columns = np.nonzero(picture)
        assert (columns.mean() < picture.shape[1] / 2) == is_left
        assert (rows.mean() < picture.shape[0] / 2) == is_high
    assert browser.run("document.querySelectorAll('#panels canvas').length") == 4


def test_the_place_is_told_as_the_file_counts(show) -> None:
    browser = show(volume_case(probability=None))
    start = browser.run("state.position")

    text = browser.run("byId('status').textContent")

    number = [40 - start[0], 30 - start[1], start[2] + 1]  # the first two axes of the file run the other way
    assert f"axial {number[2]}, coronal {number[1]}, sagittal {number[0]}" in text
    assert "120 HU" in text and "liver" in text
    right, front, head = 2 * (number[0] - 1) - 40, 2 * (number[1] - 1) - 30, 5 * (number[2] - 1) - 20
    assert f"R {right:.1f}, A {front:.1f}, {'S' if head > 0 else 'I'} {abs(head):.1f} mm" in text


def test_keys_scroll_change_the_window_and_the_overlay(show) -> None:
    browser = show(volume_case())
    before = pixels(browser, "axial")
    number = browser.run("byId('number-axial').textContent")

    browser.press("ArrowUp")
    after = pixels(browser, "axial")
    assert browser.run("byId('number-axial').textContent") == f"{int(number.split()[0]) + 1} / 12"
    assert (after != before).any()

    assert browser.run("byId('window').selectedOptions[0].text") == "soft tissue"
    assert browser.run("byId('window-values').textContent") == "-150 to 250 HU"
    for _ in range(2):
        browser.press("w")
    assert browser.run("byId('window-values').textContent") == "-1350 to 150 HU"

    browser.press("m")
    assert browser.run("state.cover") == "probability"
    assert "probability 0.80" in browser.run("byId('status').textContent")
    browser.press("o")
    browser.press("c")
    browser.press("x")
    bare = pixels(browser, "axial")
    assert not reddish(bare).any() and np.abs(bare - bare[:, :, :1]).max() == 0

    browser.press("1")
    assert browser.run("byId('panel-coronal').hidden") and not browser.run("byId('panel-axial').hidden")
    browser.press("0")
    browser.press("r")
    assert browser.run("state.position") == browser.run("facts.start") and browser.run("state.window") == 0


def test_keys_can_be_turned_off_and_leave_fields_alone(show) -> None:
    browser = show(volume_case())

    browser.run("byId('window').focus()")
    browser.press("m")
    assert browser.run("state.cover") == "label"
    browser.run("document.activeElement.blur(), byId('keys').click()")
    browser.press("m")
    assert browser.run("state.cover") == "label"


def test_sliders_change_what_is_drawn(show) -> None:
    browser = show(volume_case())
    browser.press("c")
    faint = reddish(pixels(browser, "axial")).sum()

    browser.run("byId('opacity').value = 0, byId('opacity').dispatchEvent(new Event('input'))")
    none = reddish(pixels(browser, "axial")).sum()
    slider = "document.querySelector('#panel-sagittal input')"
    browser.run(f"{slider}.value = 1, {slider}.dispatchEvent(new Event('input'))")

    assert faint > 100 and none == 0
    assert browser.run("state.position[0]") == 39  # the file's first sagittal slice is the display's last


def test_the_organ_turns_in_3d(show) -> None:
    browser = show(volume_case())

    browser.press("4")
    browser.wait("byId('canvas-3d').dataset.ready || !byId('problem-3d').hidden", 120)

    with Image.open(BytesIO(browser.picture())) as picture:
        seen = np.asarray(picture.convert("RGB")).astype(int)
    left, top, width, height = (round(value) for value in place_of(browser, "#canvas-3d"))
    stage = seen[top : top + height, left : left + width]
    assert browser.run("byId('problem-3d').textContent") == "" and errors(browser) == []
    assert (reddish(stage) & (stage[:, :, 2] < 120)).sum() > 50
    assert [address for address in browser.requests if not address.startswith(("file:", "data:", "blob:"))] == []


def test_an_image_is_drawn_with_its_label_and_what_the_network_made(show) -> None:
    browser = show(image_case())
    whole = pixels(browser, "image")
    rows, columns = np.nonzero(reddish(whole))
    assert columns.mean() < whole.shape[1] / 2 and rows.mean() > whole.shape[0] / 2

    browser.press("3")
    made = pixels(browser, "image")
    assert browser.run("byId('base').selectedOptions[0].text") == "reconstruction"
    assert made.shape == whole.shape and (made != whole).any()
    browser.press("4")
    browser.press("c")
    browser.press("o")
    heat = pixels(browser, "image")
    assert (heat[:, :, 0] >= heat[:, :, 2]).all() and heat[:, :, 0].max() > 200

    browser.press("r")
    browser.press("1")
    at_rest = pixels(browser, "image")
    browser.press("+")
    assert (pixels(browser, "image") != at_rest).any() and "zoom 1.3" in browser.run("byId('status').textContent")
    assert errors(browser) == [] and browser.requests[0].startswith("file:")


def test_a_probability_lies_on_the_image_alone(show) -> None:
    share = np.zeros((60, 90), dtype=np.float32)
    share[5:25, 60:85] = 0.5
    browser = show(image_case(probability=share))
    browser.press("c")
    browser.run("setOpacity(1)")

    browser.press("m")
    rows, columns = np.nonzero(reddish(pixels(browser, "image")))
    browser.press("3")
    square = reddish(pixels(browser, "image"))

    whole = pixels(browser, "image").shape
    assert columns.min() > whole[1] / 2 and rows.max() < whole[0] / 2
    assert square.any()  # there its label


def test_an_image_moves_when_it_is_dragged(show) -> None:
    browser = show(image_case())
    for _ in range(4):
        browser.press("+")
    before = pixels(browser, "image")
    box = place_of(browser, "canvas")
    for kind, x in (("mousePressed", 300), ("mouseMoved", 400), ("mouseReleased", 400)):
        browser.call(
            "Input.dispatchMouseEvent", type=kind, x=box[0] + x, y=box[1] + 100, button="left", buttons=1, clickCount=1
        )

    assert (pixels(browser, "image") != before).any()
    assert browser.run("planes.image.plane.center[0] < planes.image.plane.size[0] / 2")


@pytest.mark.parametrize("make", [volume_case, image_case])
def test_names_are_text_and_start_nothing(show, make) -> None:
    browser = show(make())

    assert browser.run("document.querySelector('h1').textContent") == EVIL
    assert EVIL in browser.run("document.querySelector('.warning').textContent")
    assert browser.run("facts.classes.at(-1).color") == list(BLUE if make is volume_case else RED)
    assert errors(browser) == []


@pytest.mark.parametrize("make", [volume_case, image_case])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(show, make, scheme, axe) -> None:
    """The rules of axe-core, at two sizes; nothing is wider than a phone."""
    browser = show(make())
    browser.prefer(scheme)
    for width in (1200, 400):
        browser.resize(width)
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in axe(browser) if is_bad(rule)] == []
        assert browser.run("document.documentElement.scrollWidth") <= width


def test_a_moved_folder_still_opens(show, browser, tmp_path) -> None:
    show(volume_case(), "before")
    (tmp_path / "before").rename(tmp_path / "a folder #1 %20")

    open_page(browser, (tmp_path / "a folder #1 %20" / "viewer.html").as_uri())

    assert problem(browser) == "" and near(pixels(browser, "axial"), RED).any()


def test_values_of_other_kinds_are_shown(show) -> None:
    case = volume_case(modality="MR")
    voxels = case.source.data.voxels.astype(np.float32) * 1e-6
    voxels[0, 0, 0] = np.nan
    data = replace(case.source.data, voxels=voxels)
    browser = show(replace(case, source=replace(case.source, data=data)))

    assert browser.run("byId('window').selectedOptions[0].text") == "auto"
    assert browser.run("byId('window').options.length") == 3
    assert "0.00012 · liver" in browser.run("byId('status').textContent")
    assert near(pixels(browser, "axial"), RED).any()


@pytest.fixture
def served(browser, tmp_path, monkeypatch):
    """A volume whose image lies beside its page, and a way to open it through the server."""
    monkeypatch.setattr(viewer, "MAX_EMBEDDED_BYTES", 100)
    write_viewer(tmp_path / "viewer.html", volume_case())

    def opened() -> Browser:
        with ResultServer(tmp_path) as server:
            thread = threading.Thread(target=server.serve)
            thread.start()
            try:
                return open_page(browser, server.address)
            finally:
                server.stop()
                thread.join()

    return opened


def test_a_large_volume_is_read_through_the_server(served, browser, tmp_path) -> None:
    served()

    assert problem(browser) == "" and errors(browser) == []
    assert near(pixels(browser, "axial"), RED).any()
    assert [address.rsplit("/", 1)[1] for address in browser.requests[:2]] == ["viewer.html", VIEWER_IMAGE]
    assert all(address.startswith(browser.requests[0].rsplit("/", 1)[0]) for address in browser.requests)


def test_a_large_volume_without_the_server_says_what_to_do(served, browser, tmp_path) -> None:
    open_page(browser, (tmp_path / "viewer.html").as_uri())

    assert "Run `semigan view`" in problem(browser) and errors(browser) == []


@pytest.mark.parametrize("damage", ["missing", "cut short", "no gzip", "4-D", "another size"])
def test_a_broken_volume_is_a_line_and_no_blank_page(served, browser, tmp_path, damage) -> None:
    import nibabel

    path = tmp_path / VIEWER_IMAGE
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage in ("cut short", "no gzip"):
        path.write_bytes(content[: len(content) // 2] if damage == "cut short" else b"no such file" * 50)
    else:
        shape = (40, 30, 12, 2) if damage == "4-D" else (40, 30, 11)
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), path)

    served()

    assert problem(browser).endswith(("Segment the case again.", "start it again."))
    assert browser.run("byId('viewer').hidden")
