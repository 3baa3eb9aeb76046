import math

import numpy as np
import pandas as pd
import pytest

from dashboards.figures.hover import compact
from dashboards.figures.log_axis import log_axis


@pytest.mark.parametrize("odd", [0.0, -3.0, math.nan, math.inf])
def test_a_value_that_a_logarithmic_axis_cannot_show_leaves_its_labels(odd):
    assert log_axis([odd, 2.0, 30.0]) == log_axis([2.0, 30.0])
    assert log_axis([odd]) == {"type": "log"}


@pytest.mark.parametrize("far", [1e300, 1e-300])
def test_coordinates_beyond_single_precision_stay_where_they_are(far):
    assert compact(pd.Series([far, 1.0, np.nan]))[0] == far
    assert compact(pd.Series([3.0, 0.0, np.inf])).dtype == np.float32
