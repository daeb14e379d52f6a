"""Models, grouped by method: the table of contents."""

# ActionCLIP
from mmclip.clip.backbones import OpenCLIPBackbone
from mmclip.clip.contrastive_loss import ContrastiveLoss
from mmclip.clip.offset_tokenizer import CLIPTokens
from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.clip.tokenizer import CLIPTokenizer
from mmclip.clip.trunk import CLIPTrunk
from mmclip.models.action_clip.loss import MultiPositiveKLLoss
from mmclip.models.action_clip.post_prompts import (
    ActionConv1D,
    ActionLSTM,
    ActionMeanP,
    ActionTransf,
    ActionTransfCls,
)
from mmclip.models.action_clip.recognizer import ActionCLIPRecognizer
from mmclip.models.action_clip.unimodal import UnimodalActionRecognizer

# CLIP4Clip
from mmclip.models.clip4clip.heads import MeanPHead, SeqLSTMHead, SeqTransfHead
from mmclip.models.clip4clip.loss import VideoTextLoss
from mmclip.models.clip4clip.preprocessor import VideoTextPreprocessor
from mmclip.models.clip4clip.retriever import CLIP4Clip
from mmclip.models.clip4clip.tight_head import TightTransfHead

# CLIP zero-shot
from mmclip.models.clip_zero_shot.classifier import CLIPZeroShotClassifier
from mmclip.models.clip_zero_shot.contrastive import CLIPContrastive
from mmclip.models.clip_zero_shot.linear_classifier import LinearClassifier
from mmclip.models.dense.open_vocab_segmentor import OpenVocabSegmentor
from mmclip.models.dense.text_decode_head import TextDecodeHead

# GLIP
from mmclip.models.glip.alignment import (
    ContrastiveAlignment,
    FixedTokenAlignment,
    TokenAlignment,
)
from mmclip.models.glip.detector import GLIPDetector
from mmclip.models.glip.fpn import DropBlockFPN
from mmclip.models.glip.head import GLIPHead
from mmclip.models.glip.losses import ContrastiveTokenLoss, TokenFocalLoss
from mmclip.models.glip.multi_scale import ScaleRangeTTA
from mmclip.models.glip.neck import DeepFusionNeck
from mmclip.models.glip.targets import LegacyBboxOverlaps
from mmclip.models.glip.text_encoder import BertTokenEncoder, CLIPTokenEncoder

# GLIPv2
from mmclip.models.glipv2.caption_head import CaptionHead
from mmclip.models.glipv2.detector import GLIPv2Detector
from mmclip.models.glipv2.head import GLIPv2Head
from mmclip.models.glipv2.inter_image_loss import InterImageRegionWordLoss
from mmclip.models.glipv2.mask_tokens import MaskTokens
from mmclip.models.glipv2.mlm_head import MLMHead
from mmclip.models.glipv2.text_conditioned_neck import TextConditionedNeck
from mmclip.models.glipv2.text_swin import TextSwin
from mmclip.models.glipv2.token_mask_head import TokenMaskHead
from mmclip.models.glipv2.vqa_head import VQAHead

# GroupViT
from mmclip.models.group_vit.classifier import GroupViTClassifier
from mmclip.models.group_vit.encoder import GroupViTBackbone
from mmclip.models.group_vit.head import GroupViTHead
from mmclip.models.group_vit.segmentor import GroupViTSegmentor

# Shared parts
from mmclip.models.layers.box_coder import LegacyDeltaXYWHBBoxCoder

# LSeg
from mmclip.models.lseg.head import LSegHead
from mmclip.models.lseg.vit import DPTViT

# PointCLIP
from mmclip.models.point_clip.adapter import InterViewAdapter
from mmclip.models.point_clip.classifier import PointCLIPClassifier
from mmclip.models.point_clip.clouds import PointDataPreprocessor
from mmclip.models.point_clip.linear_probe import ViewLinearClassifier
from mmclip.models.point_clip.logit_ensemble import LogitEnsemble
from mmclip.models.point_clip.loss import SmoothCELoss
from mmclip.models.point_clip.perspective import PerspectiveDepthProjector
from mmclip.models.point_clip.point_net import PointNetClassifier
from mmclip.models.point_clip.realistic import RealisticDepthProjector

# ViLD
from mmclip.models.vild.backbone import SamePoolResNet
from mmclip.models.vild.bbox_head import ViLDBBoxHead
from mmclip.models.vild.classifier import ProjectedTextClassifier
from mmclip.models.vild.crops_detector import CLIPOnCrops
from mmclip.models.vild.detector import ViLD
from mmclip.models.vild.distill_loss import L1DistillLoss
from mmclip.models.vild.layers import BiasedConv2d, SameConv2d
from mmclip.models.vild.mask_head import ViLDMaskHead
from mmclip.models.vild.neck import EndNormFPN
from mmclip.models.vild.roi_extractor import CenterRoIExtractor
from mmclip.models.vild.roi_head import ViLDCascadeRoIHead, ViLDRoIHead
from mmclip.models.vild.rpn_head import SepBNRPNHead
from mmclip.text.offset_tokenizers import BertTokens
from mmclip.vocabulary.classifier import TextEmbeddingClassifier
from mmclip.vocabulary.random_text import RandomTextEncoder

__all__ = [
    # ActionCLIP
    'ActionCLIPRecognizer',
    'ActionConv1D',
    'ActionLSTM',
    'ActionMeanP',
    'ActionTransf',
    'ActionTransfCls',
    'MultiPositiveKLLoss',
    'UnimodalActionRecognizer',
    # CLIP4Clip
    'CLIP4Clip',
    'MeanPHead',
    'SeqLSTMHead',
    'SeqTransfHead',
    'TightTransfHead',
    'VideoTextLoss',
    'VideoTextPreprocessor',
    # CLIP zero-shot
    'CLIPContrastive',
    'CLIPZeroShotClassifier',
    'LinearClassifier',
    # GLIP
    'BertTokenEncoder',
    'BertTokens',
    'CLIPTokenEncoder',
    'CLIPTokens',
    'ContrastiveAlignment',
    'ContrastiveTokenLoss',
    'DeepFusionNeck',
    'DropBlockFPN',
    'FixedTokenAlignment',
    'GLIPDetector',
    'GLIPHead',
    'LegacyBboxOverlaps',
    'ScaleRangeTTA',
    'TokenAlignment',
    'TokenFocalLoss',
    # GLIPv2
    'CaptionHead',
    'GLIPv2Detector',
    'GLIPv2Head',
    'InterImageRegionWordLoss',
    'TextConditionedNeck',
    'MLMHead',
    'MaskTokens',
    'TextSwin',
    'TokenMaskHead',
    'VQAHead',
    # GroupViT
    'GroupViTBackbone',
    'GroupViTClassifier',
    'GroupViTHead',
    'GroupViTSegmentor',
    # LSeg
    'DPTViT',
    'LSegHead',
    # PointCLIP
    'InterViewAdapter',
    'LogitEnsemble',
    'PerspectiveDepthProjector',
    'PointCLIPClassifier',
    'PointDataPreprocessor',
    'PointNetClassifier',
    'RealisticDepthProjector',
    'SmoothCELoss',
    'ViewLinearClassifier',
    # Shared parts
    'CLIPTextEncoder',
    'CLIPTokenizer',
    'CLIPTrunk',
    'ContrastiveLoss',
    'OpenCLIPBackbone',
    'OpenVocabSegmentor',
    'LegacyDeltaXYWHBBoxCoder',
    'RandomTextEncoder',
    'TextDecodeHead',
    'TextEmbeddingClassifier',
    # ViLD
    'BiasedConv2d',
    'CLIPOnCrops',
    'CenterRoIExtractor',
    'EndNormFPN',
    'L1DistillLoss',
    'ProjectedTextClassifier',
    'SameConv2d',
    'SamePoolResNet',
    'SepBNRPNHead',
    'ViLD',
    'ViLDBBoxHead',
    'ViLDCascadeRoIHead',
    'ViLDMaskHead',
    'ViLDRoIHead',
]
