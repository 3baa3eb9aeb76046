import json

from dashboards.frame import COLUMNS, Objective, validate
from nas.candidates import Evaluated, Failed

OBJECTIVES = (Objective(column="error", label="Error"), Objective(column="cost", label="Cost"))


def test_the_frame_follows_the_contract_of_the_dashboards(toy):
    study = toy.study()
    study.add(toy.candidate(0, (1,) * 6))
    study.add(toy.candidate(1, (2,) * 6))
    study.add(toy.candidate(2, (1, 0, 1, 0, 1, 0)))
    study.finish(1, Evaluated(objectives={"error": 2.0}, details={"curve": [[10, 3.0, None]], "tokens_seen": 10}))
    study.finish(0, Failed("diverged", "NaN in step 3"))
    frame = study.history().results_frame()
    validate(frame, objectives=OBJECTIVES)
    assert list(frame["number"]) == [0, 1]
    assert list(frame["status"]) == ["failed", "finished"]
    assert list(frame["finish_index"]) == [1, 0]
    assert list(frame["is_frontier"]) == [False, True]
    assert frame["failure_message"][0] == "NaN in step 3"
    assert json.loads(frame["curve"][1]) == [[10, 3.0, None]]
    assert json.loads(frame["genome"][1]) == {"digits": [2] * 6}
    assert frame["cost"].tolist() == [7.0, 13.0]
    assert frame["architecture"].isna().all()


def test_an_empty_study_gives_an_empty_frame_of_the_same_columns(toy):
    frame = toy.study().history().results_frame()
    validate(frame, objectives=OBJECTIVES)
    assert len(frame) == 0
    assert [name for name in frame.columns if name not in ("error", "cost")] == [column.name for column in COLUMNS]


def test_hypervolume_never_falls_and_ignores_repeats(toy):
    study = toy.study()
    for number, (digit, error) in enumerate([(1, 9.0), (2, 4.0), (0, 20.0)]):
        study.add(toy.candidate(number, (digit,) * 6))
        study.finish(number, Evaluated(objectives={"error": error}))
    study.add(toy.candidate(3, (1,) * 6, repeat_of=0))
    study.finish(3, Evaluated(objectives={"error": 1.0}))
    frame = study.history().results_frame()
    volumes = frame["hypervolume"].tolist()
    assert volumes[:3] == sorted(volumes[:3])
    assert frame["hypervolume"].isna().tolist() == [False, False, False, True]
    assert not frame["is_frontier"][3]
