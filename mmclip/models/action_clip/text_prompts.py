"""The sentences of ActionCLIP around the name of an action."""

from collections.abc import Sequence

from mmclip.text.prompts import PromptSet, get_prompts

# In the official order, which is the order of the scores' layout. The paper names three kinds:
# prefix (the name comes first), suffix (last) and cloze (in between).
ACTION_CLIP_16 = (
    'a photo of action {}',
    'a picture of action {}',
    'Human action of {}',
    '{}, an action',
    '{} this is an action',
    '{}, a video of action',
    'Playing action of {}',
    '{}',
    'Playing a kind of action, {}',
    'Doing a kind of action, {}',
    'Look, the human is {}',
    'Can you recognize the action of {}?',
    'Video classification of {}',
    'A video of {}',
    'The man is {}',
    'The woman is {}',
)
PREFIX = tuple(t for t in ACTION_CLIP_16 if t.startswith('{}') and t != '{}')
SUFFIX = tuple(t for t in ACTION_CLIP_16 if t.endswith('{}') and t != '{}')
CLOZE = tuple(t for t in ACTION_CLIP_16 if not t.startswith('{}') and not t.endswith('{}'))

ACTION_PROMPTS = {
    'action_clip_16': PromptSet(ACTION_CLIP_16),
    'action_clip_prefix': PromptSet(PREFIX),
    'action_clip_suffix': PromptSet(SUFFIX),
    'action_clip_cloze': PromptSet(CLOZE),
}


def action_prompts(prompts: str | Sequence[str]) -> PromptSet:
    """A prompt set: ActionCLIP's own by name, or whatever every other model takes.

    Source: ActionCLIP (arXiv 2109.08472), section 3.2 and the official ``text_prompt``.

    Args:
        prompts: ``'action_clip_16'`` (all sixteen), ``'action_clip_prefix'``,
            ``'action_clip_suffix'``, ``'action_clip_cloze'``, or as
            :func:`mmclip.text.prompts.get_prompts`: ``'name'``, one's own templates ...

    Raises:
        ValueError: unknown set (all are listed), no template, a template without ``{}``.
    """
    if isinstance(prompts, str) and prompts in ACTION_PROMPTS:
        return ACTION_PROMPTS[prompts]
    try:
        return get_prompts(prompts)
    except ValueError as error:
        raise ValueError(f'{error}; ActionCLIP adds {", ".join(ACTION_PROMPTS)}') from error
