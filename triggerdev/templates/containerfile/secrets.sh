# Arguments: names of secrets, "--", a command. Runs the command with the secrets, which are files, as variables.
while [ "$1" != -- ]; do
  value=$(cat "/run/secrets/$1" && printf x)
  export "$1=${value%x}"
  shift
done
shift
unset value
exec "$@"
