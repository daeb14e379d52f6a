"""ViLD: open-vocabulary detection by distilling CLIP into a two-stage detector.

Paper: "Open-vocabulary Object Detection via Vision and Language Knowledge Distillation", Gu, Lin,
Kuo, Cui, ICLR 2022, arXiv 2104.13921. Official code: tensorflow/tpu,
``models/official/detection/projects/vild`` (Apache-2.0, TensorFlow 1). Released weights: same
repository, no license of their own.

The flow:

    image -> backbone -> FPN -> RPN (boxes of base classes only) -> proposals
    proposals -> RoIAlign -> convolutions and fully connected layers -> box, mask (class-agnostic)
                          -> projection (D) -> cosine with the embedded class names -> softmax
    training adds: the projection of M stored proposals is drawn to what CLIP says about their crops
    - ViLD-text: names only            - ViLD-image: distillation only
    - ViLD: one embedding for both     - ViLD-ensemble: a trunk for each, geometric mean of the
      scores

Files: ``detector.py`` (:class:`ViLD`, any two-stage detector with ``set_classes``),
``bbox_head.py`` (:class:`ViLDBBoxHead`), ``classifier.py`` (projection and text classifier in place
of the host's ``fc_cls``), ``novel_classes.py`` (who is novel, and their logits in the loss),
``detections.py`` (scores to detections for big vocabularies, in bounded memory).

Names of the official architecture's modules, which the converter targets (``{i}`` a layer,
``{l}`` a level from P2):

    backbone.*                                    mmdet's ResNet
    neck.lateral_convs.{l}.conv, neck.fpn_convs.{l}.conv (4 = P6), neck.end_norms.{l}
    rpn_head.rpn_conv.{i}, rpn_head.rpn_norms.{l}.{i}, rpn_head.rpn_cls, rpn_head.rpn_reg
    roi_head.bbox_head.shared_convs.{i}.{conv,bn}
    roi_head.bbox_head.shared_fcs.{i}.{0,1}       dense layer, its norm
    roi_head.bbox_head.fc_cls.projection          'project-to-clip'
    roi_head.bbox_head.fc_cls.classifier.{embeddings,background}
    roi_head.bbox_head.fc_reg
    roi_head.bbox_head.image_convs.{i}.{conv,bn}  ViLD-ensemble's second trunk
    roi_head.bbox_head.image_fcs.{i}.{0,1}
    roi_head.bbox_head.image_projection
    roi_head.mask_head.convs.{i}.{conv,bn}, roi_head.mask_head.conv_logits
    roi_head.mask_head.upsample, roi_head.mask_head.upsample_norm

Convolutions in front of a norm carry a bias where the official ones do (all but the backbone's), so
that every official variable has its place. The background column is the last, as in mmdet (the
official one is the first).

Differences from the official code: a novel class is left out of the training softmax
(``novel_mask``; the official code multiplies its logit by 0, selectable); host's pixel conventions
unless ``tf_compat``.
"""
