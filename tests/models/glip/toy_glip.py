"""A GLIP of a few thousand weights, and samples for it."""

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmclip.models.glip.detector import GLIPDetector
from mmclip.registry import MODELS
from mmclip.text.captions import class_caption

WORDS = (
    '[PAD] [UNK] [CLS] [SEP] [MASK] . , cat dog red blue star house car tree a the and of with'
).split()
SIDE = 64


def config(*, fused: bool = True, max_tokens: int = 32, **settings) -> dict:
    """``settings`` replaces whole entries of the detector."""
    return (
        dict(
            type='mmclip.GLIPDetector',
            backbone=dict(
                type='mmdet.SwinTransformer',
                embed_dims=4,
                depths=[1, 1, 1, 1],
                num_heads=[1, 1, 2, 2],
                window_size=4,
                drop_path_rate=0.0,
                out_indices=(1, 2, 3),
            ),
            neck=dict(
                type='mmclip.DropBlockFPN',
                in_channels=[8, 16, 32],
                out_channels=16,
                num_outs=5,
                add_extra_convs='on_output',
                relu_before_extra_convs=True,
            ),
            text_encoder=dict(
                type='mmclip.BertTokenEncoder',
                tokenizer=dict(type='mmclip.BertTokens', source=WORDS),
                config=dict(
                    hidden_size=24,
                    num_attention_heads=3,
                    intermediate_size=32,
                    num_hidden_layers=1,
                    vocab_size=len(WORDS),
                    max_position_embeddings=max_tokens,
                ),
                max_tokens=max_tokens,
            ),
            fusion=dict(
                type='mmclip.DeepFusionNeck',
                channels=16,
                num_blocks=2,
                fusion=dict(embed_dim=16, num_heads=2) if fused else None,
                text_layer=dict(kind='bert', num_heads=3, hidden_dim=32),
                dyconv=dict(norm_groups=4),
            ),
            bbox_head=dict(type='mmclip.GLIPHead', channels=16, fused_text=fused),
            test_cfg=dict(score_thr=0.0, max_per_img=20),
        )
        | settings
    )


def build(seed: int = 0, **settings) -> GLIPDetector:
    """In evaluation mode, with weights that make scores differ."""
    torch.manual_seed(seed)
    model = MODELS.build(config(**settings)).eval()
    model.init_weights()
    with torch.no_grad():
        for name, value in model.bbox_head.named_parameters():
            value.add_(torch.randn_like(value) * (0.0 if 'scales' in name else 0.3))
    return model


def image(count: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def plain_sample() -> DetDataSample:
    """An image without a text of its own."""
    return DetDataSample(metainfo=dict(img_shape=(SIDE, SIDE), scale_factor=(1.0, 1.0)))


def sample(names: list[str], boxes: list, phrases: list[int], *, det: bool = True) -> DetDataSample:
    """Objects whose words are those of a list of classes."""
    caption = class_caption(names)
    spans = [[list(piece) for piece in pieces] for pieces in caption.spans]
    found = plain_sample()
    found.set_metainfo(
        dict(
            text=caption.text,
            phrase_spans=spans,
            text_type='det' if det else 'grounding',
            phrase_labels=list(range(10, 10 + len(names))) if det else [-1] * len(names),
        )
    )
    found.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(phrases, dtype=torch.long),
    )
    return found
