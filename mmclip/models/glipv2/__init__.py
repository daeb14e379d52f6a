"""GLIPv2: GLIP with comparisons across images, masked words and masks of phrases.

Paper: "GLIPv2: Unifying Localization and Vision-Language Understanding", Zhang, Zhang, Hu et al.,
NeurIPS 2022, arXiv 2206.05836. Official code: microsoft/GLIP (MIT), commit 9dda955, which holds the
parts as options. Neither weights nor configurations of GLIPv2 were released.

The flow:

    caption -> tokens -> some of them hidden -> text tower -> words before the fusion
    image -> Swin -> FPN -> regions before the fusion
    both -> GLIP's deep fusion -> boxes, centerness, token logits: GLIP's losses
    regions x words of ALL images and processes, labels spread by class name -> contrastive loss
    words behind the fusion -> names of the hidden ones
    regions behind the fusion x words of a phrase -> its mask, 28 x 28, pasted into the image
    test: GLIP's

Files: ``detector.py`` (:class:`GLIPv2Detector`), ``head.py`` (:class:`GLIPv2Head`, masks on GLIP's
head), ``inter_image_loss.py`` (:class:`InterImageRegionWordLoss`), ``regions.py`` and
``region_words.py`` (which regions, which words are right), ``mask_tokens.py`` and ``mlm_head.py``
(hidden words), ``token_mask_head.py``, ``paste.py`` (masks), ``text_swin.py``,
``text_conditioned_neck.py`` (words in the backbone), ``vqa_head.py``,
``caption_head.py`` (questions and captions), ``convert.py`` (GLIP's checkpoints and the official
options').

Differences from the official code, each with a switch to have it that way: the first box of a
image takes part in the loss across images (``compat``); its words come from before the fusion
(``text``); its labels are names, not numbers (``by_name``); gradients reach all processes
(``gather``); only words that are asked for are hidden (``MaskTokens.compat``); masks are cut and
pasted as the host does (``inclusive_masks``). Several images per process have masks (there: one).
"""
