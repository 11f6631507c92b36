"""The page of an evaluation."""

from __future__ import annotations

from typing import Any

from monai_semigan.evaluation.empty import EMPTY_RULE
from monai_semigan.evaluation.table import CaseScore, count_classes, per_patient, summarize
from monai_semigan.report.evaluation_report import Evaluation, Thumbnail, render_evaluation_report

EVIL = "<script>alert(1)</script>"


def score(name: str, *, dice: float = 0.5, **changes: Any) -> CaseScore:
    values = {
        "case": name,
        "patient": f"patient of {name}",
        "class_name": "lung",
        "dice": dice,
        "iou": 0.4,
        "hd95_px": 12.0,
        "assd_px": 3.0,
        "hd95_mm": None,
        "assd_mm": None,
        "is_reference_empty": False,
        "is_prediction_empty": False,
    }
    return CaseScore(**(values | changes))


def evaluation(*cases: CaseScore, **changes: Any) -> Evaluation:
    patients = per_patient(cases)
    values = {
        "summaries": tuple(summarize(patients)),
        "patients": tuple(patients),
        "cases": cases,
        "classes": tuple(count_classes(cases)),
        "counts": {
            "cases": len({case.case for case in cases}),
            "patients": len({case.patient for case in cases}),
            "failed_cases": len(changes.get("failures", ())),
            "cases_with_ignore_mask": 0,
        },
        "has_patients": True,
        "bundle": "lungs 2",
        "inputs": {"predictions": "out", "references": "masks"},
        "created": "2020-01-02 03:04:05",
        "versions": {"made by": "<a test>"},
    }
    return Evaluation(**(values | changes))


def render(*cases: CaseScore, **changes: Any) -> str:
    return render_evaluation_report(evaluation(*cases, **changes))


def test_the_page_has_headlines_rule_plots_and_tables(read_page) -> None:
    cases = [score(f"case{at}", dice=0.5 + at / 20) for at in range(6)]

    page = read_page(render(*cases, failures=(("lost", "no prediction"),)))

    for words in (
        "0.625",
        "HD95 (px), lung",
        "12.00",
        EMPTY_RULE,
        "lungs 2",
        "masks",
        "Not scored (1)",
        "no prediction",
        "patient of case3",
    ):
        assert words in page.text
    assert page.text.index("case0") < page.text.index("case5")
    assert page.count("svg") == 3 and page.count("table") == 4
    assert "Research use only" in page.text and "made by <a test>" in page.text
    assert "(mm)" not in page.text


def test_the_worst_come_first_in_the_table_of_cases(read_page) -> None:
    text = render(score("good", dice=0.9), score("bad", dice=0.1))

    cases = text[text.index("<h2>Cases</h2>") :]
    assert cases.index("<td>bad</td>") < cases.index("<td>good</td>")


def test_millimetres_lead_only_where_every_patient_has_them(read_page) -> None:
    both = read_page(render(score("a", hd95_mm=6.0, assd_mm=1.0), score("b", hd95_mm=6.0, assd_mm=1.0)))
    mixed = read_page(render(score("a", hd95_mm=6.0, assd_mm=1.0), score("b")))

    assert "HD95 (mm), lung" in both.text and "HD95 (px), lung" not in both.text
    assert "HD95 (px), lung" in mixed.text and "HD95 (mm), lung" not in mixed.text
    assert "HD95 (mm)" in mixed.text  # still in the tables


def test_volumes_are_in_millimetres_and_millilitres(read_page) -> None:
    sizes = {"hd95_px": None, "assd_px": None, "hd95_mm": 6.0, "assd_mm": 1.0}
    cases = [
        score("a", predicted_ml=1500.04, reference_ml=1400.0, difference_ml=100.04, **sizes),
        score(
            "b",
            dice=0.7,
            predicted_ml=0.0,
            reference_ml=1200.0,
            difference_ml=-1200.0,
            **(sizes | {"hd95_mm": None, "assd_mm": None}),
        ),
    ]
    shown = Thumbnail(case="a", dice=0.5, picture=b"\x89PNG", note="axial slice 17 of <36>")

    page = read_page(render(*cases, worst=(shown,)))

    for words in ("HD95 (mm), lung", "Volume difference (mL), lung", "-550.0", "1500.0", "predicted minus reference"):
        assert words in page.text
    assert "(px)" not in page.text and "axial slice 17 of <36>" in page.text
    assert page.count("svg") == 3  # no limits of agreement of two
    more = [score(f"c{at}", predicted_ml=100.0 + at, reference_ml=100.0, difference_ml=1.0 * at) for at in range(3)]
    assert "Bland-Altman" in read_page(render(*more)).text
    assert "minus" not in read_page(render(score("a"))).text


def test_empty_masks_are_counted_and_named(read_page) -> None:
    gone = {"hd95_px": None, "assd_px": None}
    cases = [
        score("a"),
        score("b", dice=1.0, is_reference_empty=True, is_prediction_empty=True, **gone),
        score("c", dice=0.0, is_reference_empty=True, **gone),
        score("d", dice=0.0, is_prediction_empty=True, **gone),
    ]

    text = render(*cases)

    number = '<td class="number">'
    assert f"<td>lung</td>{number}4</td>{number}1</td>{number}1</td>{number}1</td>{number}3</td>" in text
    assert text.count(f"{number}both</td>") == text.count(f"{number}reference</td>") == 1


def test_one_case_of_one_patient_has_no_interval_and_no_plot(read_page) -> None:
    page = read_page(render(score("a")))

    assert "no interval from one patient" in page.text and page.count("svg") == 0
    assert read_page(render(score("a"), score("b"))).count("svg") == 3


def test_without_patients_the_page_speaks_of_cases(read_page) -> None:
    cases = [score(name, patient=name) for name in "ab"]

    page = read_page(render(*cases, has_patients=False))

    assert "Summary over cases" in page.text and "patient" not in page.text.lower()
    assert "Patients" in read_page(render(*cases)).text


def test_every_table_sorts(read_page) -> None:
    tables = [attributes for tag, attributes in read_page(render(score("a"))).elements if tag == "table"]

    assert len(tables) == 4 and all(attributes["class"] == "sortable" for attributes in tables)


def test_cases_lead_to_their_segmentations(read_page) -> None:
    worst = Thumbnail(case="a", dice=0.5, picture=b"\x89PNG")

    page = read_page(render(score("a"), score("b"), links={"a": "../out/a/label.png"}, worst=(worst,)))

    assert [attributes["href"] for tag, attributes in page.elements if tag == "a"] == ["../out/a/label.png"] * 3


def test_errors_on_an_image_are_explained(read_page) -> None:
    drawn, bare = (
        read_page(render(score("a"), worst=(Thumbnail(case="a", dice=0.5, picture=b"x", is_on_image=on),)))
        for on in (True, False)
    )

    assert "border of the reference" in drawn.text and "border of the reference" not in bare.text
    assert "both" in bare.text.split("Lowest Dice")[1].split("Empty")[0]


def test_an_evaluation_is_one_line_in_a_terminal_and_a_page_in_a_notebook() -> None:
    made = evaluation(score("a"), score("b", dice=0.7), failures=(("c", "why"),))

    assert repr(made) == "Evaluation(2 cases, 1 not scored; Dice: lung 0.600)"
    assert made._repr_html_().startswith("<iframe")


def test_no_case_at_all_is_a_page_too(read_page) -> None:
    page = read_page(render(failures=(("a", "why"), ("b", "why"))))

    assert "Not scored (2)" in page.text and page.count("svg") == 0


def test_odd_names_are_text_everywhere(read_page) -> None:
    cases = [score(f"{EVIL}{at}", patient=EVIL, class_name=EVIL) for at in range(2)]
    worst = Thumbnail(case=EVIL, dice=0.1, picture=b"\x89PNG")

    page = read_page(render(*cases, failures=((EVIL, EVIL),), worst=(worst,)))

    assert page.count("script") == 1 and page.count("img") == 1
    assert page.text.count(EVIL) > 8


def test_of_many_classes_the_worst_are_drawn_and_all_are_listed(read_page) -> None:
    cases = [score(name, class_name=f"organ {at}", dice=at / 40) for at in range(40) for name in "ab"]

    page = read_page(render(*cases))

    assert "The 12 classes with the lowest mean Dice, of 40." in page.text
    assert all(f"organ {at}" in page.text for at in range(40))
    assert "Dice, mean of classes" in page.text and "Dice, organ" not in page.text
