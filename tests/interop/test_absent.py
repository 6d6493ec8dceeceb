"""Where a package is missing, neocog works without it, and says what to install."""

from __future__ import annotations

import subprocess
import sys


def test_without_scikit_learn_a_name_says_what_to_install():
    script = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import neocog as nc\nfrom neocog import *\n"
        "try:\n    nc.NeocogClassifier\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "pip install 'neocog[sklearn]'" in done.stdout, done.stderr
