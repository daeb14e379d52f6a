"""GroupViT: semantic segmentation emerges from text supervision.

Paper: "GroupViT: Semantic Segmentation Emerges from Text Supervision", Xu et al., CVPR 2022, arXiv
2202.11094. Official code and weights: NVlabs/GroupViT (NVIDIA Source Code License, research and
evaluation only). Nothing here is taken from it; transformers' GroupViT is Apache-2.0.

The flow:

    image -> patches + group tokens -> blocks -> grouping block (hard arg-max over groups,
            straight through) -> fewer tokens + new group tokens -> blocks -> grouping block
            -> 8 tokens -> mean -> projector -> contrastive loss with the caption, multi-label loss
            with K prompts made of its nouns
    testing: tokens -> projector -> cosine with the words -> each group a word or the background;
             product of the SOFT assignments -> each pixel a group

Files: ``grouping.py`` (assignment attention, grouping block), ``encoder.py``
(:class:`GroupViTBackbone`), ``losses.py``, ``zero_shot.py`` (scores of groups, background,
drawing), ``head.py`` (:class:`GroupViTHead`: text tower, projectors, losses, words),
``segmentor.py`` (:class:`GroupViTSegmentor`), ``classifier.py`` (:class:`GroupViTClassifier`,
ImageNet zero-shot), ``convert.py`` (official checkpoints and transformers'). Shared:
``mmclip/text/phrases.py`` (nouns), ``mmclip/clip/cached_gradients.py`` (4096 images in the memory
of few).

Differences from the official code: a window is encoded once, not twice; texts are encoded only as
far as they reach (exact: the tower is causal); pooled in float32 where half precision would blur
logits or counts; the assignment is one-hot exactly when nothing is differentiated (the official sum
``hard - soft + soft`` is so up to rounding).
"""
