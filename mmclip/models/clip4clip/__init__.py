"""CLIP4Clip: text-video retrieval with CLIP's towers, fine-tuned end to end.

Paper: "CLIP4Clip: An Empirical Study of CLIP for End to End Video Clip Retrieval", Luo, Ji, Zhong,
Chen, Lei, Duan, Li, arXiv 2104.08860 (2021; Neurocomputing 508, 2022). Official code:
ArrowLuo/CLIP4Clip (MIT), commit 508ffa3. No fine-tuned weights are published; OpenAI's CLIP weights
are MIT.

The flow:

    video -> a frame per second, 12 at most -> [3D patches] -> ViT, each frame alone -> (T, D)
    sentence -> text tower -> (D)
    loose:  -> nothing (meanP) | LSTM (seqLSTM) | 4 blocks (seqTransf), each with a residual
            -> mean over real frames of unit vectors -> unit vector; score = scale * cosine
    tight:  [sentence; frames] -> 4 blocks -> pooler on the sentence's token -> one number
    training: symmetric cross entropy of a batch, over all processes
    test:     videos and sentences encoded once; loose: one matrix product; tight: pair_scores.py

Files: ``patch_3d.py``, ``frame_tower.py``, ``heads.py`` (the three loose ones), ``tight_head.py``,
``pair_scores.py`` (that head on whole matrices), ``loss.py``, ``freeze.py``, ``preprocessor.py``,
``retriever.py`` (:class:`CLIP4Clip`), ``feature_store.py`` and ``search.py`` (vectors on disk and
search in them), ``convert.py`` (official checkpoints, MMAction2's). Data: ``mmclip/datasets/
text_video.py``, metric: ``mmclip/evaluation/video_retrieval.py``, optimizer: ``mmclip/engine/
bert_adam.py``.

Differences from the official code: weights are float32 unless mixed precision is asked for (there:
CLIP in fp16 without master weights, which is why its rate of 1e-7 does not carry over); padding is
never run; a video without a frame is no NaN; several processes train on the joined batch
(``gather='official'``: as there); freezing works with 3D patches too (``official_3d_freeze=True``);
the metric counts ties against the query instead of several times.
"""
