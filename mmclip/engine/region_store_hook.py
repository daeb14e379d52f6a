"""Looks at the region store before training, not when a worker meets the first bad image."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmclip.clip.loading import weights_file
from mmclip.datasets.transforms.teacher_embeddings import UNTRACKED, LoadTeacherEmbeddings
from mmclip.registry import HOOKS
from mmclip.vocabulary.classifier import classifiers_of


@HOOKS.register_module()
class RegionStoreHook(Hook):
    """Checks that the store of the training pipeline fits the dataset and the model.

    Every image of the dataset must be in the store (more may be), the store's teacher must be
    the CLIP that the model's class names are encoded by, and no transform may move pixels without
    noting it in ``homography_matrix``.

    Raises:
        ValueError: one of these does not hold; at the start of training.
    """

    def before_train(self, runner: Runner) -> None:
        dataset = runner.train_dataloader.dataset
        while not hasattr(dataset, 'pipeline') and hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
        loads = [t for t in transforms if isinstance(t, LoadTeacherEmbeddings)]
        if not loads:
            raise ValueError(
                'custom_hooks: mmclip.RegionStoreHook found no mmclip.LoadTeacherEmbeddings in the '
                'training pipeline'
            )
        untracked = [type(t).__name__ for t in transforms if type(t).__name__ in UNTRACKED]
        if untracked:
            raise ValueError(
                f'the training pipeline holds {", ".join(untracked)}, which moves pixels without '
                'noting it, so the regions of mmclip.LoadTeacherEmbeddings would be left behind'
            )
        ids = [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]
        encoders = [c.text_encoder for c in classifiers_of(runner.model) if c.text_encoder]
        for store in (load.store for load in loads):
            store.check_images(ids)
            for encoder in encoders:
                # A tag of open_clip's goes by its name: it might have to be downloaded.
                tag = encoder.pretrained is not None and (
                    weights_file(encoder.model, encoder.pretrained) is None
                )
                store.check_teacher(
                    model=encoder.name, text_hash=None if tag else encoder.weight_hash()
                )
