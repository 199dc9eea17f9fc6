"""What runs inside the box, before and around a student's code. Nothing here imports the rest of minis2s.

The folder is linked into the box under the name `inside`, so its files import each other relatively and, beside
that, only NumPy and the standard library. `protocol` and the layers are used by the parent as well.
"""
