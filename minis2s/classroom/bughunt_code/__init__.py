"""The code that bug hunts plant their bugs into: one file for each task, with nothing but NumPy.

They are the engine's own functions (minis2s/functional) as a textbook prints them: without the branches for a
GPU and for ids, and with a plain tuple for a cache. Backward has the engine's lines, so that the catalogue of
planted bugs fits. Words of a comment that stand for variables are in backticks, or in a line with an equation.
"""
