"""Parts of two or more methods that are neither CLIP nor vocabulary.

Letters for dimensions, used in every comment and docstring:

    B batch        C channels      D embedding     H, W height, width   K classes (background last)
    L levels       N boxes/tokens  P prompts       T frames or text tokens

Boxes are xyxy in absolute pixels unless the name says otherwise. ``temperature`` divides,
``logit_scale`` multiplies. ``embeddings`` are L2-normalized unless called ``raw_...``.
"""
