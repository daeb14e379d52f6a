import copy
import pickle

import pytest
import torch
from torch import nn

from mmclip.vocabulary.embedding_cache import EmbeddingCache


class Owner(nn.Module):
    """Encodes by its weight, counts how often."""

    def __init__(self):
        super().__init__()
        self.tower = nn.Linear(2, 2, bias=False)
        self.cache = EmbeddingCache()
        self.calls = 0

    def text(self):
        return self.cache.get('text', self.tower, self._encode)

    @torch.no_grad()
    def _encode(self):
        self.calls += 1
        return self.tower.weight.clone()


def in_place(model):
    with torch.no_grad():
        model.tower.weight.add_(1)


def swapped(model):
    model.tower.weight.data.add_(1)  # as an averaged model does: no version shows it
    model.eval()


@pytest.mark.parametrize(
    'change',
    [
        in_place,
        swapped,
        lambda model: setattr(model.tower, 'weight', nn.Parameter(torch.ones(2, 2))),
        lambda model: model.load_state_dict({'tower.weight': torch.ones(2, 2)}),
        lambda model: model.double(),
    ],
)
def test_no_change_of_weights_leaves_an_old_value(change):
    model = Owner().eval()
    model.text()
    assert model.text() is model.text() and model.calls == 1
    change(model)
    assert torch.equal(model.text(), model.tower.weight) and model.calls == 2


def test_training_keeps_nothing_and_a_frozen_tower_keeps_its_value():
    model = Owner().train()
    model.text()
    model.text()
    assert model.calls == 2
    model.tower.requires_grad_(False).eval()
    model.text()
    super(Owner, model).train()
    model.tower.eval()
    model.text()
    assert model.calls == 3


def test_a_state_dict_knows_nothing_of_it_and_copies_go_their_own_way():
    model = Owner().eval()
    model.text()
    model.cache.put(['a'], torch.ones(1, 2))
    assert list(model.state_dict()) == ['tower.weight']
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        in_place(other)
        assert torch.equal(other.text(), model.text() + 1)
        assert other.cache.rows(['a'], None).tolist() == [[1, 1]]


def test_rows_go_by_name_and_only_new_names_are_encoded(monkeypatch):
    cache, asked = EmbeddingCache(), []

    def encode(names):
        asked.append(names)
        return torch.tensor([[float(len(name))] for name in names])

    assert cache.rows(['a', 'bb', 'a'], encode).tolist() == [[1], [2], [1]]
    assert cache.rows(['ccc', 'bb'], encode).tolist() == [[3], [2]]
    assert asked == [['a', 'bb'], ['ccc']]
    cache.put(['bb', 'd'], torch.tensor([[7.0], [8]]))
    assert cache.rows(['d', 'a', 'bb'], encode).tolist() == [[8], [1], [7]]
    assert cache.rows([], encode).shape == (0, 1)

    def fail(names):
        raise ValueError(names)

    with pytest.raises(ValueError, match='e'):
        cache.rows(['a', 'e'], fail)
    cache.double().train()  # rows are of towers outside the model
    assert cache.rows(['a', 'bb'], fail).tolist() == [[1], [7]]
    monkeypatch.setattr('mmclip.vocabulary.embedding_cache.MAX_ROWS', 2)
    cache.rows(['a', 'f'], encode)
    with pytest.raises(ValueError, match='bb'):
        cache.rows(['bb'], fail)
    cache.clear()
    with pytest.raises(ValueError, match='a'):
        cache.rows(['a'], fail)
