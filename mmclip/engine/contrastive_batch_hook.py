"""Says when a contrastive loss will not see the batch that a recipe asks for."""

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmclip.registry import HOOKS


@HOOKS.register_module()
class ContrastiveBatchHook(Hook):
    """Warns before training where gradient accumulation changes a contrastive loss.

    There each sample is compared with the others of its batch only: ``accumulative_counts=k`` is a
    loss over batches a k-th as large, another one. Models that compare samples say so by
    ``compares_samples = True``. What does keep the loss is a large batch in chunks (``chunk_size``,
    :mod:`mmclip.models.common.cached_gradients`). The effective batch is logged.
    """

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not getattr(model, 'compares_samples', False):
            return
        per_process = getattr(runner.train_dataloader, 'batch_size', None)
        if per_process is None:
            per_process = runner.train_dataloader.batch_sampler.batch_size
        batch = per_process * get_world_size()
        print_log(f'each sample is compared with {batch - 1} others', 'current')
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if counts > 1:
            chunks = getattr(model, 'chunk_hint', "the model's chunk_size")
            print_log(
                f'accumulative_counts={counts}: gradients are accumulated over {counts} batches of '
                f'{batch}, in each of which samples are compared with each other only; this is not '
                f'the loss of a batch of {batch * counts}. For that take '
                f'train_dataloader.batch_size={per_process * counts} and, to stay in memory, '
                f'{chunks} at {per_process}: the gradients of the whole batch',
                'current',
                level=30,
            )
