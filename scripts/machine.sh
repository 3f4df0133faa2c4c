# Makes the machine ready: command-line tools, Docker Engine, Compose. Sourced by x.
# Every function returns at once when there is nothing to do.

ENGINE=/opt/partywall-docker # where the engine goes on Debian 12, beside the system's own packages
ENGINE_LOG=/var/log/partywall-dockerd.log
ENGINE_SUITE=trixie # first Debian release with Docker 26 and Compose 2.26

machine_ready() {
  need_tools curl:curl jq:jq git:git psql:postgresql-client cc:build-essential
  command -v cargo >/dev/null || die 'cargo is missing: install Rust (see rust-version in Cargo.toml) with rustup'
  if ! engine_answers; then
    command -v dockerd >/dev/null || [ -x $ENGINE/bin/dockerd ] || install_engine
    start_engine
  fi
  compose_new_enough || install_engine
  compose_new_enough || die "docker compose is older than 2.20: $(docker compose version 2>&1 | head -n 1)"
}

need_tools() { # COMMAND:PACKAGE ...
  local pair missing=()
  for pair; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}"); done
  [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

apt_install() {
  command -v apt-get >/dev/null || die "please install: $*"
  [ "$(id -u)" = 0 ] || die "please install (or run ./x setup as root): $*"
  say "installing $*"
  apt_update
  quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

apt_updated=
apt_update() { # once per run
  [ -z "$apt_updated" ] || return 0
  quietly apt-get update
  apt_updated=1
}

quietly() { # runs a command, shows its output only when it fails
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null 9>&- || status=$?
  [ $status = 0 ] || { tail -n 25 "$log" >&2; rm -f "$log"; die "failed ($status): $*"; }
  rm -f "$log"
}

engine_answers() { timeout 20 docker info >/dev/null 2>&1; }

compose_new_enough() {
  local version major minor
  version=$(docker compose version --short 2>/dev/null) || return 1
  IFS=. read -r major minor _ <<<"${version#v}"
  [ "$major" -gt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -ge 20 ]; }
}

# The address of a Debian suite's mirror, as this machine's own apt sources have it (either format).
# apt tells only once it has fetched its lists: call apt_update first.
apt_uri() { # SUFFIX: '' or -security
  local uri
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' \
    "Codename: $(. /etc/os-release && echo "$VERSION_CODENAME")$1" | awk '!seen++')
  uri=${uri%/}
  case $uri in mirror+file:*) uri=$(awk '/^[^#]/ && !seen++ {print $1}' "${uri#mirror+file:}") ;; esac
  echo "${uri%/}"
}

install_engine() {
  local work uri
  [ "$(id -u)" = 0 ] || die 'Docker Engine 26 or later with Compose 2.20 or later is needed: install it, or run ./x setup as root on Debian 12'
  grep -qs '^ID=debian' /etc/os-release || die 'Docker Engine 26 or later with Compose 2.20 or later is needed: please install it'
  apt_update
  uri=$(apt_uri '')
  [ -n "$uri" ] || die "this machine's apt sources name no Debian mirror with the main component"

  # Taken from the next Debian release without adding that release to the machine: a private apt
  # folder downloads the packages, and they are unpacked into one folder. runc alone needs a newer
  # libc there, so it comes from the machine's own release, like iptables.
  need_tools runc:runc iptables:iptables
  say "downloading Docker Engine and Compose ($ENGINE_SUITE)"
  work=$(mktemp -d)
  mkdir -p "$work"/{lists,cache}/partial "$work/debs"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $ENGINE_SUITE main" >"$work/sources.list"
  private_apt() {
    quietly apt-get -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
      -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root \
      -o Acquire::Languages=none "$@"
  }
  private_apt update
  (cd "$work/debs" && private_apt download docker.io docker-cli docker-compose docker-buildx containerd tini)

  say "unpacking it into $ENGINE"
  local deb
  for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$work/root"; done
  mkdir -p $ENGINE/bin $ENGINE/cli-plugins /usr/local/lib/docker/cli-plugins
  install "$work"/root/usr/sbin/{dockerd,docker-proxy} "$work"/root/usr/bin/{docker,containerd,containerd-shim-runc-v2,ctr} $ENGINE/bin/
  install "$work/root/usr/bin/tini-static" $ENGINE/bin/docker-init
  install "$work"/root/usr/libexec/docker/cli-plugins/* $ENGINE/cli-plugins/
  rm -rf "$work"

  command -v docker >/dev/null || ln -s $ENGINE/bin/docker /usr/local/bin/docker
  ln -sf $ENGINE/cli-plugins/* /usr/local/lib/docker/cli-plugins/
  hash -r
}

start_engine() {
  local tries pid='' state='did not answer (docker info) within a minute'
  [ "$(id -u)" = 0 ] || die 'the Docker engine does not answer (docker info): start it, or run ./x setup as root'
  need_tools iptables:iptables
  say 'starting the Docker engine'
  if [ -d /run/systemd/system ]; then
    [ ! -x $ENGINE/bin/dockerd ] || systemctl cat docker.service >/dev/null 2>&1 || write_unit
    quietly systemctl start docker
  else
    PATH="$ENGINE/bin:$PATH" setsid nohup dockerd </dev/null >>$ENGINE_LOG 2>&1 9>&- &
    pid=$!
  fi
  for ((tries = 0; tries < 120; tries++)); do
    ! engine_answers || return 0
    [ -z "$pid" ] || kill -0 "$pid" 2>/dev/null || { state='ended at once'; break; }
    sleep 0.5
  done
  [ ! -f $ENGINE_LOG ] || tail -n 15 $ENGINE_LOG >&2
  die "the Docker engine $state; its log: $([ -n "$pid" ] && echo $ENGINE_LOG || echo 'journalctl -u docker')"
}

write_unit() {
  cat >/etc/systemd/system/docker.service <<UNIT
[Unit]
Description=Docker Engine (set up by Partywall's ./x setup)
After=network-online.target
Wants=network-online.target

[Service]
Environment=PATH=$ENGINE/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=$ENGINE/bin/dockerd
Type=notify
Delegate=yes
KillMode=process
LimitNOFILE=1048576
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
  quietly systemctl daemon-reload
}
