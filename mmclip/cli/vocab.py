"""Makes, imports, merges and inspects vocabulary files.

    # encode a known vocabulary, or names of your own, by a CLIP text tower
    python tools/build_vocabulary.py --vocabulary lvis_v1 --prompts vild_63 \\
        --model ViT-B-32-quickgelu --pretrained openai --out data/vocabularies/lvis_v1.safetensors
    python tools/build_vocabulary.py --names 'mug,stapler' --model ViT-B-32-quickgelu ...

    # import embeddings that somebody else made: one row per name, in order
    python tools/build_vocabulary.py --vocabulary lvis_v1 --from-array lvis.npy \\
        --model ViT-B-32-quickgelu --out data/vocabularies/lvis_v1.safetensors

    python tools/build_vocabulary.py --merge a.safetensors b.safetensors --out both.safetensors
    python tools/build_vocabulary.py --inspect both.safetensors
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console

import mmclip  # noqa: F401  applies the remedies for the installed stack
from mmclip import user_errors
from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.io.arrays import read_npy
from mmclip.io.checkpoint import read_state_dict
from mmclip.io.parsing import parsing
from mmclip.text.class_names import class_names, names_of_file
from mmclip.text.prompts import PROMPT_SETS
from mmclip.vocabulary.vocabulary import Vocabulary


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = parser.add_mutually_exclusive_group()
    names.add_argument('--vocabulary', help='a known vocabulary, e.g. lvis_v1, coco80, imagenet')
    names.add_argument('--names', help='class names, separated by commas')
    names.add_argument('--names-file', help='a file of names: .txt, .json or .csv')
    parser.add_argument('--model', help='open_clip model, mini_clip, or the path of a model json')
    parser.add_argument('--pretrained', help='open_clip tag, local file or folder, mini_clip')
    parser.add_argument(
        '--prompts', nargs='+', default=['single'],
        help=f'one of {", ".join(PROMPT_SETS)}, or templates of your own with {{}}',
    )  # fmt: skip
    parser.add_argument('--examples', help='json file: name -> example images')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--from-array', help='.npy, .safetensors or torch file with (K, D) rows')
    parser.add_argument('--key', help='which tensor of --from-array, if it holds several')
    parser.add_argument('--merge', nargs='+', help='vocabulary files of one text tower')
    parser.add_argument('--out', help='the vocabulary file to write')
    parser.add_argument('--inspect', help='say what a vocabulary file holds')
    return parser.parse_args()


def asked_names(args: argparse.Namespace) -> tuple[str, ...]:
    if args.vocabulary:
        return class_names(args.vocabulary)
    if args.names:
        return class_names([name.strip() for name in args.names.split(',')])
    if args.names_file:
        return names_of_file(args.names_file, '--names-file')
    raise ValueError('give the names by --vocabulary, --names or --names-file')


def read_array(path: Path, key: str | None) -> torch.Tensor:
    """(K, D) float32 rows of a file."""
    if not path.is_file():
        raise FileNotFoundError(f'--from-array: there is no file {path}')
    if path.suffix == '.npy':
        with parsing(f'--from-array: {path}'):
            return torch.from_numpy(read_npy(path)).float()
    tensors = read_state_dict(path)
    if key is None and len(tensors) == 1:
        key = next(iter(tensors))
    if key not in tensors:
        raise ValueError(f'--key: {key!r} is not in {path}, which holds {sorted(tensors)}')
    return tensors[key].float()


def imported(args: argparse.Namespace) -> Vocabulary:
    names, rows = asked_names(args), read_array(Path(args.from_array), args.key)
    if rows.ndim != 2 or not rows.is_floating_point() or not rows.isfinite().all():
        raise ValueError(f'--from-array: {args.from_array} holds no (K, D) finite numbers')
    # Arrays of the (D, K) layout are common too.
    if rows.shape[0] != len(names) and rows.shape[1] == len(names):
        rows = rows.t()
    return Vocabulary(names, F.normalize(rows, dim=-1), model=args.model or '')


def merged(paths: list[str]) -> Vocabulary:
    parts = [Vocabulary.load(path) for path in paths]
    first, rows = parts[0], {}
    for path, part in zip(paths, parts, strict=True):
        if (part.model, part.weight_hash) != (first.model, first.weight_hash):
            raise ValueError(f'--merge: {path} was made by another text tower than {paths[0]}')
        for name, row in zip(part.names, part.embeddings, strict=True):
            rows.setdefault(name, row)
    prompts = first.prompts if all(p.prompts == first.prompts for p in parts) else ()
    embeddings = torch.stack(list(rows.values()))
    return Vocabulary(tuple(rows), embeddings, prompts, first.model, first.weight_hash)


def encoded(args: argparse.Namespace) -> Vocabulary:
    if not args.model:
        raise ValueError('--model: name the CLIP whose text tower encodes, e.g. ViT-B-32-quickgelu')
    if not args.pretrained:
        raise ValueError('--pretrained: name the weights, an open_clip tag or a local file')
    encoder = CLIPTextEncoder(model=args.model, pretrained=args.pretrained)
    prompts = args.prompts[0] if len(args.prompts) == 1 else args.prompts
    names = asked_names(args)
    with Console(stderr=True).status(f'encoding {len(names)} names'):
        return Vocabulary.encode(
            names,
            text_encoder=encoder,
            prompts=prompts,
            examples=args.examples,
            device=args.device,
        )


def describe(vocabulary: Vocabulary) -> str:
    shown = ', '.join(vocabulary.names[:8]) + (', ...' if len(vocabulary) > 8 else '')
    return (
        f'{len(vocabulary)} names of {vocabulary.embed_dim} dimensions: {shown}\n'
        f'prompts: {len(vocabulary.prompts) or "unknown"}'
        + (f', e.g. {vocabulary.prompts[0]!r}' if vocabulary.prompts else '')
        + f'\nmodel: {vocabulary.model or "unknown"}, '
        f'weight hash: {vocabulary.weight_hash or "unknown"}'
    )


def main() -> None:
    args = parse_args()
    if args.inspect:
        print(describe(Vocabulary.load(args.inspect)))
        return
    if not args.out:
        raise ValueError('--out: name the vocabulary file to write')
    if args.merge:
        vocabulary = merged(args.merge)
    elif args.from_array:
        vocabulary = imported(args)
    else:
        vocabulary = encoded(args)
    vocabulary.save(args.out)
    print(f'{args.out}: {describe(vocabulary)}')


if __name__ == '__main__':
    user_errors.run(main)
