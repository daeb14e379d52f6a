"""Proof that our modules give the official code's numbers: ``python -m parity METHOD``.

- ``runner``: the command; ``case``: what an adapter gets and gives back, and the error rule
- ``adapters/<method>``: from a case to our numbers, one function per kind of case
- ``fixtures/<method>``: cases of up to 200 KB, made by running the official code
"""
