"""VocabularyHook: classes of the dataset reach the model, and the shuffled control moves all."""

from types import SimpleNamespace

import pytest

from mmclip.engine.vocabulary_hook import VocabularyHook, derangement


class Model:
    def __init__(self):
        self.calls = []

    def set_classes(self, names, prompts=None, examples=None):
        self.calls.append((list(names), prompts, examples))


def runner_of(names, hooks=()):
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=names)))
    return SimpleNamespace(
        model=Model(), hooks=hooks, train_dataloader=loader, val_dataloader=loader,
        test_dataloader=loader, _train_loop=None,
    )  # fmt: skip


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('count', [2, 3, 384])
def test_a_derangement_moves_everything_and_loses_nothing(count, seed):
    order = derangement(count, seed)
    assert sorted(order) == list(range(count))
    assert all(i != j for i, j in enumerate(order))
    assert order == derangement(count, seed)


def test_one_class_cannot_be_shuffled():
    with pytest.raises(ValueError, match='shuffle_seed'):
        derangement(1, 0)


def test_the_model_gets_the_data_sets_classes():
    runner = runner_of(('a', 'b'))
    hook = VocabularyHook(prompts='name', examples={'a': ['x.png']})
    for stage in (hook.before_train, hook.before_val, hook.before_test):
        stage(runner)
    assert runner.model.calls == [(['a', 'b'], 'name', {'a': ['x.png']})] * 3


def test_only_testing_is_shuffled():
    runner = runner_of(('a', 'b'))
    hook = VocabularyHook(shuffle_seed=0)
    hook.before_train(runner)
    hook.before_test(runner)
    assert [names for names, *_ in runner.model.calls] == [['a', 'b'], ['b', 'a']]


def test_an_averaged_model_gets_them_too():
    ema = Model()
    runner = runner_of(('a',), hooks=[SimpleNamespace(ema_model=ema)])
    VocabularyHook().before_train(runner)
    assert ema.calls == runner.model.calls


def test_testing_alone_builds_no_training_loop():
    runner = runner_of(('a',))
    del runner.train_dataloader
    VocabularyHook().after_val(runner)
    assert runner.model.calls == []


def test_a_data_set_without_classes_is_named():
    runner = runner_of(None)
    with pytest.raises(ValueError, match='names no classes in its metainfo'):
        VocabularyHook().before_test(runner)


def test_a_background_keeps_its_place_in_the_shuffle():
    runner = runner_of(('background', 'a', 'b', 'c'))
    VocabularyHook(shuffle_seed=0, shuffle_keep=['background']).before_test(runner)
    (names, *_) = runner.model.calls[0]
    assert names[0] == 'background' and sorted(names[1:]) == ['a', 'b', 'c']
    assert all(new != old for new, old in zip(names[1:], 'abc', strict=True))


def test_training_without_classes():
    runner = runner_of(('a', 'b'))
    hook = VocabularyHook(train=False)
    hook.before_train(runner)
    hook.after_val(runner)
    assert runner.model.calls == []
    hook.before_val(runner)
    assert len(runner.model.calls) == 1


def test_a_mixture_needs_one_list_of_classes_and_of_novel_ones():
    """MMDetection's ``ConcatDataset`` gives a list where its parts differ."""
    parts = [dict(classes=('a', 'b'), splits=('base', 'base')), dict(classes=('a', 'b'))]
    runner = runner_of(())
    runner.train_dataloader.dataset.metainfo = parts
    VocabularyHook().before_train(runner)
    assert runner.model.calls[0][0] == ['a', 'b']
    for wrong in (dict(classes=('b', 'a')), dict(classes=('a', 'b'), novel=('b',)), dict()):
        runner.train_dataloader.dataset.metainfo = [parts[0], wrong]
        with pytest.raises(ValueError, match='parts 0 and 1 of the mixture name different .*same'):
            VocabularyHook().before_train(runner)
