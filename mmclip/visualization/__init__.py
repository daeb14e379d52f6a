from mmclip.visualization.montage import montage
from mmclip.visualization.word_masks import WordMaskVisualizer
from mmclip.visualization.word_visualizer import WordVisualizer

__all__ = ['WordMaskVisualizer', 'WordVisualizer', 'montage']
