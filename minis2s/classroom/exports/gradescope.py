"""The zip that Gradescope takes as an autograder: two scripts, the assignment's source, and minis2s itself.

Gradescope runs setup.sh once, when the image is made, and run_autograder for each submission. The same
inputs make the same bytes.

Source: Gradescope's documentation, "Autograder specifications": /autograder/submission, /autograder/results/results.json.
"""

import io
import zipfile
from pathlib import Path

import minis2s
from minis2s.classroom.source import Assignment

SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once. Choose Ubuntu 24.04 or newer as the base image: Python 3.11 is needed.
set -e
apt-get update
apt-get install -y python3 python3-venv bubblewrap
python3 -c 'import sys; sys.exit("minis2s needs Python 3.11: choose a newer base image") if sys.version_info < (3, 11) else 0'
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install "numpy>=2.0" "tqdm>=4.60"
"""

RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for each submission; it grades it in the box and leaves results.json.
root=${{AUTOGRADER:-/autograder}}
python=${{PYTHON:-$root/venv/bin/python}}
export PYTHONPATH=$root/source OPENBLAS_NUM_THREADS=1
work=$(mktemp -d)
mkdir "$work/handed_in" "$root/results" 2>/dev/null
cp -r "$root/submission" "$work/handed_in/student"
"$python" -m minis2s class grade "$work/handed_in" --assignment "$root/source/{name}.py" --out "$work/graded" >"$work/log" 2>&1
result=$(ls "$work"/graded/gradescope/*.json 2>/dev/null | head -n 1)
if [ -z "$result" ]; then
    tail -n 3 "$work/log" >&2 # for the teacher alone
    result=$work/none.json
    echo '{{"score": 0, "output": "The grader could not grade this submission. Please tell your teacher."}}' >"$result"
fi
cp "$result" "$root/results/results.json.part" && mv "$root/results/results.json.part" "$root/results/results.json"
rm -rf "$work"
"""


def gradescope_zip(assignment: Assignment) -> bytes:
    files = {
        "setup.sh": SETUP.encode(),
        "run_autograder": RUN.format(name=assignment.name).encode(),
        f"{assignment.name}.py": assignment.text.encode(),
    }
    package = Path(minis2s.__file__).parent
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        if path.is_file() and "__pycache__" not in inside.parts and inside.parts[0] != "lesson_sources":
            files[f"minis2s/{inside.as_posix()}"] = path.read_bytes()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix: the rights below count
            script = name in ("setup.sh", "run_autograder")
            entry.external_attr = (0o100755 if script else 0o100644) << 16
            archive.writestr(entry, data)
    return made.getvalue()
