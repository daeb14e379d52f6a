"""LSeg: language-driven semantic segmentation.

Paper: "Language-driven Semantic Segmentation", Li, Weinberger, Belongie, Koltun, Ranftl, ICLR
2022, arXiv 2201.03546. Official code: isl-org/lang-seg (MIT), which needs PyTorch-Encoding (MIT)
and parts of HSNet. Released weights: same repository, no license of their own.

The flow:

    image -> ViT, four taps -> reassemble (strides 4, 8, 16, 32) \\
    image -> ResNet-101, four stages ----------------------------> DPT decoder -> 1x1 convolution
            -> (D per pixel) -> cosine with the embedded words -> head block -> x2 -> cross entropy
    words   -> CLIP's text tower, frozen, once per list of words

The image encoder is supervised on ImageNet (the name of the official one, ``clip_vitl16_384``,
means the text only); starting it from CLIP is an option
(``pretrained=dict(model=..., pretrained=...)``). The background is a word of the list ('other'),
freely chosen.

Files: ``vit.py`` and ``vit_weights.py`` (:class:`DPTViT`, where it starts), ``reassemble.py``,
``decoder.py``, ``head_block.py``, ``head.py`` (:class:`LSegHead`), ``convert.py`` (official
checkpoints). The segmentor, the text classifier, early fusion and the multi-scale evaluation are
shared: ``mmclip/models/dense`` and ``mmclip/vocabulary``.

Names of modules that the converter targets:

    backbone.vit.{cls_token,pos_embed,patch_embed.proj,blocks.i}   timm's names
    backbone.{conv1,bn1,layer1..4}                                 ResNet-101, mmseg's names
    decode_head.reassemble.{readouts.l.project,projects.l,resizes.l}
    decode_head.decoder.convs.l
    decode_head.decoder.fusion_blocks.l.{unit1,unit2}.{conv1,bn1,conv2,bn2}, .project
    decode_head.conv_seg.projection                                official ``head1``
    decode_head.conv_seg.classifier.{embeddings,names}             the vocabulary
    decode_head.head_block.conv

Differences from the official code: logits in float32, not half; text is encoded once per list, not
at every forward; maps with odd sides work; parts that nothing reads (final norm and classifier of
the ViT, a residual unit of the coarsest fusion block) are not built; labels with several words keep
all of them unless the official list is asked for.
"""
