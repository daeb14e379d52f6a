"""Checkpoints that are there whole or not at all."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import BaseLoop, Runner

from mmclip.engine import find_checkpoint
from mmclip.io import atomic
from mmclip.registry import HOOKS
from mmclip.text.dataset_meta import one_meta


def gradients_are_whole(runner: Runner) -> bool:
    """Whether no gradient waits to be added to: a checkpoint does not hold gradients."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return all(w.should_update() for w in wrappers if hasattr(w, 'should_update'))


class _AtomicSaver:
    """A runner whose ``save_checkpoint`` is the hook's."""

    def __init__(self, runner: Runner, hook: 'AtomicCheckpointHook') -> None:
        self._runner, self._hook = runner, hook

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def save_checkpoint(self, out_dir: str, filename: str, **kwargs: Any) -> None:
        self._runner.call_hook('before_checkpoint')
        self._hook.write(self._runner, filename, **kwargs)


class _DeferredRemovals:
    """A file backend that keeps what it is told to remove until :meth:`carry_out`."""

    def __init__(self, backend: Any) -> None:
        self._backend, self._paths = backend, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._paths.append(path)

    rmtree = remove

    def carry_out(self, keep: set[str]) -> None:
        for path in self._paths:
            if path not in keep:
                isdir = self._backend.isdir(path)
                (self._backend.rmtree if isdir else self._backend.remove)(path)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, safe against being cut off at any moment.

    A checkpoint (a file, or a folder of FSDP's or DeepSpeed's) is written as ``.NAME.partial``,
    synced and renamed; then ``last_checkpoint`` and the link ``last.pth`` follow in the same way;
    only then are older ones (``max_keep_ckpts``, the former ``save_best``) removed. With gradient
    accumulation a checkpoint waits for the next update. The checkpoint of an iteration after which
    there is a validation is written again after it, with its outcome; a run that is cut off in
    between makes up for the validation when it goes on.

    Args: those of :class:`mmengine.hooks.CheckpointHook`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due, self._local = False, True
        self._kept: list[str] = []
        self._position: dict[str, int] = {}
        self._saved: tuple[str, int] | None = None
        self._again: tuple[str, dict] | None = None
        self._late: _DeferredRemovals | None = None

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        info = runner.message_hub.runtime_info
        ids = info.get('keep_ckpt_ids', [])
        self._kept = list(info.get('kept_checkpoints', map(self.filename_tmpl.format, ids)))
        self._local = isinstance(self.file_backend, LocalBackend)
        if self._local and is_main_process():
            find_checkpoint.remove_partial(Path(self.out_dir))
        if runner._resume and 'last_ckpt' in info:
            path = self.file_backend.join_path(self.out_dir, Path(info['last_ckpt']).name)
            if self.file_backend.exists(path):
                self.last_ckpt, self._saved = path, (path, runner.iter)
        self._remove_older(runner)
        self._make_up_validation(runner)

    def _make_up_validation(self, runner: Runner) -> None:
        loop, done = runner.train_loop, runner.message_hub.runtime_info.get('done_validation')
        if runner.val_loop is None or not runner.iter or done == runner.iter:
            return
        if not hasattr(loop, '_decide_current_val_interval'):
            return
        loop._decide_current_val_interval()
        by_iter = hasattr(loop, 'dataloader_iterator')
        now, end = (loop.iter, loop.max_iters) if by_iter else (loop.epoch, loop.max_epochs)
        whole = by_iter or loop.iter == loop.epoch * len(loop.dataloader)
        if whole and now >= loop.val_begin and (now % loop.val_interval == 0 or now == end):
            runner.logger.info('The run was cut off before this validation was done.')
            runner.val_loop.run()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self.by_epoch:
            return
        last = self.save_last and self.is_last_train_iter(runner)
        if last or self.every_n_train_iters(runner, self.interval, self.save_begin):
            self._due = True
        if self._due and (last or gradients_are_whole(runner)):
            self._due = False
            runner.logger.info(f'Saving checkpoint at {runner.iter + 1} iterations')
            self._save_checkpoint(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        if isinstance(runner._train_loop, BaseLoop):
            runner.message_hub.update_info('done_validation', runner.iter)
            meta = {'epoch': runner.epoch, 'iter': runner.iter}
            if self._saved is not None and self._saved[1] == runner.iter:
                self._again = (Path(self._saved[0]).name, meta)
            super().after_val_epoch(runner, metrics)

    def after_val(self, runner: Runner) -> None:
        # Now with what the validation brought: the best score, steps of schedulers that look at it.
        again, self._again = self._again, None
        if again is not None:
            self._save(runner, *again)
        if self._late is not None:
            best = getattr(self, 'best_ckpt_path_dict', None)
            keep = {self.best_ckpt_path} if best is None else set(best.values())
            self._late.carry_out(keep)
            self._late = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        # FlexibleRunner overwrites the position that it is given.
        checkpoint['meta'].update(self._position)
        if 'dataset_meta' in checkpoint['meta']:
            checkpoint['meta']['dataset_meta'] = one_meta(checkpoint['meta']['dataset_meta'])

    def save_now(self, runner: Runner, *, iterations: int) -> str:
        """Save the run as it is, unless that is what was saved last.

        Args:
            iterations: That the run has done.

        Returns:
            The checkpoint's path.
        """
        if self._saved is None or self._saved[1] != iterations:
            name = ('iter_{}.pth' if self.by_epoch else self.filename_tmpl).format(iterations)
            self._save(runner, name, {'epoch': runner.epoch, 'iter': iterations})
        return self._saved[0]

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if self._late is not None:  # the best score has changed
            self._again = (self.filename_tmpl.format(step), meta)
        else:
            self._save(runner, self.filename_tmpl.format(step), meta)

    def _save(self, runner: Runner, name: str, meta: dict) -> None:
        runner.call_hook('before_checkpoint')
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        # The oldest stays on the list until it is gone: a run that goes on from here removes it.
        self._kept = [kept for kept in self._kept if kept != name] + [name]
        runner.message_hub.update_info('kept_checkpoints', self._kept)
        self.write(
            runner,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **self.args,
        )
        if is_main_process():
            atomic.write_text(Path(runner.work_dir, 'last_checkpoint'), self.last_ckpt)
            if self._local:
                atomic.link(Path(self.out_dir, 'last.pth'), Path(self.last_ckpt))
        self._saved = (self.last_ckpt, meta['iter'])
        self._remove_older(runner)

    def write(self, runner: Runner, name: str, *, meta: dict, **kwargs: Any) -> None:
        """Write one checkpoint of the run; called on all ranks."""
        kwargs.update(file_client_args=self.file_client_args, backend_args=self.backend_args)
        self._position = {key: meta[key] for key in ('epoch', 'iter')}
        try:
            if self._local:
                self._write_atomic(runner, name, meta=dict(meta), **kwargs)
            else:
                runner.save_checkpoint(self.out_dir, name, meta=dict(meta), **kwargs)
        finally:
            self._position = {}

    def _write_atomic(self, runner: Runner, name: str, **kwargs: Any) -> None:
        final = Path(self.out_dir, name)
        partial = final.with_name(atomic.PARTIAL.format(name))
        first_of_node = os.environ.get('LOCAL_RANK') == '0'
        writes = is_main_process() or first_of_node
        with atomic.unfinished(partial) if writes else nullcontext():
            runner.save_checkpoint(self.out_dir, partial.name, **kwargs)
            barrier()
            if is_main_process():
                atomic.commit(partial, final)
            barrier()
            if first_of_node and partial.exists():  # on a disk of the node's own
                atomic.commit(partial, final)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        backend = self.file_backend
        self.file_backend = self._late = _DeferredRemovals(backend)
        try:
            super()._save_best_checkpoint(_AtomicSaver(runner, self), metrics)
        finally:
            self.file_backend = backend

    def _remove_older(self, runner: Runner) -> None:
        if self.max_keep_ckpts <= 0:
            return
        older, self._kept = self._kept[: -self.max_keep_ckpts], self._kept[-self.max_keep_ckpts :]
        if is_main_process():
            for name in older:
                path = self.file_backend.join_path(self.out_dir, name)
                if self.file_backend.isdir(path):
                    self.file_backend.rmtree(path)
                elif self.file_backend.isfile(path):
                    self.file_backend.remove(path)
        runner.message_hub.update_info('kept_checkpoints', self._kept)
