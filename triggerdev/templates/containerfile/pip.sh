# Installs the project's requirements, then what the runtime needs and the project did not bring.
here=/run/trigger/dependencies
python -m venv /opt/venv
if [ -f "$here/requirements.txt" ]; then
  cd "$here"
  /opt/venv/bin/python -m pip install --no-compile --disable-pip-version-check -r requirements.txt
fi
/opt/venv/bin/python -m pip freeze > /tmp/constraints.txt
/opt/venv/bin/python -m pip install --no-compile --disable-pip-version-check -c /tmp/constraints.txt -r "$here/runtime.txt"
rm -f /tmp/constraints.txt
