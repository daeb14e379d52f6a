"""Adapters of ViLD's data side: crops, prompts, attributes, teacher boxes, checkpoints.

``vild.py`` merges :data:`ADAPTERS` into its own.
"""

import torch
from safetensors.torch import load_file

from mmclip.clip.text_encoder import average_prompts
from mmclip.datasets.transforms.teacher_embeddings import move_boxes, valid_boxes
from mmclip.io.tf_checkpoint import read_tf_checkpoint
from mmclip.models.vild import crops
from mmclip.models.vild.interactive import attribute_scores
from mmclip.text.prompts import get_prompts
from parity.case import Case, Comparison

YX_TO_XY = [1, 0, 3, 2]


def crop_boxes(case: Case) -> dict:
    config = case.config
    rule = crops.CropRule(
        size=config['n_px'],
        mean=tuple(config['mean']),
        std=tuple(config['std']),
        scales=(1.0, config['scale']),
    )
    boxes = case.inputs['boxes_xyxy']
    wide = crops.scale_boxes(boxes, config['scale'])
    image = case.inputs['image_chw_rgb'].permute(1, 2, 0).numpy()
    pixels = crops.normalize_crops(crops.region_crops(image, boxes, rule), rule)
    return {
        'boxes_1p5x': wide,
        'int_boxes_1x': crops.integer_boxes(boxes).float(),
        'int_boxes_1p5x': crops.integer_boxes(wide).float(),
        'crops_1x': pixels[:, 0],
        'crops_1p5x': pixels[:, 1],
    }


def crop_embedding_average(case: Case) -> dict:
    pairs = torch.stack([case.inputs['embedding_1x'], case.inputs['embedding_1p5x']], dim=1)
    return {
        'norm_sum_norm': crops.average_embeddings(pairs, 'norm_sum_norm'),
        'raw_sum_then_norm': crops.average_embeddings(pairs, 'raw_sum'),
    }


def interactive_attributes(case: Case) -> dict:
    names = ('region_embedding', 'class_text', 'attribute_text')
    scores = attribute_scores(
        *(case.inputs[name] for name in names), temperature=case.config['temperature']
    )
    return {
        'prob_class': scores.classes,
        'prob_attribute': scores.attributes,
        'joint': scores.joint,
    }


def text_embedding_ensemble(case: Case) -> dict:
    prompts = case.inputs['prompt_embeddings']
    units = torch.nn.functional.normalize(prompts, dim=-1)
    return {
        'class_embedding': average_prompts(prompts),
        # The classifier normalizes anyway; the fixture shows what that last step undoes.
        'mean_without_final_norm': units.mean(dim=1),
    }


def prompt_strings(case: Case) -> list[Comparison]:
    prompts = get_prompts('vild_63')
    expected = case.json('.json')['prompts']
    return [Comparison(name, prompts.format(name), texts) for name, texts in expected.items()]


def jittered_boxes(case: Case) -> dict:
    """The three outputs of the case ``boxes`` that are about teacher boxes."""
    scale, offset = case.inputs['image_scale'], case.inputs['offset']  # y, x
    homography = torch.diag(torch.cat([scale.flip(0), torch.ones(1)]))
    homography[:2, 2] = -offset.flip(0)
    moved = move_boxes(
        case.inputs['orig_boxes'][:, YX_TO_XY],
        homography.numpy(),
        tuple(case.inputs['output_size'].tolist()),
        official=True,
    )
    return {
        'resized_cropped': moved[:, YX_TO_XY],
        'resized_cropped_valid': valid_boxes(moved, official=True),
        'resized_cropped_nonempty': valid_boxes(moved),
    }


def tf_variables(case: Case) -> tuple[dict, list[Comparison]]:
    """Variables of a ``checkpoint`` case, and their comparison with the fixture it was made of."""
    folder = next(name for name in case.files if name.endswith('/'))
    state = read_tf_checkpoint(case.folder / folder)
    official = {
        name.removeprefix('state/'): value
        for name, value in load_file(case.path('.safetensors')).items()
        if name.startswith('state/')
    }
    exact = dict(exact=True)
    return state, [Comparison('variables', state, official, tolerance=exact)]


ADAPTERS = {
    'crop_boxes': crop_boxes,
    'crop_embedding_average': crop_embedding_average,
    'interactive_attributes': interactive_attributes,
    'text_embedding_ensemble': text_embedding_ensemble,
    'prompt_strings': prompt_strings,
}
