"""The demo's own parts; `make demo` itself is the test of the whole."""

from trainer.demo import _fill_line, _real, _summary, main


def test_the_line_brings_every_test_image_under_a_name_that_gives_nothing_away(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.demo.HOME", tmp_path / "demo")
    (tmp_path / "demo").mkdir()
    for kind in ("good", "scratch"):
        (tmp_path / "test" / kind).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "test" / kind / f"{number}.png").write_bytes(kind.encode() + bytes([number]))
    truth = _fill_line(tmp_path / "test")
    assert sorted(truth.values()) == ["good"] * 3 + ["scratch"] * 3
    assert not any("good" in name or "scratch" in name for name in truth)
    for name, kind in truth.items():
        assert (tmp_path / "demo" / "line" / name).read_bytes().startswith(kind.encode())


def test_a_folder_that_is_no_dataset_is_wrong_usage(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([str(tmp_path / "nothing")]) == 2
    assert "wanted train/good/" in capsys.readouterr().err


def test_only_good_images_of_a_real_dataset_are_learned_from(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.demo.HOME", tmp_path / "demo")
    for folder in ("train/good", "test/good", "test/bent"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(25):
            (tmp_path / "data" / folder / f"{number:02}.png").write_bytes(b"x")
    truth = _real(tmp_path / "data")
    assert [p.name for p in sorted((tmp_path / "demo" / "parts").rglob("*.png"))] == [f"{n:02}.png" for n in range(20)]
    assert len(truth) == 50


def verdict(seq: int, source: str, outcome: str) -> dict:
    return {
        "seq": seq, "source": source, "outcome": outcome, "score": 1.0, "regions": [],
        "stages": {"infer_s": 0.1, "total_s": 0.2},
    }  # fmt: skip


def test_a_missed_defect_a_hole_or_too_many_rejects_fail_the_demo(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("trainer.demo._picture", lambda *_: tmp_path / "sheet.jpg")
    truth = {"a": "good", "b": "scratch", "c": "good"}
    fine = [verdict(0, "a", "ok"), verdict(1, "b", "ng"), verdict(2, "c", "ok")]
    assert _summary(fine, truth, "")
    assert not _summary([fine[0], verdict(1, "b", "ok"), fine[2]], truth, "")
    assert not _summary([fine[0], fine[1], verdict(3, "c", "ok")], truth, "")
    assert not _summary(fine[:2], truth, "")
    assert "no hole" in capsys.readouterr().out
