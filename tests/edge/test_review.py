"""Answers of persons: what is shown, what is written, and what a kill or two people at once leave."""

import json
import multiprocessing
import os
import pty
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cli import main
from edge.evidence import write_frame
from edge.review import Reviews, drawn
from edge.review_tool import Session, Terminal
from models.errors import ConfigError, MekikiError
from models.review import KeptVerdict, Review, answers_in, standing, truth_of
from tests import tiny
from tests.edge.box import ROOT, Subscriber, wait_for
from tests.edge.test_evidence import DAY, verdict

EPOCH = "20260517T120000Z-ab12"


def png(patch: int = 0) -> bytes:
    return cv2.imencode(".png", tiny.frame(patch))[1].tobytes()


def keep(state: Path, seq: int, outcome: str = "ng", asked_for: str | None = "band", **changed: object) -> str:
    """A frame as the daemon keeps it; its key."""
    made = KeptVerdict(**dict(verdict(seq, outcome)) | {"asked_for": asked_for} | changed)
    key = f"{DAY}/{EPOCH}_top_{seq}"
    (state / "evidence" / DAY).mkdir(parents=True, exist_ok=True)
    heat = np.zeros((8, 8), np.float32)
    heat[:4, :4] = 0.8
    np.save(state / "heat.npy", heat)
    files = {".png": png(seq % 200), ".heatmap.npy": (state / "heat.npy").read_bytes()}
    write_frame(state / "evidence" / key, files | {".json": made.model_dump_json().encode()})
    return key


@pytest.fixture
def state(tmp_path) -> Path:
    (tmp_path / "edge.toml").write_text(
        'bundle = "b"\nstate = "state"\n[[camera]]\nname = "top"\nkind = "folder"\npath = "line"\n'
    )
    return tmp_path / "state"


@pytest.fixture
def review(state, capsys):
    """The command: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["review", "--config", str(state.parent / "edge.toml"), *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("outcome", "said", "truth"),
    [
        ("ok", "agree", "good"),
        ("ng", "agree", "defect"),
        ("unknown", "agree", None),
        ("ng", "false_reject", "good"),
        ("unknown", "false_reject", "good"),
        ("ok", "missed_defect", "defect"),
        ("unknown", "missed_defect", "defect"),
        ("ok", "unclear", None),
        ("ng", "undo", None),
    ],
)
def test_an_answer_says_what_the_part_is_or_leaves_it_open(outcome, said, truth):
    assert truth_of(outcome, said) == truth


def test_an_answer_is_written_down_with_verdict_picture_heatmap_who_and_when(state, review):
    key = keep(state, 7)
    code, out, _ = review(key, "--say", "false_reject", "--by", "sato", "--note", "oil, no scratch")
    assert code == 0
    assert "said     false_reject (oil, no scratch), by sato at 20" in out
    assert [path.name for path in (state / "review" / key).iterdir()] == ["1.json"]
    told = Review.model_validate_json((state / "review" / key / "1.json").read_bytes())
    assert (told.part, told.said, told.by, told.truth) == (key, "false_reject", "sato", "good")
    assert (told.verdict.seq, told.verdict.asked_for, told.verdict.bundle) == (7, "band", "0" * 64)
    assert told.picture_sha256 == json.loads((state / "review" / key / "1.json").read_text())["picture_sha256"]
    assert told.heatmap_sha256 is not None


def test_parts_that_wait_are_listed_until_somebody_answers_and_again_after_an_undo(state, review):
    keep(state, 1, asked_for=None)
    key = keep(state, 2)
    assert [json.loads(line)["part"] for line in review("--list", "--json")[1].splitlines()] == [key]
    assert len(review("--list", "--all", "--json")[1].splitlines()) == 2
    review(key, "--say", "agree", "--by", "sato")
    assert "no part waits for an answer" in review("--list")[1]
    review(key, "--say", "undo", "--by", "sato")
    assert key in review("--list")[1]
    assert [answer.said for answer in answers_in(state / "review" / key)] == ["agree", "undo"], "nothing is taken away"


def test_parts_of_which_a_candidate_says_otherwise_are_asked_about_too(state, review):
    key = keep(state, 1, "ok", asked_for=None)
    (state / "evidence" / f"{key}.shadow").write_text("{}")
    assert "asked for: shadow" in review("--list")[1]


def test_a_person_changes_an_answer_by_another_and_two_persons_have_one_each(state, review):
    key = keep(state, 0)
    for said, by in (("agree", "sato"), ("false_reject", "mori"), ("unclear", "sato")):
        review(key, "--say", said, "--by", by)
    found = standing(answers_in(state / "review" / key))
    assert [(answer.by, answer.said) for answer in found] == [("mori", "false_reject"), ("sato", "unclear")]


def test_a_part_is_found_by_its_key_its_name_and_its_part_id(state, review):
    key = keep(state, 3, part_id="A-17")
    for name in (key, key.partition("/")[2], "A-17"):
        assert review(name)[1].startswith(f"{key}\n")
    code, _, err = review("A-18")
    assert code == 2
    assert "A-18: no such part is kept; take a name from" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["PART", "--say", "missed_defect", "--by", "sato"], "the verdict is ng, nothing was missed"),
        (["PART", "--say", "false_reject", "--by", "sato", "--kind", "scratch"], "takes no kind of defect"),
        (["PART", "--say", "agree", "--by", "sato", "--kind", "../x"], "kind: String should match pattern"),
        (["PART", "--say", "agree", "--by", "sato", "--kind", "good"], "good is no kind of defect"),
        (["PART", "--say", "undo", "--by", "sato"], "sato has no answer there"),
        (["PART", "--say", "agree", "--by", " "], "by: String should have at least 1 character"),
        (["PART", "--say", "agree"], "--by: who answers?"),
        (["--say", "agree", "--by", "sato"], "--say: of which part?"),
        (["PART", "--kind", "scratch"], "--kind and --note go with --say"),
        ([], "--by: who answers?"),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_is_written(state, review, arguments, words):
    key = keep(state, 0)
    code, _, err = review(*(key if word == "PART" else word for word in arguments))
    assert code == 2
    assert words in err
    assert not list((state / "review").rglob("*.json"))


def test_the_overlay_shows_where_the_model_saw_something(state, review):
    key = keep(state, 0)
    target = state.parent / "seen.png"
    assert f"overlay  {target}" in review(key, "--overlay", str(target))[1]
    seen = cv2.imread(str(target)).astype(int)
    assert np.abs(seen[:16, :16] - 25).max() > 50
    assert np.array_equal(seen[40:, 40:], tiny.frame()[40:, 40:])


def test_boxes_are_drawn_where_there_is_no_heatmap(state):
    box = {"x_px": 8, "y_px": 8, "width_px": 30, "height_px": 30, "score": 0.9, "label": "spot"}
    key = keep(state, 0, regions=(box,))
    part = Reviews(state).find(key)
    part.heatmap.unlink()
    assert np.any(drawn(Reviews(state).find(key)) != tiny.frame())


def test_an_answer_that_cannot_be_read_is_named_and_no_other_takes_its_place(state, review):
    key = keep(state, 0)
    review(key, "--say", "agree", "--by", "sato")
    (state / "review" / key / "1.json").write_text("{")
    code, _, err = review("--list")
    assert code == 1
    assert "1.json: (top level): Invalid JSON" in err
    with pytest.raises(MekikiError):
        Reviews(state).find(key)


def answer_ten_times(state: Path, key: str, by: str) -> None:
    reviews = Reviews(state)
    for _ in range(10):
        reviews.say(reviews.find(key), "agree", by)


def test_people_who_answer_at_the_same_moment_lose_no_answer(state):
    key = keep(state, 0)
    context = multiprocessing.get_context("fork")
    people = [context.Process(target=answer_ten_times, args=(state, key, name)) for name in ("sato", "mori", "abe")]
    for person in people:
        person.start()
    for person in people:
        person.join(30)
    found = answers_in(state / "review" / key)
    assert sorted(answer.by for answer in found) == ["abe"] * 10 + ["mori"] * 10 + ["sato"] * 10
    names = {path.name for path in (state / "review" / key).iterdir()}
    assert names == {f"{number}.json" for number in range(1, 31)}


def test_a_kill_while_answers_are_written_leaves_whole_ones_only(state):
    key = keep(state, 0)
    code = f"from tests.edge.test_review import *\nwhile True: answer_ten_times(Path({str(state)!r}), {key!r}, 'sato')"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        wait_for(lambda: len(list((state / "review" / key).glob("*.json"))) >= 20)
    finally:
        process.kill()
        process.wait(10)
    assert len(answers_in(state / "review" / key)) >= 20
    Reviews(state).say(Reviews(state).find(key), "unclear", "mori")


class Person:
    """Presses keys, and sees what is said."""

    def __init__(self, keys: str, kinds: tuple[str, ...] = ()) -> None:
        self.seen: list[str] = []
        self._keys, self._kinds = iter(keys), iter(kinds)
        self.terminal = Terminal(self.seen.append, lambda: next(self._keys, ""), lambda _: next(self._kinds, ""))


def test_a_session_goes_through_the_parts_by_keys(state):
    keys = [keep(state, seq, outcome) for seq, outcome in enumerate(("ng", "ok", "unknown", "ng"))]
    reviews, person = Reviews(state), Person("fxmsa", ("scratch", "../no", "dent"))
    assert Session(reviews, "sato", person.terminal).run(reviews.parts()) == 3
    said = [[(answer.said, answer.kind) for answer in reviews.find(key).answers] for key in keys]
    assert said == [[("false_reject", None)], [("missed_defect", "scratch")], [], [("agree", "dent")]]
    assert any("kind: String should match pattern" in line for line in person.seen), "asked again"
    assert person.seen[-1] == "3 answered, 1 left"


def test_the_last_answer_of_a_session_can_be_taken_back(state):
    keys = [keep(state, seq) for seq in range(3)]
    reviews, person = Reviews(state), Person("zfzq")
    Session(reviews, "sato", person.terminal).run(reviews.parts())
    assert [answer.said for answer in reviews.find(keys[0]).answers] == ["false_reject", "undo"]
    assert "  no answer yet that could be taken back" in person.seen
    assert len(reviews.parts()) == 3


def test_a_viewer_that_is_not_there_is_named(state):
    keep(state, 0)
    with pytest.raises(ConfigError, match="--viewer no-such-viewer: No such file"):
        Session(Reviews(state), "sato", Person("a").terminal, "no-such-viewer").run(Reviews(state).parts())


def test_at_a_real_terminal_one_key_is_enough(state):
    key = keep(state, 0)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edge.cli", "review", "--config", str(state.parent / "edge.toml"), "--by", "sato"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, text=True)

    def is_over() -> bool:
        os.write(ours, b"f")  # again and again: what comes before the question is thrown away
        return process.poll() is not None

    wait_for(is_over)
    assert process.returncode == 0
    assert "1 answered, 0 left" in process.communicate()[0]
    assert [answer.said for answer in Reviews(state).find(key).answers] == ["false_reject"]


def test_what_a_daemon_asks_about_can_be_answered_while_it_runs(box):
    box.images("line", [tiny.OK, tiny.NG])
    tables = "[evidence]\nok_share = 0\nborderline = 0\n[review]\nband = [1, 1]\nshare = 1"
    box.write_folder("line", "fps = 20\nloop = true", tables=tables)
    reviews = Reviews(box.folder / "state")
    with Subscriber(box.address) as subscriber, box.daemon():
        subscriber.take(2)
        wait_for(lambda: len(reviews.parts()) >= 2)
        part = reviews.parts()[0]
        assert part.verdict.asked_for == "chance"
        assert part.heatmap is not None
        assert drawn(part).shape == (64, 64, 3)
        reviews.say(part, "agree", "sato")
        assert part.key not in [one.key for one in reviews.parts()]
