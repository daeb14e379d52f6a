"""PointCLIP: names for point clouds from CLIP's view of their depth maps; and PointCLIP V2.

Paper: "PointCLIP: Point Cloud Understanding by CLIP", Zhang et al., CVPR 2022, arXiv 2112.02413.
Official code: ZrrSkywalker/PointCLIP (no license: read for facts only). V2: "PointCLIP V2", Zhu et
al., ICCV 2023, arXiv 2211.11682, yangyangyang127/PointCLIP_V2 (MIT). CLIP's weights: MIT.

The flow:

    points (B, N, 3) -> V rotations -> perspective depth maps (V1) or voxel grids (V2)
        -> images (B V, 3, S, S) -> frozen image tower -> features (B, V, C)
    zero-shot: each feature is normalized           few-shot: inter-view adapter, one norm over V C
    names, prompts -> sentences -> text tower -> (K, C)
    logits = sum over views of weight x cosine / (temperature sqrt(V)), + an ensemble's logits
    training: the adapter alone, smoothed cross entropy
    search: scores (N, V, K) of a validation split -> weights of the views

Files: ``classifier.py`` (:class:`PointCLIPClassifier`), ``perspective.py`` (V1's
:class:`PerspectiveDepthProjector`), ``realistic.py`` (V2's :class:`RealisticDepthProjector`),
``view_sets.py`` (angles), ``map_images.py`` (maps to CLIP's images), ``clouds.py`` (batches of
equal and of different lengths), ``adapter.py`` (:class:`InterViewAdapter`), ``loss.py``
(:class:`SmoothCELoss`), ``point_net.py`` (:class:`PointNetClassifier`, the partner of ensembles),
``view_weights.py`` (the search), ``samples.py`` (labels and predictions),
``pretrained_part.py`` (strict loading), ``convert.py``.

Known differences from the official code: the adapter is trained in float32, not in half precision;
text features are encoded once, not at every step; weights of views are a setting of the model and
are searched on a validation split (officially on the test labels, see ``official_search`` of
:class:`mmclip.ViewWeightSearchHook`); checkpoints load strictly; V2's image of a cloud without
points is white, not NaN. No official code exists for the ensemble, for ModelNet10, and for V1 on
ScanObjectNN.
"""
