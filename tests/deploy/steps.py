"""Writes the scripts of workflows' steps into files, for shellcheck: steps.py OUTPUT WORKFLOW…"""

import shutil
import sys
from pathlib import Path

import yaml

output = Path(sys.argv[1])
shutil.rmtree(output, ignore_errors=True)
output.mkdir(parents=True)
for workflow in map(Path, sys.argv[2:]):
    for name, job in yaml.safe_load(workflow.read_text())["jobs"].items():
        for number, step in enumerate(job["steps"]):
            if "run" in step:
                # As GitHub runs a step.
                script = "#!/usr/bin/env -S bash -e\n" + step["run"]
                (output / f"{workflow.stem}-{name}-{number}.sh").write_text(script)
