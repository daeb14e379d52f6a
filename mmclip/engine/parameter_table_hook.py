"""Says once what is trained."""

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmclip.registry import HOOKS


def parameter_table(model: nn.Module) -> str:
    """Numbers of trainable and frozen parameters of each top-level module, as text.

    A parameter that two modules share counts for the first one only. Under FSDP the numbers are
    those of this process.
    """
    seen: set[int] = set()
    rows = []
    for name, module in [*model.named_children(), ('(own)', model)]:
        parameters = [p for p in module.parameters() if id(p) not in seen]
        seen |= {id(p) for p in parameters}
        trainable = sum(p.numel() for p in parameters if p.requires_grad)
        frozen = sum(p.numel() for p in parameters if not p.requires_grad)
        if trainable or frozen:
            rows.append((name, trainable, frozen))
    rows.append(('total', sum(row[1] for row in rows), sum(row[2] for row in rows)))
    width = max(len(row[0]) for row in rows)
    lines = [f'{"module":{width}}  {"trainable":>15}  {"frozen":>15}']
    lines += [f'{name:{width}}  {a:>15,}  {b:>15,}' for name, a, b in rows]
    return '\n'.join(lines)


@HOOKS.register_module()
class ParameterTableHook(Hook):
    """Logs :func:`parameter_table` once, before training."""

    @master_only
    def before_train(self, runner: Runner) -> None:
        model = runner.model
        while is_model_wrapper(model):
            model = model.module
        runner.logger.info(f'Parameters:\n{parameter_table(model)}')
