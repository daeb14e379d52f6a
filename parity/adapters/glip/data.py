"""Adapters of GLIP's text and data side; ``glip.py`` merges :data:`ADAPTERS` into its own."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mmclip.datasets.transforms.class_sampling import draw_negatives, fitting_positives
from mmclip.datasets.transforms.pack_captions import fitting_captions
from mmclip.evaluation.lvis_metric import OpenVocabLVISMetric
from mmclip.evaluation.phrase_recall import PhraseRecall
from mmclip.models.glip.text_encoder import (
    BertTokenEncoder,
    CLIPTokenEncoder,
    bert_state,
    resize_positions,
)
from mmclip.text.captions import Caption, class_caption, clean_name, pack_captions
from mmclip.text.class_chunks import SPECIAL_TOKENS, chunk_classes
from mmclip.text.offset_tokenizers import BertTokens
from mmclip.text.positive_map import (
    maskable_tokens,
    positive_map,
    token_labels,
)
from parity.case import Case, Comparison

ROOM = 1000  # tokens, enough for every text of the fixtures


def tokens_of(caption: Caption, labels: Sequence[int], tokenizer: BertTokens) -> dict[str, list]:
    """Label -> numbers of its tokens."""
    batch = tokenizer([caption.text], ROOM, pad=False)
    shares = positive_map(caption.spans, batch.offsets[0], batch.special[0], ROOM)
    return {
        str(label): row.nonzero()[:, 0].tolist() for label, row in zip(labels, shares, strict=True)
    }


class RecordedDraws:
    """Stands for the random numbers of a fixture: what it lists, and the identity for shuffles."""

    def __init__(self, uniform: float, draws: list) -> None:
        self.uniform, self.draws = uniform, draws

    def _next(self, name: str) -> list:
        assert self.draws and self.draws[0][0] == name, (name, self.draws)
        return self.draws.pop(0)[1:]

    def random(self) -> float:
        return self.uniform

    def randint(self, high: int) -> int:
        expected, value = self._next('count_minus_1')
        assert expected == high
        return value

    def choice(self, candidates: np.ndarray, count: int, replace: bool) -> np.ndarray:
        expected, values = self._next('negatives')
        assert expected == list(candidates) and len(values) == count and not replace
        return np.array(values)

    def permutation(self, values: np.ndarray) -> np.ndarray:
        return values


def sampled_caption(row: dict, names: list[str], boxes: list[int], tokenizer: BertTokens) -> dict:
    """What the fixture records of one sampled caption."""
    draws = RecordedDraws(row['uniform_draw'], [list(draw) for draw in row['draws']])
    costs = tokenizer.count([clean_name(name) + '. ' for name in names])
    room = row['max_seq_length']
    kept, spent = fitting_positives(sorted(set(boxes)), costs, room, draws)
    absent = draw_negatives(
        sorted(set(boxes)),
        np.arange(len(names)),
        costs,
        room - spent,
        draws,
        limit=row['random_sample_negative'],
        full_prob=row['control_probabilities'][2],
    )
    chosen = absent + kept
    caption = class_caption([names[i] for i in chosen])
    span_of = dict(zip(chosen, caption.spans, strict=True))
    left = [label for label in boxes if label in kept]
    return dict(
        caption=caption.text,
        positive_token_length=spent,
        boxes_kept=len(left),
        labels_of_boxes=left,
        label_to_char_span={str(label): list(span[0]) for label, span in span_of.items()},
        spans_of_boxes=[[list(span) for span in span_of[label]] for label in left],
    )


def eval_queries(queries: list[dict], tokenizer: BertTokens) -> list[Comparison]:
    comparisons = []
    for number, query in enumerate(queries):
        caption = class_caption(
            query['class_names'],
            separator=query['separation_tokens'],
            prompts=query['caption_prompt'],
            suppress=query['additional_labels'] or (),
        )
        ours = dict(
            query=caption.text, label_to_tokens=tokens_of(caption, query['labels'], tokenizer)
        )
        comparisons.append(Comparison(f'query {number}', ours, {key: query[key] for key in ours}))
    return comparisons


def simple_captions(row: dict) -> list[Comparison]:
    """All classes in order, without and with words around each."""
    names = [row['names'][key] for key in sorted(row['names'], key=int)]
    places = [label - 1 for label in row['labels']]
    prompted = row['with_prompt_caption']
    last = class_caption(names[-1:]).text
    prefix = prompted[: prompted.index(clean_name(names[0]))]
    suffix = prompted[prompted.rindex(last) + len(last) :]
    comparisons = []
    for key, prompts in (('', None), ('with_prompt_', [dict(prefix=prefix, suffix=suffix)])):
        caption = class_caption(names, prompts=prompts and prompts * len(names))
        spans = [[list(span) for span in caption.spans[place]] for place in places]
        reference = row[f'{key}tokens_positive']
        comparisons.append(Comparison(f'{key}caption', caption.text, row[f'{key}caption']))
        comparisons.append(Comparison(f'{key}spans', spans, reference))
    return comparisons


def packed_caption(row: dict, tokenizer: BertTokens) -> list[Comparison]:
    negatives = row['negatives']
    own, *lengths = (
        count + SPECIAL_TOKENS for count in tokenizer.count([row['positive'], *negatives])
    )
    tried = list(range(len(negatives)))[::-1]
    kept = fitting_captions(own, lengths, row['max_query_len'], tried)
    order = list(range(len(kept) + 1))[::-1]
    caption = Caption(row['positive'], row['spans'])
    packed, place = pack_captions(caption, [negatives[i] for i in kept], order)
    spans = [[list(span) for span in pieces] for pieces in packed.spans]
    return [
        Comparison('packed', packed.text, row['caption']),
        Comparison('packed spans', spans, row['new_spans']),
        Comparison('packed place', [list(place)], row['greenlight']),
    ]


def captions(case: Case) -> list[Comparison]:
    config = case.config
    tokenizer = BertTokens(config['tokenizer']['vocab'])
    cleaned = {name: clean_name(name) for name in config['clean_name']}
    comparisons = [
        Comparison('dummy', case.outputs['dummy'], case.outputs['dummy']),
        Comparison('clean_name', cleaned, config['clean_name']),
    ]
    comparisons += eval_queries(config['eval_queries'], tokenizer)
    chunks = chunk_classes(
        ['a'] * sum(config['chunk_sizes']), tokenizer.count, chunk_size=config['chunk_sizes'][0]
    )
    comparisons.append(Comparison('chunk_sizes', list(map(len, chunks)), config['chunk_sizes']))
    comparisons.append(
        Comparison('chunk_first', [chunk[0] + 1 for chunk in chunks], config['chunk_first'])
    )
    simple = config['od_to_grounding_simple']
    comparisons += simple_captions(simple)
    names = ['background', *(simple['names'][key] for key in sorted(simple['names'], key=int))]
    for number, row in enumerate(config['od_to_grounding_sampled']):
        ours = sampled_caption(row, names, simple['labels'], tokenizer)
        comparisons.append(Comparison(f'sampled {number}', ours, {key: row[key] for key in ours}))
    comparisons += packed_caption(config['pack_caption'], tokenizer)
    return comparisons


def numbered_from(labels: torch.Tensor, phrases: torch.Tensor) -> torch.Tensor:
    """Our phrase of each token, counted from the class that the fixture gives its first phrase.

    Its classes are consecutive; any token that has one tells where they start.
    """
    known = (labels >= 0) & (phrases >= 0)
    start = (labels - phrases)[known][:1].sum()
    return torch.where(phrases < 0, -1, phrases + start).float()


def positive_maps(case: Case) -> list[Comparison]:
    width, found = case.config['width'], []
    tokenizer = BertTokens(case.config['tokenizer']['vocab'])
    for number, row in enumerate(case.config['captions']):
        spans = row['spans']
        batch = tokenizer([row['caption']], width, pad=False)
        offsets = case.inputs[f'{number}.offsets']
        found.append(Comparison(f'{number}.ids', batch.ids[0], case.inputs[f'{number}.input_ids']))
        found.append(Comparison(f'{number}.offsets', batch.offsets[0], offsets))
        # Of the fixture the ends are the special tokens.
        special = torch.zeros(len(offsets), dtype=torch.bool)
        special[[0, -1]] = True
        shares = positive_map(spans, offsets, special, width)
        rows = {str(i): line.nonzero()[:, 0].tolist() for i, line in enumerate(shares, 1)}
        found.append(Comparison(f'{number}.tokens', rows, row['label_to_token_from_map']))
        places = [pieces[:1] for pieces in spans]  # one place per label
        phrases = token_labels(places, range(len(spans)), offsets, special, width)
        found += [
            Comparison(f'{number}.{name}', ours, case.outputs[f'{number}.{name}'])
            for name, ours in (
                ('positive_map', shares),
                ('positive_map_binary', (shares > 0).float()),
                ('greenlight_map', maskable_tokens(spans, offsets, special, width)),
                ('greenlight_blocked', maskable_tokens(None, offsets, special, width)),
                ('od_label_map', numbered_from(case.outputs[f'{number}.od_label_map'], phrases)),
            )
        ]
        pairs = [[int(label), token] for label, tokens in rows.items() for token in tokens]
        reference = case.outputs[f'{number}.label_to_tokens']
        found.append(Comparison(f'{number}.label_to_tokens', pairs, reference))
    return found


def bert_text(case: Case) -> dict:
    config, found = case.config, {}
    prefix = 'body.model.'
    state = bert_state({k.removeprefix(prefix): v for k, v in case.state.items()})
    for name in case.outputs:
        group, _, key = name.rpartition('_')
        layers = int(group.removeprefix('n_layers')) if group else 1
        encoder = BertTokenEncoder(
            config=config, max_tokens=config['max_position_embeddings'], num_last_layers=layers
        ).eval()
        encoder.bert.load_state_dict(state)
        with torch.no_grad():
            answer = encoder(case.inputs['input_ids'], case.inputs['attention_mask'].bool())
        found[name] = answer[key]
    return found


def clip_text(case: Case) -> dict:
    config = case.config
    text = {key: config[key] for key in ('width', 'heads', 'layers', 'vocab_size')}
    encoder = CLIPTokenEncoder(
        model=dict(embed_dim=1, quick_gelu=True, vision_cfg={}, text_cfg=text),
        max_tokens=config['context_length'],
        causal=config['causal'],
        eps=config['ln_eps'],
    ).eval()
    encoder.load_state_dict(case.state)
    with torch.no_grad():
        answer = encoder(case.inputs['input_ids'], case.inputs['attention_mask'].bool())
    positions = resize_positions(case.inputs['old_pos_embed'], config['context_length'])
    return {'hidden': answer['hidden'], 'resized_pos_embed': positions}


def lvis_fixed_ap(case: Case) -> dict:
    """Plain and fixed AP through the metric that ``tools/test.py`` runs."""
    truth = case.config['dataset']
    ids = sorted(row['id'] for row in truth['categories'])
    samples = []
    for number in range(len(truth['images'])):
        labels = case.inputs[f'{number}.labels']
        instances = dict(
            bboxes=case.inputs[f'{number}.boxes_xyxy'],
            scores=case.inputs[f'{number}.scores'],
            labels=torch.searchsorted(torch.tensor(ids), labels),
        )
        image_id = int(case.inputs[f'{number}.image_id'])
        samples.append(dict(img_id=image_id, pred_instances=instances))
    found = {}
    limits = {name.split('.')[0] for name in case.outputs}
    with tempfile.TemporaryDirectory() as folder:
        ann_file = Path(folder) / 'truth.json'
        ann_file.write_text(json.dumps(truth))
        for group in sorted(limits):
            top = int(group.removeprefix('fixed_top')) if 'top' in group else 10_000
            metric = OpenVocabLVISMetric(
                ann_file=str(ann_file), fixed_ap=True, fixed_ap_limit=top, max_dets=300
            )
            metric.process(None, samples)
            results = metric.evaluate(len(samples))
            prefix = 'lvis/bbox_' if group == 'standard' else 'lvis/bbox_fixed_'
            for name in case.outputs:
                if name.startswith(f'{group}.'):
                    key = name.removeprefix(f'{group}.').removesuffix('@-1')
                    found[name] = results[prefix + key]
    return found


def flickr_recall(case: Case) -> dict:
    found = {}
    for merge in (False, True):
        metric = PhraseRecall(topk=(1, 5, 10, -1), merge_boxes=merge)
        for sentence in case.config['sentences']:
            phrases = sentence['phrases']
            counts = [len(phrase['pred_boxes']) for phrase in phrases]
            # The lists are sorted, best first.
            scores = [1.0 - place / 1000 for count in counts for place in range(count)]
            instances = dict(
                bboxes=[box for phrase in phrases for box in phrase['pred_boxes']],
                scores=scores,
                labels=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
            )
            sample = dict(
                img_id=sentence['image_id'],
                phrase_boxes=[phrase['gt_boxes'] for phrase in phrases],
                phrase_types=[phrase['phrase_type'] for phrase in phrases],
                pred_instances=instances,
            )
            metric.process(None, [sample])
        results = metric.compute_metrics(metric.results)
        for name in case.outputs:
            if name.startswith('merged_') == merge:
                key = name.removeprefix('merged_').replace('@-1', '@ALL').removesuffix('_all')
                found[name] = results[key.replace('@ALL', '@all')]
    return found


ADAPTERS = {
    'captions': captions,
    'positive_map': positive_maps,
    'bert_text': bert_text,
    'clip_text': clip_text,
    'lvis_fixed_ap': lvis_fixed_ap,
    'flickr_recall': flickr_recall,
}
