# Arguments: packages. Downloads stay in the cache mounts, so the layer holds what was installed and no more.
export DEBIAN_FRONTEND=noninteractive
mkdir -p /var/cache/trigger-apt/partial
apt-get update
apt-get install -y --no-install-recommends --allow-downgrades -o Dir::Cache::archives=/var/cache/trigger-apt -- "$@"
rm -rf /var/cache/apt/pkgcache.bin /var/cache/apt/srcpkgcache.bin /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache
