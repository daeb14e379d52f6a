"""CLIP: zero-shot classification, linear probe and contrastive training.

Paper: "Learning Transferable Visual Models From Natural Language Supervision", Radford et al.,
ICML 2021, arXiv 2103.00020. Official code and weights: openai/CLIP (MIT; the model card says what
the weights are meant for). Towers and training follow mlfoundations/open_clip (MIT), whose modules
are used.

The flow:

    names, templates -> sentences -> text tower -> normalize, average, normalize -> (K, D)
    image -> Pillow resize, crop, RGB -> image tower -> (D) -> normalize
    logits = 100 * cosine -> top-1, top-5
    linear probe: the text side is replaced by one trained layer over the frozen image feature
    training: both towers on images and their captions, symmetric InfoNCE over all processes

Files: ``classifier.py`` (:class:`CLIPZeroShotClassifier`), ``linear_classifier.py``
(:class:`LinearClassifier`), ``contrastive.py`` (:class:`CLIPContrastive`), ``convert.py``
(OpenAI's, open_clip's and Hugging Face's checkpoints).
Shared with the other methods, in ``mmclip/clip``: ``loading.py`` and ``layouts.py`` (weights),
``config.py`` (sizes read off weights), ``backbones.py`` and ``dense_features.py``
(:class:`OpenCLIPBackbone`: intermediate and dense features), ``causal_text.py`` and
``text_encoder.py`` (fast exact text encoding), ``tokenizer.py``. Templates: ``mmclip/text``.

Known differences from the official code: a text that is too long is cut and a warning says so (the
official ``tokenize`` raises unless told to cut; ``CLIPTokenizer(truncate=False)`` does the same);
special strings inside a text follow open_clip unless ``special='openai'``; weights are float32
unless mixed precision is asked for; position embeddings are resized with antialiasing, as open_clip
does, where the official code knows one image size only.
"""
