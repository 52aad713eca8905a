#!/bin/sh
# Installs, upgrades and removes mekiki on a box. It is run by the file that `mekiki-deploy installer` makes, and
# stays in /opt/mekiki/current/installer for the removal. Each step may be repeated; what is there already is left.
#
#   /opt/mekiki/NAME       one version, whole when it holds .whole
#   /opt/mekiki/current    a link to the version in force, switched in one step
#   /opt/mekiki/bin        a link to its commands
set -eu

OPT=/opt/mekiki ETC=/etc/mekiki STATE=/var/lib/mekiki COMMAND=/usr/local/bin/mekiki-edge
UNIT=mekiki-edge.service SYSTEM=/etc/systemd/system

say() { echo "mekiki: $*"; }
fail() { echo "mekiki: $*" >&2; exit 1; }

usage() {
  cat <<END
usage: [install] [--no-start]    installs this version, or upgrades to it, and starts it when $ETC/edge.toml is there;
                                 a version that does not become ready gives way to the one before it
       uninstall [--purge]       removes mekiki; with --purge also $ETC, $STATE and the user
END
}

main() {
  umask 022
  here=$(cd "$(dirname "$0")" && pwd)
  . "$here/about"
  action=install start=yes purge=no
  for word in "$@"; do
    case $word in
      install | uninstall) action=$word ;;
      --no-start) start=no ;;
      --purge) purge=yes ;;
      --help | -h) usage; exit 0 ;;
      *) echo "mekiki: $word: unknown" >&2; usage >&2; exit 2 ;;
    esac
  done
  [ "$purge" = no ] || [ "$action" = uninstall ] || fail "--purge goes with uninstall; nothing was done"
  [ "$(id -u)" = 0 ] || fail "root was wanted: sudo sh $0"
  "$action"
}

install() {
  refuse_what_cannot_be
  before=$(readlink "$OPT/current" || true)
  unpack
  refuse_settings
  put_units "$NAME"
  switch "$NAME"
  forget_older
  if has_systemd; then begin; else say "no systemd runs here: units are in place, nothing was started"; fi
  say "installed: $NAME in $OPT/$NAME"
  [ -e "$ETC/edge.toml" ] || say "next: write $ETC/edge.toml ($ETC/edge.toml.example is a start), put keys into $ETC/trust, then:
  mekiki-edge check --config $ETC/edge.toml && systemctl start mekiki-edge"
}

refuse_what_cannot_be() {
  [ "$(uname -sm)" = "Linux $MACHINE" ] || fail "this is for Linux on $MACHINE, here is $(uname -sm); make one for this box"
  python=$(command -v "python$PYTHON") \
    || fail "no python$PYTHON; install it from the system's own medium (Debian 12: apt-get install python3), or make an installer with the Python that is here"
  "$python" -c 'import venv, ctypes, sqlite3, ssl' 2>/dev/null || fail "$python is not whole; install python3 (Debian: libpython3-stdlib)"
  [ ! -d "$OPT/bin" ] || [ -L "$OPT/bin" ] || fail "$OPT holds an install made by hand; move it away (mv $OPT $OPT.old) and run this again"
  mkdir -p "$OPT"
  [ -e "$OPT/$NAME/.whole" ] || [ "$(df -Pk "$OPT" | awk 'NR == 2 { print $4 }')" -gt "$NEEDS_KB" ] \
    || fail "$OPT has less than $((NEEDS_KB / 1000)) MB free; free some"
}

unpack() {
  if [ -e "$OPT/$NAME/.whole" ]; then say "$NAME is there already"; return; fi
  rm -rf "${OPT:?}/$NAME"
  umask 022
  "$python" -I -m venv --without-pip "$OPT/$NAME"
  "$OPT/$NAME/bin/python" -I "$(echo "$here"/pip/pip-*.whl)/pip" --isolated --quiet --no-input --no-cache-dir \
    --disable-pip-version-check install --root-user-action ignore --no-index --no-deps --require-hashes \
    --find-links "$here/wheels" --requirement "$here/lock.txt" \
    || { rm -rf "${OPT:?}/$NAME"; fail "$NAME cannot be installed, see above; what was in force still is"; }
  mkdir "$OPT/$NAME/installer"
  cp -R "$here/systemd" "$here/install.sh" "$here/about" "$here/edge.toml" "$OPT/$NAME/installer/"
  "$OPT/$NAME/bin/mekiki-edge" --version > /dev/null || fail "$NAME does not run here; what was in force still is"
  sync "$OPT/$NAME" 2>/dev/null || sync
  : > "$OPT/$NAME/.whole"
}

refuse_settings() {
  [ -e "$ETC/edge.toml" ] || return 0
  "$OPT/$NAME/bin/mekiki-edge" check --settings-only --config "$ETC/edge.toml" > /dev/null \
    || fail "$NAME does not take $ETC/edge.toml, see above; what was in force still is"
}

# Of one version: whichever is in force brings its own.
put_units() {
  units=$OPT/$1/installer/systemd
  mkdir -p "$SYSTEM/$UNIT.d" /etc/sysusers.d /etc/tmpfiles.d
  cp "$units/$UNIT" "$SYSTEM/$UNIT"
  cp "$units/mekiki.sysusers" /etc/sysusers.d/mekiki.conf
  cp "$units/mekiki.tmpfiles" /etc/tmpfiles.d/mekiki.conf
  [ "$(systemctl --version 2>/dev/null | awk 'NR == 1 { print $2 + 0 }')" -lt 254 ] 2>/dev/null \
    || cp "$units/restart-steps.conf" "$SYSTEM/$UNIT.d/restart-steps.conf"
  systemd-sysusers /etc/sysusers.d/mekiki.conf
  systemd-tmpfiles --create /etc/tmpfiles.d/mekiki.conf
  cp "$OPT/$1/installer/edge.toml" "$ETC/edge.toml.example"
}

switch() {
  ln -sfn "$1" "$OPT/.next" && mv -T "$OPT/.next" "$OPT/current"
  ln -sfn current/bin "$OPT/.bin" && mv -T "$OPT/.bin" "$OPT/bin"
  mkdir -p "$(dirname "$COMMAND")" && ln -sfn "$OPT/bin/mekiki-edge" "$COMMAND"
}

# This one and the one before it stay; what is no version of ours is not touched.
forget_older() {
  [ "$before" != "$NAME" ] || return 0  # run again: the one before it is not known here
  for folder in "$OPT"/*/; do
    name=$(basename "$folder")
    case $name in current | bin | "$NAME" | "$before") continue ;; esac
    [ ! -e "$folder/installer/install.sh" ] || { rm -rf "$folder"; say "removed the older $name"; }
  done
}

has_systemd() { [ -d /run/systemd/system ]; }

begin() {
  systemctl daemon-reload
  systemctl --quiet enable "$UNIT"
  state=$(systemctl is-active "$UNIT" || true)
  if [ "$start" = no ] || [ ! -e "$ETC/edge.toml" ]; then say "not started; it starts at the next boot"; return; fi
  if [ -n "$before" ] && [ "$state" = inactive ]; then say "was stopped, and stays so: systemctl start mekiki-edge"; return; fi
  if [ "$before" = "$NAME" ] && [ "$state" = active ]; then say "runs already"; return; fi
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  if systemctl restart "$UNIT"; then say "started, and ready"; return; fi
  journalctl --no-pager --quiet --unit "$UNIT" --lines 5 --output cat >&2 || true
  [ -n "$before" ] && [ "$before" != "$NAME" ] || fail "$NAME is installed and does not become ready, see above (journalctl -u mekiki-edge)"
  go_back
}

go_back() {
  put_units "$before"
  switch "$before"
  systemctl daemon-reload
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  systemctl restart "$UNIT" || fail "$NAME does not become ready, and neither does $before, which is in force again; see journalctl -u mekiki-edge"
  fail "$NAME did not become ready, see above; $before is in force again, and ready"
}

uninstall() {
  if has_systemd; then systemctl --quiet disable --now "$UNIT" 2>/dev/null || true; fi
  rm -f "$SYSTEM/$UNIT" "$SYSTEM/$UNIT.d/restart-steps.conf" /etc/sysusers.d/mekiki.conf /etc/tmpfiles.d/mekiki.conf
  rmdir "$SYSTEM/$UNIT.d" 2>/dev/null || true
  [ ! -L "$COMMAND" ] || rm -f "$COMMAND"
  rm -rf "$OPT"
  if has_systemd; then systemctl daemon-reload; systemctl reset-failed "$UNIT" 2>/dev/null || true; fi
  say "removed: $OPT, $SYSTEM/$UNIT, $COMMAND"
  if [ "$purge" = no ]; then say "left: $ETC, $STATE and the user mekiki (uninstall --purge takes them too)"; return; fi
  rm -rf "$ETC" "$STATE"
  userdel mekiki 2>/dev/null || true
  groupdel mekiki 2>/dev/null || true
  say "removed: $ETC, $STATE, the user mekiki"
}

main "$@"
exit
