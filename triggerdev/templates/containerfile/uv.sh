# Argument: the version of uv. Installs exactly what uv.lock says, then what the runtime needs beside it.
here=/run/trigger/dependencies
python -m venv /opt/venv
python -m venv /tmp/uv
/tmp/uv/bin/python -m pip install --disable-pip-version-check "uv==$1"
UV_PROJECT_ENVIRONMENT=/opt/venv UV_LINK_MODE=copy \
  /tmp/uv/bin/uv sync --project "$here" --frozen --inexact --no-dev --no-install-project --no-install-package triggerdev
/opt/venv/bin/python -m pip freeze > /tmp/constraints.txt
/opt/venv/bin/python -m pip install --no-compile --disable-pip-version-check -c /tmp/constraints.txt -r "$here/runtime.txt"
rm -rf /tmp/uv /tmp/constraints.txt
