# The demo's base images, for machines that reach no image registry. Sourced by x.
# Where a registry answers, nothing here is built: the demo's Compose files name the official images.

IMAGE_NAMES=(postgres redis mosquitto caddy rust debian) # each a folder in demo/images
BASE_SUITE=trixie
BASE_VERSION=2 # raise it to have every machine rebuild all images
STAMP=partywall.demo.stamp

images_ready() {
  ! registry_reachable || return 0
  local name have
  declare -A have=()
  while read -r name stamp; do have[$name]=$stamp; done < <(
    docker image ls --filter "label=$STAMP" --filter dangling=false --format '{{.Repository}}:{{.Tag}}' |
      xargs -r docker image inspect -f "{{range .RepoTags}}{{.}} {{end}}{{index .Config.Labels \"$STAMP\"}}"
  )
  [ "${have[partywall-demo/base:latest]:-}" = "$BASE_VERSION" ] || build_base
  for name in "${IMAGE_NAMES[@]}"; do
    [ "${have[partywall-demo/$name:latest]:-}" = "$(image_stamp "$name")" ] || build_image "$name"
  done
}

# Changes whenever a file of the image changes.
image_stamp() { (cd "demo/images/$1" && echo "$BASE_VERSION $(cat ./* | sha256sum | cut -c1-16)" | tr ' ' -); }

# Sets POSTGRES_IMAGE and its like for Compose, unless the caller has set them.
images_env() {
  ! registry_reachable || return 0
  local name
  for name in "${IMAGE_NAMES[@]}"; do
    local variable=${name^^}_IMAGE
    export "$variable=${!variable:-partywall-demo/$name}"
  done
}

# Asked once per machine; the answer is kept in a file.
registry_reachable() {
  local answer=${PARTYWALL_REGISTRY:-}
  [ -n "$answer" ] || answer=$(cat "$STATE/registry" 2>/dev/null) || {
    say 'looking for an image registry'
    if timeout 20 docker pull -q hello-world >/dev/null 2>&1; then answer=yes; else answer=no; fi
    echo "$answer" >"$STATE/registry"
    [ "$answer" = yes ] || say "none answers: images are built here (remembered in $STATE/registry)"
  }
  [ "$answer" = yes ]
}

build_base() {
  [ "$(id -u)" = 0 ] || die 'no image registry answers, and building the base image needs root: run ./x setup as root once'
  need_tools debootstrap:debootstrap
  local uri security root
  apt_update
  uri=$(apt_uri '')
  security=$(apt_uri -security)
  [ -n "$uri" ] || die "this machine's apt sources name no Debian mirror: cannot build the base image"
  say "building partywall-demo/base (Debian $BASE_SUITE)"
  root=$(mktemp -d "$STATE/base.XXXXXX")
  quietly debootstrap --variant=minbase --include=ca-certificates "$BASE_SUITE" "$root" "$uri"

  {
    echo "deb $uri $BASE_SUITE main"
    echo "deb $uri $BASE_SUITE-updates main"
    [ -z "$security" ] || echo "deb $security $BASE_SUITE-security main"
  } >"$root/etc/apt/sources.list"
  # A machine that must trust an extra certificate authority needs its containers to do so too.
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  quietly chroot "$root" update-ca-certificates
  # The same economies as Debian's slim images.
  echo 'path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*' >"$root/etc/dpkg/dpkg.cfg.d/slim"
  echo 'APT::Install-Recommends "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -rf /var/cache/apt/archives/*.deb || true"; };' >"$root/etc/apt/apt.conf.d/slim"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # packages start no services
  chmod +x "$root/usr/sbin/policy-rc.d"
  rm -rf "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/{cache/apt,lib/apt/lists,log}/* "$root"/etc/{hostname,resolv.conf}
  mkdir -p "$root"/var/{cache/apt/archives,lib/apt/lists}/partial

  tar -C "$root" --numeric-owner -c . 9>&- |
    docker import --change 'CMD ["bash"]' --change "LABEL $STAMP=$BASE_VERSION" - partywall-demo/base >/dev/null 9>&-
  rm -rf "$root"
}

build_image() {
  say "building partywall-demo/$1"
  quietly docker build --tag "partywall-demo/$1" --label "$STAMP=$(image_stamp "$1")" \
    --build-arg HTTP_PROXY --build-arg HTTPS_PROXY --build-arg NO_PROXY "demo/images/$1"
  quietly docker image prune -f --filter "label=$STAMP" # the one it replaces
}
