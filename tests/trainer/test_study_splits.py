"""Who is learned from and who is tested on: never both, the same for all, seeded."""

from pathlib import Path

import pytest

from models.errors import ConfigError, DatasetError
from tests import tiny
from tests.trainer.test_conditions_command import parts  # noqa: F401 - a fixture: rendered parts with COCO boxes
from trainer.study.pool import Pool, Source, read_pool
from trainer.study.splits import Wanted, make_splits


def pool_of(n_train=6, n_test=3, **kinds):
    def source(name, label, held_out=False):
        return Source(Path(name), name, f"{abs(hash(name)):064x}"[:64], label, held_out)

    good = [source(f"train/good/{i:03}.png", "good") for i in range(n_train)]
    good += [source(f"test/good/{i:03}.png", "good", True) for i in range(n_test)]
    bad = [source(f"test/{kind}/{i:03}.png", kind) for kind, count in kinds.items() for i in range(count)]
    return Pool(Path("data"), tuple(sorted([*good, *bad], key=lambda one: one.name)), has_boxes=False)


def names(sources):
    return [source.name for source in sources]


def test_where_the_data_have_roles_they_are_kept_and_every_defect_is_tested():
    (split,) = make_splits(pool_of(dent=4), Wanted())
    assert names(split.learn_good) == [f"train/good/{i:03}.png" for i in range(6)]
    assert split.learn_defect == ()
    tested = [f"test/good/{i:03}.png" for i in range(3)] + [f"test/dent/{i:03}.png" for i in range(4)]
    assert names(split.test) == tested


def test_limit_keeps_the_first_by_name_of_the_datas_own_role():
    (split,) = make_splits(pool_of(dent=4), Wanted(limit=2))
    assert names(split.learn_good) == ["train/good/000.png", "train/good/001.png"]
    assert sum(one.is_good for one in split.test) == 3


@pytest.mark.parametrize("seed", range(5))
def test_no_picture_is_on_both_sides_and_every_split_has_the_same_numbers(seed):
    splits = make_splits(pool_of(dent=5, scratch=10), Wanted(count=4, supervised=True, limit=4, seed=seed))
    for split in splits:
        assert not {*names(split.learn)} & {*names(split.test)}
        assert (len(split.learn_good), len(split.learn_defect)) == (4, 4 + 8)
        assert (sum(one.is_good for one in split.test), sum(one.label == "dent" for one in split.test)) == (3, 1)
    assert len({tuple(names(split.learn)) for split in splits}) == 4


def test_the_same_seed_splits_the_same_way_and_another_one_another_way():
    again, same, other = (make_splits(pool_of(dent=9), Wanted(count=3, supervised=True, seed=s)) for s in (1, 1, 2))
    assert again == same
    assert again != other


def test_further_splits_draw_from_all_good_parts_whatever_their_role():
    splits = make_splits(pool_of(n_train=3, n_test=3, dent=2), Wanted(count=6))
    assert any(one.held_out for split in splits[1:] for one in split.learn_good)


def test_one_split_where_nothing_is_to_choose_and_three_where_something_is():
    assert len(make_splits(pool_of(dent=4), Wanted())) == 1
    assert len(make_splits(pool_of(dent=4), Wanted(supervised=True))) == 3
    assert len(make_splits(pool_of(dent=4), Wanted(learn_defects=1))) == 3
    assert len(make_splits(pool_of(n_test=0, dent=4), Wanted())) == 3


def test_without_roles_a_fifth_of_the_good_parts_is_tested_or_what_limit_leaves():
    fifth, rest = (make_splits(pool_of(10, 0, dent=2), Wanted(limit=limit))[0] for limit in (None, 3))
    assert (len(fifth.learn_good), sum(one.is_good for one in fifth.test)) == (8, 2)
    assert (len(rest.learn_good), sum(one.is_good for one in rest.test)) == (3, 7)


def test_learn_defects_counts_each_kind_and_leaves_a_single_one_to_the_test():
    split = make_splits(pool_of(dent=5, scratch=3), Wanted(learn_defects=2))[0]
    assert sorted(one.label for one in split.learn_defect) == ["dent"] * 2 + ["scratch"] * 2
    single = make_splits(pool_of(dent=5, hole=1), Wanted(supervised=True))[0]
    assert {one.label for one in single.learn_defect} == {"dent"}


def test_as_few_are_tested_on_as_asked_and_what_is_learned_from_stays_the_same():
    pool = pool_of(dent=9, scratch=3)
    everything = make_splits(pool, Wanted(count=3, learn_defects=2))
    few = make_splits(pool, Wanted(count=3, learn_defects=2, test_good=2, test_defects=4))
    assert [split.learn for split in few] == [split.learn for split in everything]
    for some, every in zip(few, everything, strict=True):
        labels = [source.label for source in some.test]
        assert labels == ["good"] * 2 + ["dent"] * 4 + ["scratch"]
        assert set(some.test) < set(every.test)
    assert few == make_splits(pool, Wanted(count=3, learn_defects=2, test_good=2, test_defects=4))
    assert len({few[i].test for i in range(3)}) == 3


def test_more_to_test_on_than_there_are_means_all():
    pool = pool_of(dent=4)
    assert make_splits(pool, Wanted(test_good=99, test_defects=99)) == make_splits(pool, Wanted())


def test_too_few_pictures_for_either_side_are_refused():
    with pytest.raises(DatasetError, match="3 images of dent, --learn-defects 3 leaves none to test"):
        make_splits(pool_of(dent=3), Wanted(learn_defects=3))
    with pytest.raises(DatasetError, match="of 4 good images 4 to learn from leave 0 to test"):
        make_splits(pool_of(4, 0, dent=3), Wanted(limit=4))
    with pytest.raises(DatasetError, match="of 5 good images 1 to learn from leave 1 to test; at least 2 and 1"):
        make_splits(pool_of(4, 1, dent=3), Wanted(limit=1))


def test_the_pool_knows_roles_kinds_and_masks(plates):
    pool = read_pool(plates.root)
    assert (len(pool.good), {kind: len(of) for kind, of in pool.defects.items()}) == (12, {"hole": 4})
    assert (pool.has_roles, pool.has_masks, pool.has_boxes) == (True, True, False)
    assert pool.defects["hole"][0].flat == "test-hole-000.png"
    assert [one.name for one in pool.sources] == sorted(one.name for one in pool.sources)


def test_boxes_come_with_their_pictures(parts):  # noqa: F811
    pool = read_pool(parts)
    assert pool.has_boxes
    assert all(one.boxes and len(one.boxes) == len(one.classes) for of in pool.defects.values() for one in of)
    assert not any(one.boxes for one in pool.good)


def test_only_the_kinds_named_are_taken_and_one_that_is_not_there_is_refused(plates, tmp_path):
    assert list(read_pool(plates.root, ["hole"]).defects) == ["hole"]
    with pytest.raises(ConfigError, match="no defect 'dent'; it has hole"):
        read_pool(plates.root, ["dent"])
    tiny.write_image(tmp_path / "good/0.png", tiny.frame())
    with pytest.raises(DatasetError, match="no defects, nothing can be measured"):
        read_pool(tmp_path)
