#!/usr/bin/env bash
# Print the newest Python of 3.13, 3.12 and 3.11 on this machine that starts and can make an environment. (Debian and Ubuntu keep
# what makes environments in a package of its own, and version managers put names in the path that do not start.)
for python in python3.13 python3.12 python3.11 python3; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        echo "$python"
        exit
    fi
done
cat >&2 <<'END'
miad needs Python 3.11, 3.12 or 3.13 with its modules venv and ensurepip, and none was found in the path. Install one, e.g.
  apt install python3 python3-venv     (Debian 12 or later, Ubuntu 24.04 or later)
  brew install python@3.13             (macOS)
or name one that lies elsewhere: make run PYTHON=/path/to/python3.12
END
exit 1
