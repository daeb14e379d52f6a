"""MiniWorld: a drawn world in the real file formats, made in a minute (docs/en/mini_world.md)."""
