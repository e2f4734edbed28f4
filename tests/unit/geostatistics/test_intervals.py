import math

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geostatistics import interval_coverage


def test_coverage_counts_normal_errors():
    generator = torch.Generator().manual_seed(0)
    error = 3.0 * torch.randn((200, 500), generator=generator, dtype=torch.float64)
    variance = torch.full_like(error, 9.0)
    for level in (0.5, 0.9, 0.99):
        assert interval_coverage(error, variance, level) == pytest.approx(level, abs=0.005)
    for level in (0.0, 1.0):
        with pytest.raises(ConfigError, match="level"):
            interval_coverage(error, variance, level)


def test_coverage_of_arrays_is_that_of_tensors_and_of_nothing_is_none():
    error, variance = np.array([0.5, -1.6, 1.7, 3.0]), np.array([1.0, 1.0, 1.0, 4.0])
    assert interval_coverage(error, variance, 0.9) == 0.75
    assert interval_coverage(torch.from_numpy(error), torch.from_numpy(variance), 0.9) == 0.75
    assert math.isnan(interval_coverage(error[:0], variance[:0], 0.9))
