"""ActionCLIP: action recognition as matching of videos with sentences.

Paper: "ActionCLIP: A New Paradigm for Video Action Recognition", Wang, Xing, Liu, arXiv 2109.08472
(2021; TNNLS 2023). Official code: sallymmx/ActionCLIP (MIT), commit 31c34df. Its Kinetics weights
have no license of their own; OpenAI's CLIP weights are MIT.

The flow:

    T frames -> [+ time embedding: joint] -> ViT [channels shifted between frames: shift] -> (T, D)
             -> MeanP | Conv_1D | LSTM | Transf | Transf_cls -> (D) -> normalize
    label    -> one of 16 templates -> text tower -> (D) -> normalize
    training: KL(softmax(10 same class) || softmax(scale * cosines)), both directions, all processes
    test:     mean over templates and views of softmax(100 * cosines), sentences encoded once

Files: ``text_prompts.py`` (templates), ``text_tower.py`` (CLIP's, random, transformers'),
``frame_prompts.py`` (joint, shift), ``post_prompts.py`` (the five heads), ``video_tower.py``,
``loss.py`` (:class:`MultiPositiveKLLoss`), ``base.py``, ``recognizer.py``
(:class:`ActionCLIPRecognizer`), ``unimodal.py`` (the baseline without words), ``convert.py``
(official checkpoints, MMAction2's).
Reading and sampling of videos: ``mmclip/datasets/video.py``, ``video_reader.py``,
``transforms/video.py``.

Differences from the official code: weights and gradients are float32 unless mixed precision is
asked for (there: fp16, rounded after every step); Conv_1D transposes (``official_view=True``
scrambles channels and time as there); the joint prompt works; each distinct sentence of a batch is
encoded once and without padding, which changes nothing; several processes gather features and
labels (there: DataParallel); the incomplete last batch of a validation counts; dropout after the
position embeddings (0 in every official config) is not offered. Stochastic depth (``drop_out``,
also 0 there) is offered for the image tower only.
"""
