# Arguments: commands. Copies the layer's files without touching folders that exist, then runs the commands in /app.
if [ -d /run/trigger/layer ]; then
  cd /run/trigger/layer
  find . -type f -exec sh -euc 'for f; do t="/${f#./}"; mkdir -p "$(dirname "$t")"; cp -p "$f" "$t"; done' sh {} +
fi
cd /app
for command; do
  /bin/sh -euxc "$command"
done
