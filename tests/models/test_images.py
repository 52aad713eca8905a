from pathlib import Path

import cv2
import numpy as np
import pytest

from models.errors import DatasetError
from models.images import is_image_name, png_size, read_image

COLOUR = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def written(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def test_a_colour_image_comes_back_as_it_was_written_in_bgr(tmp_path):
    image = read_image(written(tmp_path / "a.png", COLOUR))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, COLOUR)


def test_a_grey_image_gets_three_equal_channels(tmp_path):
    image = read_image(written(tmp_path / "a.png", COLOUR[:, :, 0]))
    np.testing.assert_array_equal(image, np.dstack([COLOUR[:, :, 0]] * 3))


def test_alpha_is_dropped_and_the_colours_stay(tmp_path):
    image = read_image(written(tmp_path / "a.png", np.dstack([COLOUR, COLOUR[:, :, 0]])))
    np.testing.assert_array_equal(image, COLOUR)
    assert image.flags["C_CONTIGUOUS"]


def test_16_bit_is_scaled_by_its_full_range_and_not_by_its_brightest_pixel(tmp_path):
    values = np.array([[0, 128, 129, 257, 4095, 65535]], np.uint16)
    image = read_image(written(tmp_path / "a.png", values))
    np.testing.assert_array_equal(image[0, :, 0], [0, 0, 1, 1, 16, 255])


def test_16_bit_of_an_8_bit_image_times_257_is_that_image(tmp_path):
    image = read_image(written(tmp_path / "a.tiff", COLOUR.astype(np.uint16) * 257))
    np.testing.assert_array_equal(image, COLOUR)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_every_lossless_format_gives_the_same_pixels(tmp_path, suffix):
    np.testing.assert_array_equal(read_image(written(tmp_path / f"a{suffix}", COLOUR)), COLOUR)


def test_a_zero_byte_file_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(DatasetError, match=r"a\.png: 0 bytes, an image was wanted; replace"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, suffix):
    path = written(tmp_path / f"a{suffix}", cv2.resize(COLOUR, (600, 400)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    with pytest.raises(DatasetError, match="no whole image"):
        read_image(path)


def test_a_text_file_with_an_image_name_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("this is not a picture")
    with pytest.raises(DatasetError, match="21 bytes that are no whole image"):
        read_image(path)


def test_a_float_image_is_refused_because_its_scale_is_unknown(tmp_path):
    with pytest.raises(DatasetError, match="pixels are float32, wanted 8 or 16 bit"):
        read_image(written(tmp_path / "a.tiff", COLOUR.astype(np.float32)))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        read_image(tmp_path / "none.png")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_image(tmp_path)


def test_the_size_of_a_png_is_read_without_unpacking_it(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((3, 5, 3), np.uint8))
    assert png_size(tmp_path / "a.png") == (3, 5)
    for content in (b"", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(100)):
        (tmp_path / "b.png").write_bytes(content)
        assert png_size(tmp_path / "b.png") is None


def test_names_say_what_is_an_image():
    assert is_image_name(Path("a.PNG"))
    assert is_image_name(Path("b.jpeg"))
    assert not is_image_name(Path(".hidden.png"))
    assert not is_image_name(Path("notes.txt"))
