"""Rules of converters: the first that fits decides, by all of a name or by its beginning."""

import torch

from mmclip.io.rename import as_float, rename

RULES = (
    (r'unused\.(.*)', ''),
    (r'layer(\d)\.conv\.(.*)', lambda found: f'layers.{int(found[1]) - 1}.{found[2]}'),
    (r'layer(\d)\.(.*)', r'layers.\1.other.\2'),
    (r'head\.', 'classifier.'),
)


def test_the_first_rule_that_fits_decides():
    assert rename('layer3.conv.weight', RULES) == 'layers.2.weight'
    assert rename('layer3.norm.weight', RULES) == 'layers.3.other.norm.weight'
    assert rename('unused.weight', RULES) == ''
    assert rename('my.layer3.conv.weight', RULES) is None
    assert rename('', ()) is None


def test_a_pattern_is_of_all_of_a_name_or_of_its_beginning():
    assert rename('head.weight', RULES) is None
    assert rename('head.weight', RULES, prefix=True) == 'classifier.weight'
    assert rename('the.head.weight', RULES, prefix=True) is None


def test_whole_numbers_stay_whole():
    assert as_float(torch.ones(2, dtype=torch.float16)).dtype == torch.float32
    assert as_float(torch.tensor(3)).dtype == torch.int64
