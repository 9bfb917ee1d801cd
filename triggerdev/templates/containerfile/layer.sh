# Arguments: commands. Copies the layer's files without touching folders that exist, then runs the commands in /app.
# They are shown as they are written: a trace (set -x) would show the values of secrets.
if [ -d /run/trigger/layer ]; then
  cd /run/trigger/layer
  find . -type f -exec sh -euc 'for f; do t="/${f#./}"; mkdir -p "$(dirname "$t")"; cp -p "$f" "$t"; done' sh {} +
fi
cd /app
for command; do
  printf '+ %s\n' "$command"
  /bin/sh -euc "$command"
done
