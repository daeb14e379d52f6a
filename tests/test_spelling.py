"""One spelling: the hosts' words and American English, in code, names of files and docs."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {'.py', '.md', '.yml', '.toml', '.sh'}
# word that is not used here -> the one that is
DENIED = {
    r'pictur(?!esque)': 'image',
    r'colour': 'color',
    r'centre|centring': 'center',
    r'grey': 'gray',
    r'(normal|initial|general|optim|token|recogn|summar|organ|synchron)is(?=e|ing|ation)': '…ize',
    r'labell|modell(?=ing)': 'label, model',
    r'neighbour': 'neighbor',
    r'behaviour': 'behavior',
    r'favour': 'favor',
    r'licence': 'license',
    r'data sets?\b': 'dataset',
    r'placed_data|going_on|whole_files|apart_caption|\.(forget|look)\(': "the field's term",
}
PATTERN = re.compile('|'.join(f'(?P<_{i}>{word})' for i, word in enumerate(DENIED)), re.IGNORECASE)
# What is quoted from elsewhere: prompts, keys of the official fixtures.
QUOTED = re.compile(r"""['"]a picture (of|with)\b|'(\w+_)?(normalise|optimised|normalised)'""")


def denied_words(text: str) -> list[str]:
    """``word: use this`` of each denied word."""
    values = list(DENIED.values())
    return [
        f'{match[0]}: use {values[int(match.lastgroup[1:])]}'
        for match in PATTERN.finditer(QUOTED.sub('', text))
        if match.lastgroup
    ]


def sources() -> list[Path]:
    listed = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip('not a git checkout')
    skipped = ('parity/fixtures/', 'tests/test_spelling.py')
    return [
        Path(name)
        for name in listed.stdout.splitlines()
        if Path(name).suffix in SUFFIXES and not name.startswith(skipped)
    ]


def test_code_and_docs_use_one_spelling():
    found = []
    for path in sources():
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            is_table = path.name == 'CHANGELOG.md' and line.startswith('|')
            found += [
                f'{path}:{number}: {word}' for word in ([] if is_table else denied_words(line))
            ]
    assert not found, '\n'.join(found)


def test_file_names_use_one_spelling():
    found = [f'{path}: {word}' for path in sources() for word in denied_words(str(path))]
    assert not found, '\n'.join(found)


@pytest.mark.parametrize(
    'text',
    ['read_pictures', 'Colour', 'pixel_centres', 'normalise_crops', 'L2-normalised', 'unlabelled'],
)
def test_denied_words_are_found_within_names(text):
    assert len(denied_words(text)) == 1


@pytest.mark.parametrize(
    'text',
    ['image', 'normalize', 'color', 'promise', 'noise', 'modelled after', "'a picture of {}.'"],
)
def test_other_words_pass(text):
    assert denied_words(text) == []
