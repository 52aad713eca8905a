#!/bin/sh
# mekiki @NAME@ for an industrial PC without a network: Linux on @MACHINE@ with Python @PYTHON@. What follows these lines is a tar file.
#
#   sh mekiki.run              installs, or upgrades what is there
#   sh mekiki.run uninstall    removes it, and leaves settings, models, verdicts and evidence; --purge takes these too
#   sh mekiki.run --help       says all of it
set -eu
fail() { echo "mekiki: $*" >&2; exit 1; }
[ "$(tail -c +@OFFSET@ "$0" | sha256sum | cut -d ' ' -f 1)" = @SHA256@ ] \
  || fail "$0 is damaged or was cut short; copy it again, and compare its sha256sum with what mekiki-deploy said"
unpacked=$(mktemp -d "${TMPDIR:-/var/tmp}/mekiki.XXXXXX")
trap 'rm -rf "$unpacked"' EXIT
trap 'exit 1' HUP INT TERM
tail -c +@OFFSET@ "$0" | tar -x -C "$unpacked" -f - || fail "no room in ${TMPDIR:-/var/tmp}; free @UNPACKED_MB@ MB, or set TMPDIR"
sh "$unpacked/install.sh" "$@"
exit
