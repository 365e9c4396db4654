"""`python -m deploy.stack`: fetch what all stacks of this machine share, before anything waits for it."""

import sys
from pathlib import Path

from deploy.stack.errors import StackError
from deploy.stack.install import ensure_kafka, ensure_postgres
from deploy.stack.spec import StackSpec

if __name__ == "__main__":
    try:
        spec = StackSpec.default(Path.cwd())
        ensure_kafka(spec)
        ensure_postgres(spec)
    except StackError as error:
        sys.exit(f"meterline: {error}")
