from __future__ import annotations

import numpy as np
import torch

from geoloc.training.cell_classifier import ClassifierSettings, train_cell_classifier


def world(count, seed):
    """Three cells whose features stand around three corners, far from unit scale."""
    generator = torch.Generator().manual_seed(seed)
    cell = torch.randint(3, (count,), generator=generator)
    corner = torch.tensor([[4.0, 0.0, 900.0], [0.0, 4.0, 901.0], [-3.0, -3.0, 900.0]])
    feature = corner[cell] + torch.randn(count, 3, generator=generator)
    centre = torch.tensor([[0.0, 0.0], [0.0, 8.0], [60.0, 0.0]], dtype=torch.float64)
    return feature, centre[cell], cell, centre


def test_it_learns_cells_that_features_tell_and_answers_on_raw_features():
    feature, place, cell, centre = world(600, 0)
    settings = ClassifierSettings(epochs=20, learning_rate=0.05)
    model = train_cell_classifier(feature, place, cell, centre, settings=settings)
    fresh, _, true, _ = world(300, 1)
    with torch.no_grad():
        assert (model(fresh).argmax(dim=1) == true).float().mean() > 0.95
    again = train_cell_classifier(feature, place, cell, centre, settings=settings)
    np.testing.assert_array_equal(model(fresh).detach(), again(fresh).detach())


def test_smoothing_gives_near_cells_more_than_far_ones():
    feature, place, cell, centre = world(600, 0)
    settings = ClassifierSettings(epochs=20, learning_rate=0.05, smoothing_km=500.0)
    model = train_cell_classifier(feature, place, cell, centre, settings=settings)
    with torch.no_grad():
        share = torch.softmax(model(feature[cell == 0]), dim=1).mean(dim=0)
    assert share[0] > share[1] > 3.0 * share[2]
