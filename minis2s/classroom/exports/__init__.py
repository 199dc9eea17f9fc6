"""What is built from an assignment: one file here for each reader, each a function from an Assignment to files.

A file is its text or bytes by its path. Nothing here writes to the disk; that is build.py.
"""
