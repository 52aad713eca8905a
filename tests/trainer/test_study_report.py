"""The report of a study: whole in one file, honest, in two languages."""

import base64
import re
import shutil
import string
import subprocess
import time
from html.parser import HTMLParser

import numpy as np
import pytest

from models.images import read_image
from models.scoring import judge
from tests.trainer.studies import make_study
from trainer.conditions import all_conditions, parse_conditions
from trainer.study.phrases import Phrases
from trainer.study.recommend import Findings, recommend
from trainer.study.report import write_report
from trainer.study.report.found import Found
from trainer.study.report.numbers import share
from trainer.study.report.pictures import embedded
from trainer.study.report.write import _HERE, render, words_of

VOID = {"meta", "br", "img", "link", "hr", "input"}
LANGS = ("en", "ja")
ONE = parse_conditions("original,position")
each_language = pytest.mark.parametrize("lang", LANGS)


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails where tags do not close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = [], [], [], []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def study(folder):
    return make_study(pictures=folder, n_splits=2, review=0.4, apart=3.0)


@pytest.fixture(scope="module", params=LANGS)
def page(request, study, folder):
    return Page(write_report(study, folder, request.param).read_text(encoding="utf-8"))


def found_of(study, lang="en") -> Found:
    return Found(study, words_of(lang))


def test_a_report_is_one_file_that_names_no_other(page):
    links = [value for name, value in page.attributes if name in ("src", "href", "srcset", "data", "poster", "action")]
    assert any(link.startswith("data:image/jpeg;base64,") for link in links)
    assert [link for link in links if not link.startswith(("data:image/jpeg;base64,", "#"))] == []
    assert {"script", "link", "iframe", "object", "embed", "form"} & set(page.tags) == set()
    assert [
        value for _, value in page.attributes if re.search(r"https?:|//", (value or "").partition("base64")[0])
    ] == []


def test_a_report_forbids_the_browser_to_load_anything(study, folder):
    html = render(study, folder, "en")
    assert """content="default-src 'none'; style-src 'unsafe-inline'; img-src data:\"""" in html
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert len(style) > 1000
    assert re.findall(r"url\(|@import|https?:", style) == []


def test_every_link_of_the_contents_leads_to_a_section(page):
    ids = {value for name, value in page.attributes if name == "id"}
    links = {value[1:] for name, value in page.attributes if name == "href"}
    assert links == ids


def recommended(study):
    """With what mekiki recommends of its figures, where `make_study` made something up."""
    facts = Findings(study.candidates, study.cells, study.summaries, study.failures, study.times.feasible)
    return study.model_copy(update={"recommendation": recommend(facts, study.times.cycle_time_s)})


def test_a_japanese_report_gives_the_recommendation_in_japanese_too(study, folder):
    told = recommended(study)
    text = Page(render(told, folder, "ja")).text
    own = told.recommendation
    english = [*own.why, *own.surer, *(reason for verdict in own.ranking for reason in verdict.reasons)]
    assert [sentence for sentence in english if sentence.replace("`", "") in text] == []
    assert "しきい値で不良品" in text
    assert "良品 42 枚のうち" in text  # 21 in each of two splits
    assert words_of("ja")["sentences_in_english"] not in text
    assert "「背景" in text or "「位置ずれ" in text
    assert own.why[0] in Page(render(told, folder, "en")).text


def test_a_recommendation_that_this_mekiki_would_not_give_stays_in_the_studys_own_words(study, folder):
    own = recommended(study).recommendation
    other = study.model_copy(
        update={"recommendation": own.model_copy(update={"ranking": own.ranking[::-1], "why": ("Because.",)})}
    )
    text = Page(render(other, folder, "ja")).text
    assert "Because." in text
    assert words_of("ja")["sentences_in_english"] in text


def test_what_stands_between_backquotes_is_code_and_all_is_escaped(study, folder):
    why = ("Try `fit <b>` & see.", "A ` alone.")
    changed = study.model_copy(update={"recommendation": study.recommendation.model_copy(update={"why": why})})
    html = render(changed, folder, "en")
    assert "<li>Try <code>fit &lt;b&gt;</code> &amp; see.</li><li>A ` alone.</li>" in html


def test_options_that_are_switches_stand_in_the_report_as_they_are_typed(study, folder):
    options = {"one_class": True, "allow_hub": False, "steps": 5}
    candidates = (study.candidates[0].model_copy(update={"options": options}), *study.candidates[1:])
    html = render(study.model_copy(update={"candidates": candidates}), folder, "en")
    assert "<code>--one-class --steps 5</code>" in html


def test_the_phrases_of_both_languages_have_the_same_keys_and_places():
    english, japanese = (Phrases.of(lang).texts for lang in LANGS)
    assert english.keys() == japanese.keys()
    for key, text in english.items():
        places = [
            {(name, spec) for _, name, spec, _ in string.Formatter().parse(one) if name}
            for one in (text, japanese[key])
        ]
        assert places[0] == places[1], key


def test_every_candidate_condition_failure_version_and_image_stands_in_the_report(folder):
    conditions = all_conditions()
    study = make_study(conditions=conditions, failed=[("rtmdet", "matched", "noise")], pictures=folder)
    for lang in LANGS:
        text = Page(render(study, folder, lang)).text
        found = found_of(study, lang)
        wanted = {found.condition_title(condition.name) for condition in conditions}
        wanted |= {condition.name for condition in conditions} | set(found.candidates)
        wanted |= {study.command, study.failures[0].error, *study.data.images, *study.data.images.values()}
        wanted |= {f"{name} {version}" for name, version in study.versions.items()}
        assert {one for one in wanted if one not in text} == set()


def test_every_mean_and_interval_of_auc_and_precision_stands_in_the_matrix(page, study):
    for summary in study.summaries:
        for interval in (summary.roc_auc, summary.precision_at_recall_1, summary.recall, summary.false_reject_rate):
            assert f"{share(interval.value)} {share(interval.low)}–{share(interval.high)}" in page.text  # noqa: RUF001


def renamed(part, label):
    return part if part.label == "good" else part.model_copy(update={"label": label})


def test_names_and_sentences_with_markup_are_shown_and_not_run(tmp_path):
    bad = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
    study = make_study(conditions=ONE, failed=[("rtmdet", "frozen", "position")], error=bad, duplicates=[(bad, bad)])
    told = study.recommendation.model_copy(update={"why": (bad,), "surer": (bad,)})
    data = study.data.model_copy(
        update={"root": bad, "defects": {bad: 3}, "images": dict.fromkeys(study.data.images, bad)}
    )
    cells = tuple(
        cell.model_copy(update={"parts": tuple(renamed(part, bad) for part in cell.parts)}) for cell in study.cells
    )
    pictures = {cells[-1].parts[-1].sha256: bad}
    cells = (*cells[:-1], cells[-1].model_copy(update={"pictures": pictures}))
    study = study.model_copy(
        update={"recommendation": told, "data": data, "command": bad, "versions": {bad: bad}, "cells": cells}
    )
    page = Page(render(study, tmp_path, "en"))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "onerror" not in {name for name, _ in page.attributes}
    assert page.text.count(bad) > 10


def test_both_languages_have_the_same_keys_and_the_same_placeholders():
    def placeholders(text):
        return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)

    en, ja = words_of("en"), words_of("ja")
    assert list(en) == list(ja)
    assert {key for key in en if placeholders(en[key]) != placeholders(ja[key])} == set()
    assert {key for key in en if not en[key].strip() or not ja[key].strip()} == set()


def test_a_japanese_report_has_no_fixed_english_sentence(study, folder):
    en, ja = words_of("en"), words_of("ja")
    text = Page(render(study, folder, "ja")).text
    kept = {key for key, sentence in en.items() if sentence == ja[key]}
    assert kept == {"roc_auc"}
    sentences = [sentence for sentence in en.values() if sentence.endswith(".") and "{" not in sentence]
    assert len(sentences) > 15
    assert [sentence for sentence in sentences if sentence in text] == []


def test_every_fixed_text_is_used_somewhere():
    used = "".join(path.read_text(encoding="utf-8") for path in _HERE.rglob("*") if path.suffix in (".py", ".j2"))
    made = ("section_", "means_", "short_", "protocol_", "group_", "policy_", "kind_")  # from the study's own words
    keys = [key for key in words_of("en") if not key.startswith(made)]
    assert len(keys) > 80
    assert [key for key in keys if not re.search(rf"\bt\.{key}\b|[\"']{key}[\"']", used)] == []


def test_missed_defects_come_first_then_good_parts_rejected_then_the_rest(study, folder):
    html = render(study, folder, "en")
    at = [html.index(f'class="pictures {group}"') for group in ("missed", "false_reject", "rest")]
    assert at == sorted(at)
    missed = html[at[0] : at[1]]
    assert "→ ok" in missed
    assert "→ ng" not in missed


def test_the_count_of_missed_defects_is_what_the_threshold_and_review_band_say(study, folder):
    own = [c for c in study.cells if c.protocol == "frozen" or c.condition != "original"]  # else the same bundle twice
    outcomes = [
        (part.label == "good", judge(part.score, c.threshold.ng_at_or_above, c.threshold.review_at_or_above)[0])
        for c in own
        for part in c.parts
    ]
    text = Page(render(study, folder, "en")).text
    assert f"Missed defects ({outcomes.count((False, 'ok'))})" in text
    assert f"Good parts rejected ({outcomes.count((True, 'ng'))})" in text
    assert outcomes.count((False, "unknown")) > 0  # a person looks at these: not missed


def test_a_missed_defect_without_picture_is_named(tmp_path):
    study = make_study(names=["only"], conditions=ONE, apart=0.5, choice=None)
    missed = next(
        p for p in study.cells[0].parts if p.label != "good" and p.score < study.cells[0].threshold.ng_at_or_above
    )
    assert f"{study.data.images[missed.sha256]} ({missed.score:.4g})" in Page(render(study, tmp_path, "en")).text


def test_pictures_are_embedded_small_and_as_they_are(tmp_path):
    from tests.tiny import write_image

    write_image(tmp_path / "a.png", np.full((600, 900, 3), (10, 120, 240), np.uint8))
    kind, _, packed = embedded(tmp_path, "a.png").partition(",")
    (tmp_path / "b.jpg").write_bytes(base64.b64decode(packed))
    picture = read_image(tmp_path / "b.jpg")
    assert kind == "data:image/jpeg;base64"
    assert picture.shape == (267, 400, 3)
    assert np.abs(picture.reshape(-1, 3).mean(0) - (10, 120, 240)).max() < 4


@pytest.mark.parametrize("name", ["gone.png", "text.png", "../outside.png"])
def test_a_picture_that_cannot_be_read_or_lies_elsewhere_leaves_its_place_empty(tmp_path, name):
    from tests.tiny import write_image

    folder = tmp_path / "study"
    folder.mkdir()
    write_image(tmp_path / "outside.png", np.zeros((8, 8, 3), np.uint8))
    (folder / "text.png").write_text("no picture")
    study = make_study(names=["only"], conditions=ONE[:1], protocols=["frozen"], choice=None)
    first = study.cells[0]
    broken = first.model_copy(update={"pictures": {first.parts[-1].sha256: name}})
    page = Page(render(study.model_copy(update={"cells": (broken, *study.cells[1:])}), folder, "en"))
    assert words_of("en")["picture_missing"] in page.text
    assert "img" not in page.tags


AWKWARD = {
    "one candidate, one condition": {
        "names": ["only"], "conditions": ONE[:1], "protocols": ["frozen"], "cycle_time_s": None,
    },
    "matched only": {"protocols": ["matched"], "conditions": ONE},
    "no original pictures": {"conditions": parse_conditions("noise,jpeg:0.8+position")},
    "worse than a coin, review": {"apart": -2.0, "conditions": ONE, "review": 0.5},
    "nothing could be measured": {
        "names": ["only"], "conditions": ONE,
        "failed": [("only", protocol, name) for protocol in ("matched", "frozen") for name in ("original", "position")],
    },
}  # fmt: skip


@each_language
@pytest.mark.parametrize("case", AWKWARD)
def test_an_awkward_study_has_a_report_too(case, lang, tmp_path):
    study = make_study(**{"choice": None, **AWKWARD[case]})
    page = Page(render(study, tmp_path, lang))
    assert words_of(lang)["choice_none"] in page.text
    numbers = [value for name, value in page.attributes if name in ("x", "y", "points", "width", "height", "x1", "y1")]
    assert [value for value in numbers if "nan" in value or "inf" in value] == []


def test_a_report_of_three_candidates_under_eight_conditions_is_quick_and_small(tmp_path):
    study = make_study()
    render(study, tmp_path, "en")  # imports sklearn
    began = time.perf_counter()
    path = write_report(study, tmp_path, "en")
    assert time.perf_counter() - began < 5
    assert path.stat().st_size < 5e6


def test_the_same_study_gives_the_same_report_which_names_the_digest_of_its_file(study, tmp_path):
    (tmp_path / "study.json").write_text(study.model_dump_json())
    first, second = (write_report(study, tmp_path, "en").read_bytes() for _ in range(2))
    from models.files import sha256_of

    assert first == second
    assert sha256_of(tmp_path / "study.json").encode() in first


def test_a_study_that_went_through_its_file_gives_the_same_report(study, folder):
    again = type(study).model_validate_json(study.model_dump_json())
    assert render(again, folder, "ja") == render(study, folder, "ja")


PROBE = """<script>
document.querySelectorAll('details').forEach(fold => fold.open = true);
const box = element => element.getBoundingClientRect();
const wide = [...document.querySelectorAll('main *')].filter(one => box(one).right > innerWidth + 1);
const out = [...document.querySelectorAll('svg text')].filter(one => {
  const a = box(one), b = box(one.closest('svg'));
  return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 2 || a.bottom > b.bottom + 2;
});
document.title = `probed ${wide.length} ${out.length} ${out.slice(0, 3).map(one => one.textContent)}`;
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
@each_language
def test_nothing_sticks_out_of_the_page_in_a_real_browser(lang, folder, study):
    """A probe is added that opens all folds and names what is wider than the window or its drawing."""
    html = write_report(study, folder, lang).read_text(encoding="utf-8")
    page = folder / f"probe-{lang}.html"
    html = re.sub(r"<meta http-equiv[^>]*>", "", html)  # else no script runs
    page.write_text(html.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,1400",
        f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert re.findall(r"<title>(probed.*?)</title>", done.stdout) == ["probed 0 0 "]
