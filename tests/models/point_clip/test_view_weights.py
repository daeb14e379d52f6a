"""The search against the official loops, written plainly; grids, ties, stored files."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from mmclip.models.point_clip.view_weights import (
    GRIDS,
    count_correct,
    grid_of,
    official_grid,
    read_stored,
    scores_of_features,
    search_coordinates,
    search_grid,
)


def data(count: int = 60, views: int = 4, classes: int = 5, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(count, views, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (count,), generator=generator)
    scores[torch.arange(count), :, labels] += 0.6
    return scores, labels


def loops(scores, labels, rows) -> tuple[tuple[float, ...], int, int]:
    """Nested loops, the first view slowest; the first strictly better combination wins."""
    best, weights, improvements = 0, None, 0
    for combination in itertools.product(*rows):
        logits = (scores * torch.tensor(combination, dtype=scores.dtype)[:, None]).sum(1)
        correct = int((logits.argmax(1) == labels).sum())
        if correct > best:
            best, weights, improvements = correct, combination, improvements + 1
    return weights, best, improvements


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('name', GRIDS)
def test_equals_the_loops(name, seed):
    scores, labels = data(seed=seed)
    found = search_grid(scores, labels[:, None], choices=name)
    weights, best, improvements = loops(scores, labels, grid_of(name, 4))
    assert (found.weights, found.correct) == (weights, best)
    # A combination of zeros names the first class of all; ours leaves it out.
    assert found.improvements == improvements or name == 'drop'
    assert found.combinations == 256 and found.total == 60
    uniform = int((scores.sum(1).argmax(1) == labels).sum())
    assert found.correct_uniform == uniform
    assert found.accuracy == pytest.approx(100 * found.correct / 60)


def test_more_combinations_than_a_chunk():
    scores, labels = data(count=20, views=7, classes=3)
    reports = []
    rows = [*grid_of('official', 6), [0.5, 1.0]]
    found = search_grid(
        scores, labels, choices=rows, progress=lambda *numbers: reports.append(numbers)
    )
    assert (found.weights, found.correct, found.improvements) == loops(scores, labels, rows)
    assert reports == [(4096, 8192), (8192, 8192)]


def test_each_view_may_have_its_own_grid():
    scores, labels = data(views=3)
    rows = [[0.75], [0.25, 0.5], [1.0, 0.5, 0.25]]
    found = search_grid(scores, labels, choices=rows)
    assert (found.weights, found.correct, found.improvements) == loops(scores, labels, rows)


def test_counts_of_any_weights():
    scores, labels = data(count=300)
    weights = torch.rand(150, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = [int(((scores * w[:, None]).sum(1).argmax(1) == labels).sum()) for w in weights]
    assert count_correct(scores, labels, weights).tolist() == expected


def test_of_equal_names_the_first_counts():
    scores, _ = data(count=10, classes=3)
    scores[:, :, 2] = scores[:, :, 0] = 9.0
    ones = torch.ones(1, 4)
    assert count_correct(scores, torch.zeros(10, dtype=torch.long), ones) == 10
    assert count_correct(scores, torch.full((10,), 2), ones) == 0


def test_dropping_a_view_that_misleads():
    """One of two views is right, the other three times as loud and wrong."""
    scores = torch.tensor([[[1.0, 0.0], [0.0, 9.0]]] * 4)
    labels = torch.zeros(4, dtype=torch.long)
    assert search_grid(scores, labels, choices='official').correct == 0
    found = search_grid(scores, labels, choices='drop')
    assert found.weights == (0.25, 0.0) and found.correct == 4
    assert search_coordinates(scores, labels, choices='drop').weights[1] == 0


def test_nothing_right_leaves_equal_weights():
    scores = torch.tensor([[[0.0, 1.0]] * 2] * 3)
    found = search_grid(scores, torch.zeros(3, dtype=torch.long))
    assert found.weights == (1.0, 1.0) and found.correct == 0 and found.improvements == 0


def test_no_cloud():
    found = search_grid(torch.zeros(0, 2, 3), torch.zeros(0, dtype=torch.long))
    assert found.weights == (1.0, 1.0) and found.accuracy != found.accuracy


@pytest.mark.parametrize('seed', range(3))
def test_coordinate_ascent_is_near_the_grid(seed):
    scores, labels = data(count=200, seed=seed)
    best = search_grid(scores, labels, choices='drop')
    found = search_coordinates(scores, labels, choices='drop', starts=8, seed=1)
    assert found.correct_uniform <= found.correct <= best.correct
    assert found.correct >= best.correct - 4 and found.combinations < 256 * 4
    weights = torch.tensor([found.weights])
    assert int(count_correct(scores, labels, weights)) == found.correct
    assert found == search_coordinates(scores, labels, choices='drop', starts=8, seed=1)


def test_official_steps():
    assert official_grid(4, 1) == GRIDS['official']
    assert official_grid(2, 3.0) == (1.5, 3.0)


def test_scores_of_stored_features(tmp_path):
    features, texts = torch.randn(6, 8), torch.randn(3, 4)
    path = tmp_path / 'features.pt', tmp_path / 'labels.pt'
    torch.save(features.half(), path[0])
    torch.save(torch.tensor([[0], [1], [2], [0], [1], [2]]), path[1])
    stored, labels = read_stored(*path)
    assert stored.dtype == torch.float32 and labels.tolist() == [0, 1, 2] * 2
    scores = scores_of_features(stored, texts, num_views=2, logit_scale=10.0)
    repeated = F.normalize(texts.repeat(1, 2), dim=1)
    torch.testing.assert_close(scores.sum(1), 10 * stored @ repeated.T)
    torch.save(torch.tensor([0, 1]), path[1])
    with pytest.raises(ValueError, match='2 labels for 6 features'):
        read_stored(*path)
    torch.save(dict(a=1), path[1])
    with pytest.raises(ValueError, match='labels.pt: expected a tensor'):
        read_stored(*path)
    with pytest.raises(FileNotFoundError, match='gone'):
        read_stored(tmp_path / 'gone.pt', path[1])


@pytest.mark.parametrize(
    ('choices', 'told'),
    [
        ('fine', "unknown grid 'fine'; there are official, drop"),
        ([], 'choices'),
        ([-1.0, 1.0], 'choices: -1.0 is no weight'),
        ([[1.0], [1.0]], 'or 4 lists'),
    ],
)
def test_mistakes(choices, told):
    scores, labels = data(count=3)
    with pytest.raises(ValueError, match=told):
        search_grid(scores, labels, choices=choices)
    with pytest.raises(ValueError, match='labels: expected 0 to 4'):
        search_grid(scores, labels + 5)
    with pytest.raises(ValueError, match=r'expected \(N, V, K\)'):
        search_grid(scores[:2], labels)
    with pytest.raises(ValueError, match='features: 8 channels; expected 3 views x 4'):
        scores_of_features(torch.zeros(1, 8), torch.zeros(2, 4), num_views=3, logit_scale=1.0)
    with pytest.raises(ValueError, match='starts: 0'):
        search_coordinates(scores, labels, starts=0)
