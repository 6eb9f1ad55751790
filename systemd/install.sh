#!/bin/sh
# Installs ghostroll as a service of the system, or takes it away: `sudo make install`, `sudo make uninstall`.
#
# What is built is built beside what runs, in a folder of its own below /opt/ghostroll.versions; /opt/ghostroll is
# a link to the one in force and is exchanged in one step. So an install that fails at any point before that leaves
# the running version as it was. Everything that is fetched is locked by hash: requirements/*.lock.
set -eu
umask 022

readonly APP=/opt/ghostroll
readonly VERSIONS=/opt/ghostroll.versions
readonly COMMAND=/usr/local/bin/ghostroll
readonly CONFIG=/etc/ghostroll/config.toml
readonly DOC=/usr/share/doc/ghostroll
readonly UNITS=/usr/lib/systemd/system
readonly STATE=/var/lib/ghostroll
readonly CARDS=/run/ghostroll/cards
readonly NAME=ghostroll

TREE=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-/usr/bin/python3}
BUILD=     # where the package is built; gone at the end
WANTED=    # whether the service is to run
NEW=       # the version that is not in force yet; gone at the end if it never is

say() { printf '%s\n' "$*"; }
fail() { printf 'ghostroll: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_booted() { [ -d /run/systemd/system ]; }
is_link_to() { [ -L "$1" ] && [ "$(readlink "$1")" = "$2" ]; }

# Where each file of the tree goes, and `?` in front of what need not be in the tree.
list_files() {
  cat <<FILES
systemd/ghostroll.sysusers      /usr/lib/sysusers.d/ghostroll.conf
systemd/ghostroll.tmpfiles      /usr/lib/tmpfiles.d/ghostroll.conf
systemd/ghostroll.service       $UNITS/ghostroll.service
systemd/ghostroll-card@.service $UNITS/ghostroll-card@.service
systemd/ghostroll-user.service  /usr/lib/systemd/user/ghostroll.service
udev/90-ghostroll.rules         /usr/lib/udev/rules.d/90-ghostroll.rules
?systemd/ghostroll.rules        /usr/share/polkit-1/rules.d/50-ghostroll.rules
config.example.toml             $DOC/config.example.toml
systemd/config.toml             $DOC/config.toml
?docs/s3.md                     $DOC/s3.md
?docs/s3-policy.json            $DOC/s3-policy.json
?docs/s3-lifecycle.json         $DOC/s3-lifecycle.json
LICENSE                         $DOC/LICENSE
FILES
}

clean_up() {
  [ -z "$BUILD" ] || rm -rf "$BUILD"
  [ -z "$NEW" ] || rm -rf "$NEW"
}

check_place() {
  [ "$(id -u)" -eq 0 ] || fail "this changes the system and needs root: sudo make $1"
  # One at a time: the lock is the folder itself, and ends with this script.
  mkdir -p /opt
  exec 9</opt
  flock -n 9 || fail "another install or uninstall is at work: try again when it has ended"
  [ ! -e "$APP" ] || [ -L "$APP" ] || fail "$APP is not a link, so it was not made by this installer: move it away and try again"
}

check_python() {
  [ -x "$PYTHON" ] || fail "there is no $PYTHON: sudo apt install python3 python3-venv"
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$PYTHON is older than 3.11: sudo make install PYTHON=/usr/bin/python3.11, or a later one"
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null \
    || fail "$PYTHON has no venv module: sudo apt install python3-venv"
  for tool in systemd-sysusers systemd-tmpfiles systemctl udevadm setpriv; do
    have "$tool" || fail "there is no $tool, and the service is built on systemd: use \`make setup\` and .venv/bin/ghostroll"
  done
}

# pip of the throw-away environment, for any other.
run_pip() {
  # Not in /tmp, which may be memory, and little of it.
  TMPDIR=$BUILD PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 \
    "$BUILD/env/bin/python" -m pip --quiet "$@"
}

fetch() {
  run_pip --python "$1/bin/python" install --no-compile --require-hashes --only-binary :all: -r "$TREE/requirements/$2" \
    || fail "the packages of requirements/$2 could not be fetched (pip says why above): they need the network, 1 GB of free space and a 64-bit system"
}

build_version() {
  mkdir -p "$VERSIONS"
  remove_old_versions  # left behind by an install that was killed; nobody else builds: the lock is ours
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$TREE/pyproject.toml")
  NEW=$(mktemp -d "$VERSIONS/$version-XXXXXX")
  chmod 755 "$NEW"
  BUILD=$(mktemp -d "$VERSIONS/build-XXXXXX")
  say "building ghostroll $version with $("$PYTHON" --version) ..."
  "$PYTHON" -m venv "$BUILD/env" || fail "no environment could be made in $BUILD (see above): is there space?"
  "$PYTHON" -m venv --without-pip "$NEW" || fail "no environment could be made in $NEW (see above): is there space?"
  fetch "$BUILD/env" build.lock
  fetch "$NEW" runtime.lock
  run_pip wheel --no-index --no-deps --no-build-isolation --check-build-dependencies --wheel-dir "$BUILD/wheel" "$TREE" \
    || fail "the package could not be built (pip says why above): is the source tree whole? \`git status\` tells"
  run_pip --python "$NEW/bin/python" install --no-compile --no-index --no-deps "$BUILD"/wheel/*.whl \
    || fail "the package could not be installed in $NEW (pip says why above)"
  # On every core, unlike pip. Files that are there for other versions of Python can't be compiled, and need not be.
  "$NEW/bin/python" -m compileall -q -j 0 "$NEW/lib" >/dev/null 2>&1 || :
}

# As the user who will run it: a Python in somebody's home would be out of its reach.
try_version() {
  as_user "$NEW/bin/ghostroll" --version >/dev/null \
    || fail "user $NAME can't run what was built with $PYTHON: sudo make install PYTHON=/usr/bin/python3"
  [ ! -e "$CONFIG" ] || as_user "$NEW/bin/ghostroll" config check --config "$CONFIG" >/dev/null \
    || fail "this version does not understand $CONFIG (see above): mend it and try again"
}

as_user() { setpriv --reuid "$NAME" --regid "$NAME" --init-groups --reset-env "$@"; }

install_files() {
  default_before=$(mktemp)
  cat "$DOC/config.toml" >"$default_before" 2>/dev/null || :
  list_files | while read -r from to; do
    case $from in
      \?*) from=${from#\?}; [ -e "$TREE/$from" ] || continue ;;
    esac
    install -D -m 644 "$TREE/$from" "$to" || exit 1
  done || fail "not every file could be written (see above): is there space?"
  if [ ! -e "$CONFIG" ] || cmp -s "$CONFIG" "$default_before"; then
    install -D -m 644 "$TREE/systemd/config.toml" "$CONFIG"
  elif ! cmp -s "$CONFIG" "$DOC/config.toml"; then
    say "kept $CONFIG: it was edited. The default is $DOC/config.toml"
  fi
  rm -f "$default_before"
}

put_in_force() {
  ln -s "$NEW" "$VERSIONS/.link"
  mv -T "$VERSIONS/.link" "$APP"
  NEW=
  if [ ! -e "$COMMAND" ] || [ -L "$COMMAND" ]; then
    mkdir -p "$(dirname "$COMMAND")"
    ln -sfn "$APP/bin/ghostroll" "$COMMAND"
  else
    say "left $COMMAND as it is: it was not made by this installer. The command is $APP/bin/ghostroll"
  fi
}

remove_old_versions() {
  for one in "$VERSIONS"/*; do
    is_link_to "$APP" "$one" || rm -rf "$one"
  done
}

add_to_group() {
  person=${SUDO_USER:-root}
  if [ "$person" = root ]; then
    say "let people use the daemon and read its library: sudo usermod --append --groups $NAME THEIR-NAME"
  elif ! id -nG "$person" | tr ' ' '\n' | grep -qx "$NAME"; then
    usermod --append --groups "$NAME" "$person"
    say "added $person to group $NAME: log out and in again, so that \`ghostroll status\` and the library work for you"
  fi
}

# Only what can be a card is looked at anew: what leaves its reader, built-in slots, and readers made known by a rule.
look_at_cards() {
  udevadm control --reload
  udevadm trigger --action=change --subsystem-match=block --attr-match=removable=1
  udevadm trigger --action=change --subsystem-match=block --sysname-match='mmcblk[0-9]'
  udevadm trigger --action=change --subsystem-match=block --property-match=GHOSTROLL_CARD=1
}

# Whoever has switched the service off wants the command alone, or runs it as a user's own: an update respects that.
enable_service() {
  wish=$(systemctl is-enabled "$NAME.service" 2>/dev/null || :)
  if [ -L "$APP" ] && [ "${wish:-none}" != enabled ] && [ "${wish:-none}" != none ]; then
    say "the service stays switched off: sudo systemctl enable --now $NAME"
  else
    systemctl enable --quiet "$NAME.service"
    WANTED=yes
  fi
}

start_service() {
  if ! is_booted; then
    say "systemd is not running here, so nothing was started: the next boot starts the service and sees cards"
    return
  fi
  systemctl daemon-reload
  systemctl reset-failed "$NAME.service" 2>/dev/null || :
  [ -n "$WANTED" ] && how=restart || how=try-restart
  # Before the cards are looked at, so that the daemon hears of them.
  systemctl "$how" "$NAME.service" \
    || fail "ghostroll is installed, but its service did not start: journalctl -u $NAME -n 30"
  look_at_cards
}

run_doctor() {
  if ! is_booted; then return 0; fi
  code=0
  as_user "$APP/bin/ghostroll" doctor || code=$?
  case $code in
    0|3) ;;
    *) fail "\`ghostroll doctor\` ended with $code: run it again, it says what is wrong" ;;
  esac
}

install_all() {
  check_place install
  check_python
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  build_version
  # The user first: what was built is tried as that user, before anything else is touched.
  install -D -m 644 "$TREE/systemd/ghostroll.sysusers" /usr/lib/sysusers.d/ghostroll.conf
  systemd-sysusers ghostroll.conf
  try_version
  install_files
  systemd-tmpfiles --create ghostroll.conf
  # Before the new version is in force: from then on a service that is switched off is somebody's wish.
  enable_service
  put_in_force
  add_to_group
  start_service
  remove_old_versions
  say "ghostroll is installed: put a card in, and \`journalctl -fu $NAME\` tells the story"
  run_doctor
}

let_go_of_cards() {
  [ -d "$CARDS" ] || return 0
  for one in "$CARDS"/*; do
    [ -d "$one" ] || continue
    umount -l "$one" 2>/dev/null || :
    rmdir "$one" || :
  done
  rmdir "$CARDS" 2>/dev/null || :
}

remove_files() {
  if [ -e "$CONFIG" ] && cmp -s "$CONFIG" "$DOC/config.toml"; then
    rm "$CONFIG"
    rmdir "$(dirname "$CONFIG")" 2>/dev/null || :
  fi
  list_files | while read -r _ to; do rm -f "$to"; done
  rmdir "$DOC" 2>/dev/null || :
  if is_link_to "$COMMAND" "$APP/bin/ghostroll"; then rm "$COMMAND"; fi
  rm -f "$APP"
  rm -rf "$VERSIONS"
}

say_what_is_kept() {
  say "ghostroll is uninstalled. Kept, where it is there:"
  [ ! -e "$STATE" ] || say "  $STATE: photos and records, if the configuration has them there"
  [ ! -e "$CONFIG" ] || say "  $CONFIG: it was edited"
  for one in /etc/systemd/system/ghostroll*.d; do
    [ ! -e "$one" ] || say "  $one: made by \`systemctl edit\`"
  done
  ! getent passwd "$NAME" >/dev/null || say "  user and group $NAME, whom the photos belong to"
  say "To remove that too, photos included: sudo rm -r $STATE /etc/ghostroll; sudo userdel $NAME"
}

uninstall_all() {
  check_place uninstall
  if is_booted; then
    systemctl disable --quiet --now "$NAME.service" 2>/dev/null || :
    systemctl stop 'ghostroll-card@*.service' 2>/dev/null || :
  else
    systemctl disable --quiet "$NAME.service" 2>/dev/null || :
  fi
  # The rule goes before the cards are let go of, so that no event mounts one again.
  rm -f /usr/lib/udev/rules.d/90-ghostroll.rules
  if is_booted; then udevadm control --reload; fi
  let_go_of_cards
  remove_files
  if is_booted; then
    systemctl daemon-reload
    systemctl reset-failed 'ghostroll*' 2>/dev/null || :
  fi
  say_what_is_kept
}

case ${1:-} in
  install) install_all ;;
  uninstall) uninstall_all ;;
  *) fail "usage: systemd/install.sh install, or systemd/install.sh uninstall" ;;
esac
