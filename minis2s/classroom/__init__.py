"""The classroom: assignments, what is built from them, and the grading of what students hand in.

One source holds an assignment (source.py); build.py makes every file from it that is handed out; the checks
of a source (checks.py) are run by graders against a student's functions.
"""
