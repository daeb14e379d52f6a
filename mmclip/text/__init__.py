"""Words without torch modules: class names, prompts, phrases, captions, tokenizers."""
