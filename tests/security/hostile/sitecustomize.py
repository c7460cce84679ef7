"""Plants code that every later Python would run at its start."""

import os
import site
import sys

from attempt import create, end, refused

for folder in {
    p for p in sys.path if p.startswith(sys.prefix) or p.startswith(sys.base_prefix) or p.startswith("/usr")
}:
    for name in ("sitecustomize.py", "usercustomize.py", "evil.pth"):
        refused(folder, create, os.path.join(folder, name))
# These places are the run's own: writing succeeds, and the next run must not see it.
os.makedirs(site.getusersitepackages(), exist_ok=True)
open(os.path.join(site.getusersitepackages(), "usercustomize.py"), "w").write("print('ESCAPED')")
open("/tmp/sitecustomize.py", "w").write("print('ESCAPED')")
open("/dev/shm/planted", "w").write("ESCAPED")
end()
