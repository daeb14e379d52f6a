"""A checkpoint that is not of the model is an error that says what differs."""

import pytest
import torch
from mmengine.model import BaseTTAModel
from torch import nn

from mmclip.io.strict_loading import Mismatch, load_state, load_weights


class Words(nn.Module):
    optional_buffers = ('embeddings',)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer('embeddings', torch.zeros(2, 3))
        self.register_buffer('means', torch.zeros(2))
        self.register_buffer('index', torch.arange(3))


class Model(nn.Module):
    test_step = None  # which the wrapper asks for

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.head = Words()


def test_what_fits_is_loaded_and_the_rest_is_returned():
    model, state = Model(), Model().state_dict()
    assert load_state(model, state) == Mismatch()
    assert torch.equal(model.backbone[0].weight, state['backbone.0.weight'])
    del state['backbone.0.bias'], state['head.means']
    state['neck.weight'] = torch.zeros(1)
    state['head.scale'] = torch.zeros(2)
    state['backbone.0.weight'] = torch.full((2, 2), 7.0)
    found = load_state(model, state)
    assert found.missing == ('backbone.0.bias', 'head.means')
    assert found.unexpected == ('neck.weight',)
    assert found.unfit == (('head.scale', '[2] in the file, [] in the model'),)
    assert (model.backbone[0].weight == 7).all() and model.head.scale == 1
    assert found.without(['head', 'neck']) == Mismatch(missing=('backbone.0.bias',))
    assert found.without(['hea', 'nec', 'backbone.0.bia']) == found


def test_what_the_model_makes_itself_may_be_missing_but_not_left_over():
    state = Model().state_dict()
    own = ['head.embeddings', 'head.index', 'backbone.1.num_batches_tracked']
    for name in own:
        del state[name]
    assert load_state(Model(), state) == Mismatch()
    state['head.other.embeddings'] = torch.zeros(1)
    assert load_state(Model(), state).unexpected == ('head.other.embeddings',)


def test_a_wrapped_model_and_names_of_a_wrapped_one():
    state = {f'module.{name}': value for name, value in Model().state_dict().items()}

    class TTA(BaseTTAModel):
        def merge_preds(self, data_samples_list):
            return data_samples_list

    wrapped = TTA(module=Model())
    assert load_state(wrapped, state) == Mismatch()
    assert torch.equal(wrapped.module.backbone[0].bias, state['module.backbone.0.bias'])
    assert load_state(wrapped, {'module.x': torch.zeros(1)}).unexpected == ('x',)


def test_the_message_counts_by_module_and_is_short():
    names = [f'backbone.layer{i}.{j}.weight' for i in range(9) for j in range(i + 1)]
    text = str(Mismatch(missing=tuple(names), unexpected=('a',)))
    assert text.startswith('it lacks 45 weights (backbone.layer8: 9, backbone.layer7: 8, ')
    assert text.endswith('; it has 1 weight (a: 1) that the model has not')
    many = tuple((f'w{i}', '[1] in the file, [2] in the model') for i in range(1000))
    assert len(str(Mismatch(unfit=many))) < 400
    assert len(str(Mismatch(unexpected=tuple('x' * 10**5 + str(i) for i in range(9))))) < 2000


def test_a_state_dict_of_no_tensors_is_a_mismatch():
    found = load_state(Model(), {'model': {'a': torch.zeros(1)}, 'head.scale': 'text', 3: None})
    assert found.unexpected == ('model', '3') and 'head.scale' in str(found)


def test_files(tmp_path):
    model = Model()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    load_weights(Model(), tmp_path / 'a.pth')
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / 'b.pth')
    with pytest.raises(ValueError, match=r'b\.pth does not fit .* lacks 8 .*--allow-mis'):
        load_weights(Model(), tmp_path / 'b.pth')
    load_weights(Model(), tmp_path / 'b.pth', allow_mismatch=True)
    for other, error in ((tmp_path / 'none.pth', 'does not exist'), (tmp_path, 'is a folder')):
        with pytest.raises(FileNotFoundError, match=error):
            load_weights(model, other)
