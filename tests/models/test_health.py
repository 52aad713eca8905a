import dataclasses
import json
import math
import statistics
import time

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from models.health import Health, HealthLimits, Range, limits_of, tolerance_factor, unfit
from models.images import read_image
from models.manifest import parse_manifest
from models.measure import measure
from models.prediction import Image
from tests import tiny
from tests.shared import find_shared

HEIGHT, WIDTH = 512, 640
FIELDS = [field.name for field in dataclasses.fields(Health)]


def part(seed: int, *, noise: float = 1.5, shift: tuple[float, float] = (0, 0)) -> Image:
    """A dark bolt, turned at random, on a bright mat: a picture in focus, as a lens and a sensor give it."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH), 190.0 + rng.uniform(-4, 4), np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    middle = np.array([WIDTH * (0.5 + shift[0]), HEIGHT * (0.5 + shift[1])]) + rng.uniform(-8, 8, 2)
    along = np.array([np.cos(angle), np.sin(angle)])
    head, tip = ((int(p[0]), int(p[1])) for p in (middle - 140 * along, middle + 140 * along))
    cv2.line(image, head, tip, 70, 30, cv2.LINE_AA)
    cv2.circle(image, head, 45, 60, -1, cv2.LINE_AA)
    for step in range(-4, 5):
        across = np.array([-along[1], along[0]]) * 22
        ends = [tuple(int(v) for v in middle + (60 + 14 * step) * along + side * across) for side in (-1, 1)]
        cv2.line(image, ends[0], ends[1], 110, 3, cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), 0.6) + rng.normal(0, noise, image.shape)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


@pytest.fixture(scope="module")
def measures() -> list[Health]:
    return [measure(part(seed)) for seed in range(20)]


@pytest.fixture(scope="module")
def limits(measures) -> HealthLimits:
    made = limits_of(measures)
    assert made is not None
    return made


def reasons(images: list[Image], limits: HealthLimits) -> set[str]:
    found = [unfit(measure(image), limits) for image in images]
    return {"fit" if complaint is None else complaint[0] for complaint in found}


def unseen(**changed: object) -> list[Image]:
    return [part(seed, **changed) for seed in range(100, 112)]  # type: ignore[arg-type]


def gained(image: Image, gain: float) -> Image:
    return np.asarray(cv2.convertScaleAbs(image, alpha=gain), np.uint8)


def blurred(image: Image, sigma_px: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


def smeared(image: Image, columns_px: int, rows_px: int) -> Image:
    return np.asarray(cv2.blur(image, (columns_px, rows_px)), np.uint8)


def noisy(image: Image, sigma: float) -> Image:
    noise = np.random.default_rng(7).normal(0, sigma, image.shape[:2])[:, :, None]
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_unseen_good_pictures_are_fit(limits):
    assert reasons(unseen(), limits) == {"fit"}


def test_real_screws_good_and_scratched_are_fit_and_what_happens_to_a_camera_is_not():
    """Limits from the first 20 good images, as the README's example learns them."""
    shared = find_shared()
    if shared is None or not (data := shared / "data/mvtec_screw").is_dir():
        pytest.skip("no data/mvtec_screw in ../shared or MEKIKI_SHARED")
    limits = limits_of([measure(read_image(path)) for path in sorted((data / "train/good").iterdir())[:20]])
    assert limits is not None
    test = [read_image(path) for path in sorted(data.glob("test/*/*.png"))]
    assert len(test) == 70
    assert reasons(test, limits) == {"fit"}
    some = test[::9]
    assert reasons([gained(image, 0.4) for image in some], limits) == {"too_dark"}
    assert reasons([gained(image, 2) for image in some], limits) == {"too_bright"}
    assert reasons([blurred(image, 3) for image in some], limits) == {"blurred"}
    for x_px, y_px in ((205, 0), (-205, 0), (0, 205), (0, -205)):  # a fifth of the frame
        moved = [cv2.copyMakeBorder(image, 205, 205, 205, 205, cv2.BORDER_REPLICATE) for image in some]
        views = [image[205 - y_px : 1229 - y_px, 205 - x_px : 1229 - x_px] for image in moved]
        assert reasons(views, limits) == {"shifted"}


def test_a_defect_is_not_bad_health(limits):
    images = unseen()
    for image in images:
        cv2.line(image, (WIDTH // 2 - 20, HEIGHT // 2), (WIDTH // 2 + 20, HEIGHT // 2 + 6), (255, 255, 255), 3)
        cv2.circle(image, (40, 40), 6, (10, 10, 10), -1)  # a chip far away from the part
    assert reasons(images, limits) == {"fit"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda image: gained(image, 0.4), "too_dark"),
        (lambda image: image * 0, "too_dark"),
        (lambda image: noisy(image * 0, 4), "too_dark"),
        (lambda image: gained(image, 2.0), "too_bright"),
        (lambda image: image * 0 + 255, "too_bright"),
        (lambda image: blurred(image, 3), "blurred"),
        (lambda image: blurred(image, 2), "blurred"),
        (lambda image: smeared(image, 9, 1), "blurred"),
        (lambda image: smeared(image, 1, 9), "blurred"),
    ],
    ids=["x0.4", "lens cap", "noisy cap", "x2", "white", "blur 3", "blur 2", "moved across", "moved down"],
)
def test_a_picture_that_the_model_never_saw_the_like_of_has_its_reason(limits, change, reason):
    assert reasons([change(image) for image in unseen()], limits) == {reason}


@pytest.mark.parametrize("shift", [(0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)])
def test_a_part_that_lies_elsewhere_is_shifted(limits, shift):
    assert reasons(unseen(shift=shift), limits) == {"shifted"}


def test_a_mat_without_a_part_is_not_fit(limits):
    rng = np.random.default_rng(0)
    empty = np.clip(rng.normal(185, 1.5, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
    assert reasons([empty], limits) <= {"blurred", "shifted"}


def test_mist_on_the_lens_is_blurred(limits):
    misty = [cv2.addWeighted(image, 0.3, np.full_like(image, 185), 0.7, 0) for image in unseen()]
    assert reasons(misty, limits) == {"blurred"}


def test_noise_does_not_make_a_blurred_picture_sharp(limits):
    assert reasons([noisy(blurred(image, 3), 4) for image in unseen()], limits) == {"blurred"}
    plain, grainy = (measure(noisy(blurred(part(0), 3), sigma)) for sigma in (0, 4))
    assert grainy.sharpness_x < plain.sharpness_x + 0.02


def test_light_does_not_change_sharpness_contrast_or_place():
    bright, dim = measure(part(3)), measure(gained(part(3), 0.6))
    assert dim.brightness == pytest.approx(0.6 * bright.brightness, rel=0.01)
    for name in FIELDS[1:]:
        assert getattr(dim, name) == pytest.approx(getattr(bright, name), rel=0.05, abs=0.005), name


def test_the_sharpness_of_a_direction_is_that_of_its_edges():
    stripes = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stripes[:, (np.arange(WIDTH) // 32) % 2 == 1] = 200  # edges across the picture only
    found = measure(stripes)
    assert found.sharpness_x == pytest.approx(4 / 6, abs=0.08)
    assert found.sharpness_y == 0
    ramp = np.repeat(np.linspace(0, 255, HEIGHT).astype(np.uint8)[:, None, None], WIDTH, axis=1).repeat(3, axis=2)
    assert measure(ramp).sharpness_x == 0


def test_the_centre_and_the_extent_are_those_of_the_part_however_it_is_turned():
    found = []
    for turn in range(0, 180, 15):
        image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
        box = cv2.boxPoints(((WIDTH * 0.6, HEIGHT * 0.4), (260, 60), turn)).astype(np.int32)
        cv2.fillPoly(image, [box], (30, 30, 30))
        found.append(measure(image))
    assert [m.centre_x for m in found] == pytest.approx([0.6] * 12, abs=0.015)
    assert [m.centre_y for m in found] == pytest.approx([0.4] * 12, abs=0.015)
    assert max(m.extent for m in found) < 1.08 * min(m.extent for m in found)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 700), (700, 1), (2, 3), (6, 6), (7, 7), (63, 65), (129, 40), (1024, 1280)]
)
@pytest.mark.parametrize("fill", [0, 128, 255])
def test_any_size_is_measured_and_gives_numbers(size, fill):
    found = measure(np.full((*size, 3), fill, np.uint8))
    assert found.brightness == pytest.approx(fill, abs=0.5)
    assert all(math.isfinite(value) for value in dataclasses.astuple(found))
    ragged = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert all(math.isfinite(value) for value in dataclasses.astuple(measure(ragged)))


def test_a_view_of_a_larger_picture_measures_as_its_copy_and_is_not_written_to():
    view = part(1)[20:-30, 10:-20]
    view.flags.writeable = False
    assert measure(view) == measure(np.ascontiguousarray(view)) == measure(view)


def test_what_is_measured_crosses_as_json():
    found = measure(part(2))
    assert Health(**json.loads(json.dumps(dataclasses.asdict(found)))) == found


def test_measuring_a_full_frame_takes_a_small_part_of_a_cycle():
    image, times_s = cv2.resize(part(0), (1280, 1024)), []
    for _ in range(15):
        start_s = time.perf_counter()
        measure(image)
        times_s.append(time.perf_counter() - start_s)
    assert statistics.median(times_s) < 0.005  # 0.35 ms where nothing else runs


def test_every_picture_learned_from_is_fit_also_one_far_out(measures):
    for name in FIELDS:
        far = [*measures[:19], dataclasses.replace(measures[19], **{name: getattr(measures[19], name) * 0.55})]
        made = limits_of(far)
        assert made is not None
        assert [unfit(one, made) for one in far] == [None] * 20, name


def test_limits_are_never_narrower_than_their_least_width():
    same = [Health(100, 0.5, 0.3, 0.3, 0.5, 0.5, 0.4)] * 20
    made = limits_of(same)
    assert made is not None
    assert (made.brightness.low, made.brightness.high) == pytest.approx((80, 120))
    assert (made.contrast_low, made.sharpness_x_low, made.sharpness_y_low) == pytest.approx((0.35, 0.255, 0.255))
    assert (made.centre_x.low, made.centre_x.high) == pytest.approx((0.45, 0.55))
    assert (made.extent.low, made.extent.high) == pytest.approx((0.36, 0.44))


def test_what_scatters_more_is_given_more_room_and_fewer_images_still_more():
    def spread(n: int) -> HealthLimits:
        made = limits_of([Health(100 + 40 * (i % 2), 0.5, 0.3, 0.3, 0.4 + 0.2 * (i % 2), 0.5, 0.4) for i in range(n)])
        assert made is not None
        return made

    many, few = spread(40), spread(6)
    assert few.brightness.low < many.brightness.low < 100 - 20
    assert few.centre_x.low < many.centre_x.low < 0.4 - 0.02


@pytest.mark.parametrize("brightness", [20, 100, 180, 240])
def test_however_much_pictures_scatter_black_and_white_are_never_fit(brightness):
    scattered = [Health(brightness + 14 * (i % 2), 0.5, 0.3, 0.3, 0.5, 0.5, 0.4) for i in range(5)]
    made = limits_of(scattered)
    assert made is not None
    for level, reason in ((0, "too_dark"), (255, "too_bright")):
        complaint = unfit(measure(np.full((64, 64, 3), level, np.uint8)), made)
        assert complaint is not None
        assert complaint[0] == reason


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_too_few_images_give_no_limits(measures, n):
    assert limits_of(measures[:n]) is None
    assert limits_of(measures[:5]) is not None


@pytest.mark.parametrize(("n", "exact"), [(6, 5.78), (10, 4.43), (20, 3.61), (50, 3.13), (100, 2.93)])
def test_the_tolerance_factor_is_that_of_the_tables(n, exact):
    """ISO 16269-6, two-sided, 99 % with 95 % confidence, mean and standard deviation unknown."""
    assert tolerance_factor(n) == pytest.approx(exact, rel=0.015)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_what_is_no_number_is_unfit(measures, limits, name, value):
    assert unfit(measures[0], limits) is None
    assert unfit(dataclasses.replace(measures[0], **{name: value}), limits) is not None


def test_the_ends_of_a_range_are_fit_and_what_lies_beyond_is_not():
    good = Health(50, 0.5, 0.3, 0.3, 0.5, 0.5, 0.4)
    made = tiny.limits(brightness=Range(low=20, high=50), sharpness_y_low=0.3)
    assert unfit(good, made) is None
    assert unfit(dataclasses.replace(good, brightness=np.nextafter(50, 51)), made) is not None
    assert unfit(dataclasses.replace(good, sharpness_y=np.nextafter(0.3, 0)), made) is not None


def test_a_complaint_says_what_was_measured_what_was_wanted_and_what_to_check():
    made = tiny.limits(brightness=Range(low=80, high=130), sharpness_x_low=0.2, centre_y=Range(low=0.4, high=0.6))
    good = Health(100, 0.5, 0.3, 0.3, 0.5, 0.5, 0.4)
    dark = ("too_dark", "brightness 12 of 255, trained on 80 to 130; check the lamp and the exposure")
    assert unfit(dataclasses.replace(good, brightness=12), made) == dark
    _, soft = unfit(dataclasses.replace(good, sharpness_x=0.12), made) or ("", "")
    assert soft.startswith("sharpness 0.120 across the picture, trained on 0.200 or more; check the focus")
    _, moved = unfit(dataclasses.replace(good, centre_y=0.71), made) or ("", "")
    assert moved.startswith("the part's middle lies at 71% of the height, trained on 40% to 60%; check the trigger")


def test_a_range_upside_down_is_refused():
    with pytest.raises(ValidationError, match="nothing would be fit"):
        Range(low=2, high=1)


def test_limits_travel_in_the_manifest_and_a_manifest_without_them_is_read(limits, bundle, tmp_path):
    made = tiny.make_bundle(tmp_path / "checked.bundle", health=limits)
    assert parse_manifest((made / "manifest.json").read_bytes(), "x").health == limits
    older = json.loads((bundle / "manifest.json").read_bytes())
    assert older.pop("health") is None
    assert parse_manifest(json.dumps(older).encode(), "x").health is None


def test_limits_of_too_few_images_are_refused_in_a_manifest(limits, bundle):
    raw = json.loads((bundle / "manifest.json").read_bytes()) | {"health": limits.model_dump() | {"n_images": 3}}
    with pytest.raises(Exception, match=r"health.n_images: Input should be greater than or equal to 5"):
        parse_manifest(json.dumps(raw).encode(), "x")
