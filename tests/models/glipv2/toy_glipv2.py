"""A GLIPv2 small enough to be built in every test."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmclip.registry import MODELS
from mmclip.text.captions import class_caption

WORDS = '[PAD] [UNK] [CLS] [SEP] [MASK] . cat dog red car tree a star and'.split()
TEXT = dict(
    type='mmclip.BertTokenEncoder',
    tokenizer=dict(type='mmclip.BertTokens', source=WORDS),
    config=dict(
        vocab_size=len(WORDS),
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
    max_tokens=16,
)
SWIN = dict(
    embed_dims=8,
    depths=(1, 1, 1, 1),
    num_heads=(1, 1, 2, 2),
    window_size=4,
    out_indices=(1, 2, 3),
    drop_path_rate=0.0,
)
MASKS = dict(
    mask_head=dict(type='mmclip.TokenMaskHead', in_channels=16, num_convs=1, conv_channels=8),
    mask_roi_extractor=dict(
        type='mmdet.SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=1),
        out_channels=16,
        featmap_strides=[8, 16, 32],
        finest_scale=56,
    ),
)
MLM = dict(
    mask_tokens=dict(type='mmclip.MaskTokens', ratio=0.5), mlm_head=dict(type='mmclip.MLMHead')
)
INTER = dict(inter_image_loss=dict(type='mmclip.InterImageRegionWordLoss', hidden=6))


def config(*, head: dict | None = None, **changes) -> dict:
    """Config of the small model."""
    return (
        dict(
            type='mmclip.GLIPv2Detector',
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32),
            backbone=dict(type='mmdet.SwinTransformer', **SWIN),
            neck=dict(
                type='mmdet.FPN',
                in_channels=[16, 32, 64],
                out_channels=16,
                num_outs=3,
            ),
            text_encoder=TEXT,
            fusion=dict(
                type='mmclip.DeepFusionNeck',
                channels=16,
                num_blocks=1,
                fusion=dict(embed_dim=16, num_heads=2, dropout=0.0),
                text_layer=dict(kind='bert', num_heads=2, hidden_dim=16, dropout=0.0),
            ),
            bbox_head=dict(
                type='mmclip.GLIPv2Head',
                channels=16,
                anchor_generator=dict(
                    type='mmdet.AnchorGenerator',
                    ratios=[1.0],
                    octave_base_scale=4,
                    scales_per_octave=1,
                    strides=[8, 16, 32],
                    center_offset=0.5,
                ),
                **(head or {}),
            ),
            test_cfg=dict(score_thr=0.0, nms_pre=20, max_per_img=5),
        )
        | changes
    )


def build(seed: int = 0, **settings) -> torch.nn.Module:
    """The small model; tokens start with probability 1/2."""
    torch.manual_seed(seed)
    model = MODELS.build(config(**settings))
    model.bbox_head.alignment.bias0.data.zero_()
    return model


def sample(
    names: list[str],
    boxes: list[tuple],
    labels: list[int],
    *,
    det: bool = True,
    masks: bool = False,
) -> DetDataSample:
    """An image of 64 x 64 whose caption is a list of classes; each mask is the left half."""
    caption = class_caption(names)
    instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    if masks:
        pixels = np.zeros((len(boxes), 64, 64), dtype=np.uint8)
        for page, (x1, y1, x2, y2) in zip(pixels, boxes, strict=True):
            page[y1:y2, x1 : (x1 + x2) // 2] = 1
        instances.masks = BitmapMasks(pixels, 64, 64)
    meta = dict(
        img_shape=(64, 64),
        ori_shape=(32, 48),
        scale_factor=(64 / 48, 2.0),
        batch_input_shape=(64, 64),
        text=caption.text,
        phrase_spans=[[list(piece) for piece in pieces] for pieces in caption.spans],
        phrase_labels=list(range(len(names))) if det else [-1] * len(names),
        text_type='det' if det else 'grounding',
        maskable_spans=[list(piece) for pieces in caption.spans for piece in pieces],
    )
    return DetDataSample(gt_instances=instances, metainfo=meta)
