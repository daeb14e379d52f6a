"""Makes MiniWorld, the small drawn world that every method trains and tests on.

    python tools/make_mini_world.py --out data/mini_world

Parts that are there already are left alone; an interrupted run leaves no half-made part.
"""

import argparse
import sys

from mmclip import user_errors
from mmclip.datasets.mini_world.make import INSTALL, PARTS, make, missing_packages, verify


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', default='data/mini_world', help='folder (%(default)s)')
    parser.add_argument(
        '--parts', nargs='+', choices=list(PARTS), help='by default all whose packages are there'
    )
    parser.add_argument('--seed', type=int, default=0, help='another seed is another world')
    parser.add_argument(
        '--scale',
        type=float,
        default=1.0,
        help='share of the images to make, 1 is the full world',
    )
    parser.add_argument('--processes', type=int, default=2, help='parts made at the same time')
    parser.add_argument('--verify', action='store_true', help='check the sums and make nothing')
    args = parser.parse_args()
    if args.parts is None:
        args.parts = [part for part in PARTS if not missing_packages(part)]
        for part in sorted(set(PARTS) - set(args.parts)):
            print(f'{part} is left out: {", ".join(missing_packages(part))} is missing; {INSTALL}')
    if args.verify:
        damaged = verify(args.out, parts=args.parts)
        if damaged:
            folders = ' '.join(f'{args.out}/{part}' for part in damaged)
            sys.exit(f'damaged or missing: {folders}; delete what is there and make it again')
        print('all parts are whole')
        return
    make(args.out, parts=args.parts, seed=args.seed, scale=args.scale, processes=args.processes)


if __name__ == '__main__':
    user_errors.run(main)
