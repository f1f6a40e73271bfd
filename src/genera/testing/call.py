"""python -m genera.testing.call JSON: the process that `started` starts."""

import importlib
import json
import sys

if __name__ == "__main__":
    target, imports, arguments, options = json.loads(sys.argv[1])
    for name in imports:
        importlib.import_module(name)
    module, _, function = target.partition(":")
    sys.exit(getattr(importlib.import_module(module), function)(*arguments, **options))
