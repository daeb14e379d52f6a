"""GLIP: detection as grounding of the words of a caption.

Paper: "Grounded Language-Image Pre-training", Li, Zhang, Zhang et al., CVPR 2022, arXiv 2112.03857.
Official code: microsoft/GLIP (MIT), commit 9dda955. The weights carry no license of their own.

The flow:

    class names or a caption -> tokens -> BERT or CLIP text tower -> hidden, embedded (T, C)
    image -> Swin -> FPN (P3-P7)
    N times: image and words attend to each other -> a text layer -> a DyHead block
    per place and level: box, centerness, one logit per token
    training: positive maps (which tokens name which phrase), ATSS, focal + GIoU + centerness losses
    test:     mean over a phrase's tokens of their probabilities, thresholds, NMS per phrase
    long vocabularies: as many captions as needed; the image and the words are encoded once

Text side, in ``mmclip/text``: ``captions.py`` (captions of class names), ``class_chunks.py`` (long
vocabularies), ``offset_tokenizers.py``, ``positive_map.py``, ``phrases.py``; here
``text_encoder.py`` (:class:`BertTokenEncoder`, :class:`CLIPTokenEncoder`). Self-training:
``mmclip/offline/pseudo_label.py``.
Model side: ``fusion.py`` and ``bi_attention.py`` (attention between image and words), ``film.py``
(an ablation of it), ``text_layer.py``, ``dyconv.py`` (DyHead block), ``neck.py``
(:class:`DeepFusionNeck`, usable by other detectors), ``alignment.py`` (token logits),
``targets.py`` (ATSS), ``losses.py``, ``post_process.py``, ``head.py`` (:class:`GLIPHead`),
``fpn.py`` (:class:`DropBlockFPN`), ``prompts.py`` (vocabularies in captions, prompt tuning),
``detector.py`` (:class:`GLIPDetector`), ``multi_scale.py`` (tests at several scales),
``convert.py`` (official checkpoints, MMDetection's).
"""
