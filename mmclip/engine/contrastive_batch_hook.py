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
    loss over batches a k-th as large, another one. What compares samples, the model or a module in
    it such as its loss, says so by ``compares_samples = True``. What does keep the loss is a large
    batch in chunks (:mod:`mmclip.clip.cached_gradients`); a model that has them names the
    setting in ``chunk_hint``. The effective batch is logged.
    """

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not any(getattr(module, 'compares_samples', False) for module in model.modules()):
            return
        per_process = getattr(runner.train_dataloader, 'batch_size', None)
        if per_process is None:
            per_process = runner.train_dataloader.batch_sampler.batch_size
        batch = per_process * get_world_size()
        print_log(f'each sample is compared with {batch - 1} others', 'current')
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if counts > 1:
            hint = getattr(model, 'chunk_hint', None)
            chunks = f' and, to stay in memory, {hint} at {per_process}' if hint else ''
            print_log(
                f'accumulative_counts={counts}: gradients are accumulated over {counts} batches of '
                f'{batch}, in each of which samples are compared with each other only; this is not '
                f'the loss of a batch of {batch * counts}. For that take '
                f'train_dataloader.batch_size={per_process * counts}{chunks}',
                'current',
                level=30,
            )
