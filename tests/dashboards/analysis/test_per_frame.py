import gc

import pandas as pd

from dashboards.analysis.per_frame import per_frame


def test_an_answer_is_worked_out_once_a_frame_and_argument():
    asked = []

    @per_frame
    def size(frame, name):
        asked.append(name)
        return len(frame)

    frame, other = pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1]})
    assert [size(frame, "a"), size(frame, "a"), size(frame, "b"), size(other, "a")] == [2, 2, 2, 1]
    assert asked == ["a", "b", "a"]


def test_nothing_is_kept_of_a_frame_that_is_gone():
    asked = []

    @per_frame
    def size(frame):
        asked.append(len(frame))
        return asked

    for length in range(5):
        size(pd.DataFrame({"a": range(length)}))
        gc.collect()
    assert asked == [0, 1, 2, 3, 4]
