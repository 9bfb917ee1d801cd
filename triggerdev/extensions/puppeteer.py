"""`puppeteer`: Chrome for Puppeteer and its relatives."""

from typing import Literal

from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer
from triggerdev.build.options import Options
from triggerdev.extensions import support

_CHROME = "/usr/bin/google-chrome-stable"
_KEY = "EB4C1BFD4F042F6DDDCCEC917721F63BD38B4796"
"""The fingerprint of the key that signs Google's Linux packages, as google.com/linuxrepositories has it."""
_KEYRING = "/usr/share/keyrings/google-chrome.gpg"
_TOOLS = ["ca-certificates", "curl", "gnupg"]

# The key that comes with the fingerprint is all that the repository is trusted by, and only that repository.
_FROM_GOOGLE = f"""\
export DEBIAN_FRONTEND=noninteractive GNUPGHOME=/tmp/gnupg
mkdir -m 700 "$GNUPGHOME"
curl -fsSL --retry 3 -o /tmp/google.pub https://dl.google.com/linux/linux_signing_key.pub
gpg --batch --import /tmp/google.pub
gpg --batch --output {_KEYRING} --export {_KEY}
test -s {_KEYRING}
echo 'deb [arch=amd64 signed-by={_KEYRING}] https://dl.google.com/linux/chrome/deb/ stable main' \
> /etc/apt/sources.list.d/google-chrome.list
apt-get update
apt-get install -y --no-install-recommends google-chrome-stable"""
_FROM_DEBIAN = f"""\
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends chromium
ln -sf /usr/bin/chromium {_CHROME}"""
_INSTALL = f"""\
if [ "$(dpkg --print-architecture)" = amd64 ]; then
{_FROM_GOOGLE}
else
{_FROM_DEBIAN}
fi
rm -rf /tmp/gnupg /tmp/google.pub /var/lib/apt/lists/*"""


class PuppeteerOptions(Options):
    """`channel`: "debian" for Debian's chromium; without it Google's Chrome, which exists for amd64 only."""

    channel: Literal["debian"] | None = None


class Puppeteer(BuildExtension):
    """Install a browser, and say in PUPPETEER_EXECUTABLE_PATH where it is."""

    name = "puppeteer"
    Options = PuppeteerOptions
    options: PuppeteerOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the browser."""
        if context.target != "deploy":
            return
        is_debian = self.options.channel == "debian"
        path = "/usr/bin/chromium" if is_debian else _CHROME
        env = {"PUPPETEER_EXECUTABLE_PATH": path, "PUPPETEER_SKIP_DOWNLOAD": "true"}
        packages = ["chromium", "fonts-liberation"] if is_debian else [*_TOOLS, "fonts-liberation"]
        context.add_layer(
            BuildLayer(
                id=self.name,
                placement="base",
                commands=[f"{path} --version"] if is_debian else [_INSTALL, f"{path} --version"],
                image=support.image(packages, env),
                deploy=support.deploy(env),
            )
        )
