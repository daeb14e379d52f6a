"""What the words cost: an open-vocabulary box head against a closed-set one of the same trunk.

    python benchmarks/classifier_head.py [--classes 1203] [--size 512] [--score-thr 1e-4]

Whole-model inference of one random image, both models with the same weights, number of classes
and score threshold, in turns (paired); printed is the median of the ratios. Then the same image
with 100 000 classes, in a process of its own for the peak of its memory.

Acceptance: at most 5 % more time with 1203 classes; 100 000 classes in bounded memory.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine import Config
from mmengine.registry import init_default_scope

from mmclip import config_path
from mmclip.registry import MODELS
from mmclip.vocabulary.classifier import classifiers_of
from mmclip.vocabulary.vocabulary import Vocabulary

BIG = 100_000


def build(classes: int, closed_set: bool, trunk: str, score_thr: float) -> torch.nn.Module:
    """The detector of a config with ``classes`` made-up names, or numbers."""
    cfg = Config.fromfile(config_path(f'vild/{trunk}.py')).model
    cfg.backbone.pop('pretrained', None)
    head = cfg.roi_head.bbox_head
    classifier = head.pop('classifier')
    cfg.test_cfg.rcnn.update(score_thr=score_thr, max_per_img=300)
    if closed_set:
        for name in ('novel_classes', 'box_average', 'fc_norm_cfg'):
            head.pop(name, None)
        head.update(type='mmdet.ConvFCBBoxHead', num_classes=classes, reg_class_agnostic=True)
        cfg.type = 'mmdet.FasterRCNN'
    else:
        names = [f'thing {i}' for i in range(classes)]
        head.fc_norm_cfg = None
        classifier.update(classes=names, vocabulary_file=None)
        classifier.text_encoder.pretrained = None  # speed does not need the real weights
        head.update(classifier=classifier, novel_classes=None)
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    for text in classifiers_of(model):
        rows = F.normalize(torch.randn(classes, text.embed_dim), dim=1)
        text._install(Vocabulary(text.class_names, rows), of_words=True)
    return model


@torch.no_grad()
def seconds(model: torch.nn.Module, image: torch.Tensor) -> float:
    height, width = image.shape[2:]
    sample = DetDataSample(metainfo=dict(img_shape=(height, width), scale_factor=(1.0, 1.0)))
    start = time.perf_counter()
    model.predict(image, [sample])
    return time.perf_counter() - start


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--classes', type=int, default=1203)
    parser.add_argument('--size', type=int, default=512, help='side of the image in pixels')
    parser.add_argument('--runs', type=int, default=7)
    parser.add_argument('--score-thr', type=float, default=1e-4)
    parser.add_argument('--trunk', default='vild_text_faster_r50_lvis', help='config in vild/')
    parser.add_argument('--big', type=int, help='only this many classes, once (used by itself)')
    args = parser.parse_args()
    init_default_scope('mmdet')
    image = torch.randn(1, 3, args.size, args.size, generator=torch.Generator().manual_seed(0))

    if args.big:
        model = build(args.big, False, args.trunk, args.score_thr)
        before = peak_mib()
        took = seconds(model, image)
        print(
            f'{args.big} classes: {took:.2f} s; peak memory {peak_mib():.0f} MiB, of which '
            f'{before:.0f} MiB before the image'
        )
        return

    closed, words = (
        build(args.classes, kind, args.trunk, args.score_thr) for kind in (True, False)
    )
    seconds(closed, image), seconds(words, image)
    pairs = [(seconds(closed, image), seconds(words, image)) for _ in range(args.runs)]
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f'{args.classes} classes, {args.size} px, {torch.get_num_threads()} thread(s): closed set '
        f'{statistics.median(a for a, _ in pairs):.3f} s, words '
        f'{statistics.median(b for _, b in pairs):.3f} s, median ratio {ratio:.3f} '
        f'({100 * (ratio - 1):+.1f} %, bound +5 %)'
    )
    command = [sys.executable, __file__, '--size', str(args.size), '--trunk', args.trunk]
    for classes in (args.classes, BIG):
        subprocess.run([*command, '--big', str(classes)], check=True)
    sys.exit(ratio > 1.05)


if __name__ == '__main__':
    main()
