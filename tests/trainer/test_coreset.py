import numpy as np
import pytest

from trainer.coreset import choose_bank, farthest_first


def reach(points, chosen):
    """Largest distance from a point to the nearest chosen one."""
    away = np.full(len(points), np.inf)
    for centre in points[chosen]:
        away = np.minimum(away, np.linalg.norm(points - centre, axis=1))
    return away.max()


def exact_greedy(points, size, first=0):
    """k-center greedy over all points, one at a time."""
    chosen, away = [first], np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < size:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


@pytest.fixture(scope="module")
def patches():
    """Twenty thousand pieces of backdrop, a few hundred of thread, five of a crest."""
    rng = np.random.default_rng(0)
    backdrop = rng.normal(0, 0.3, (20_000, 96))
    thread = rng.normal(0, 1, (300, 96)) + 3
    crest = rng.normal(0, 0.1, (5, 96)) - 6
    return np.concatenate([backdrop, thread, crest]).astype(np.float32)


def test_a_rare_kind_of_patch_survives(patches):
    assert any(choose_bank(patches, 60, 0) >= 20_300)


def test_the_bank_covers_better_than_any_of_five_random_subsets_of_its_size(patches):
    got = reach(patches, choose_bank(patches, 200, 0))
    for seed in range(1, 6):
        random = np.random.default_rng(seed).choice(len(patches), 200, replace=False)
        assert got < 0.9 * reach(patches, random)


@pytest.mark.parametrize("n", [700, 3_000, 30_000])
def test_the_choice_is_that_of_greedy_one_at_a_time_over_all_points(n):
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.normal(i, 0.2 + i, (n // 5, 16)) for i in range(5)]).astype(np.float32)
    assert farthest_first(points, 600, 7).tolist() == exact_greedy(points.astype(np.float64), 600, 7)


def test_the_bank_covers_nearly_as_well_as_exact_greedy_in_full_width(patches):
    assert reach(patches, choose_bank(patches, 100, 0)) < 1.15 * reach(patches, exact_greedy(patches, 100))


def test_as_many_as_wanted_are_chosen_and_none_twice(patches):
    chosen = choose_bank(patches, 500, 0)
    assert len(chosen) == len(set(chosen.tolist())) == 500
    assert chosen.min() >= 0
    assert chosen.max() < len(patches)


@pytest.mark.parametrize("n", [1, 7, 50])
def test_all_are_kept_where_there_are_no_more_than_wanted(n):
    assert choose_bank(np.ones((n, 8), np.float32), 50, 0).tolist() == list(range(n))


@pytest.mark.parametrize(("n", "size"), [(2, 1), (100, 1), (100, 10), (300, 20), (511, 3), (513, 512)])
def test_a_few_patches_and_a_small_bank_are_no_trouble(n, size):
    points = np.random.default_rng(0).normal(0, 1, (n, 384)).astype(np.float32)
    assert len(set(choose_bank(points, size, 0).tolist())) == size


def test_identical_patches_are_no_trouble():
    chosen = choose_bank(np.full((5_000, 96), 2.5, np.float32), 50, 0)
    assert len(chosen) == len(set(chosen.tolist())) == 50


def test_where_most_patches_are_copies_every_distinct_one_is_kept_and_none_twice():
    points = np.concatenate([np.zeros((9_000, 8)), np.eye(8).repeat(20, axis=0)]).astype(np.float32)
    chosen = choose_bank(points, 100, 0)
    assert len(chosen) == len(set(chosen.tolist())) <= 100
    assert len(np.unique(points[chosen], axis=0)) == 9


def test_same_seed_same_bank_and_another_seed_another(patches):
    first, again, other = (choose_bank(patches, 100, seed).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_vectors_far_from_the_origin_are_told_apart_nearly_as_well():
    """Squared distances from inner products lose digits there."""
    points = np.random.default_rng(3).normal(0, 1, (4_000, 32)).astype(np.float32)
    near, far = (reach(points, choose_bank(points + np.float32(offset), 100, 0)) for offset in (0, 300))
    assert far < 1.05 * near
