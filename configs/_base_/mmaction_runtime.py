# For MMAction2's recognizers. The visualizer serves its inferencer; its VisualizationHook is not named, since it
# cannot draw in mmaction2 1.2.0: it passes `show`, which its own visualizer does not take.
_base_ = './default_runtime.py'
visualizer = dict(
    type='mmaction.ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
