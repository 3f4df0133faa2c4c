# Control groups of version 2 and systemd, on a real kernel: in a small virtual machine where this machine has
# neither. Sourced by x.

KERNEL=$STATE/kernel

kernel_tests() {
  local test
  test=$(cargo test -q -p pw-host --test real --no-run --message-format json | jq -r 'select(.target.name == "real").executable // empty')
  if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] && [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ]; then
    "$test" --ignored systemd_
    return
  fi
  if [ "$(uname -m)" != x86_64 ] || ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    say 'no virtual machine can be had here: skipped'
    return
  fi
  need_tools qemu-system-x86_64:qemu-system-x86 cpio:cpio
  kernel_ready
  machine_units
  machine_image "$test"
  boot_machine
}

# A kernel and a root folder with systemd, made once.
kernel_ready() {
  [ ! -f "$KERNEL/ready" ] || return 0
  local package container
  rm -rf "$KERNEL"
  mkdir -p "$KERNEL/root" "$KERNEL/packages"
  say 'preparing the virtual machine'
  apt_update
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image/ { print $2 }')
  (cd "$KERNEL/packages" && quietly apt-get -o APT::Sandbox::User=root download "$package")
  dpkg -x "$KERNEL"/packages/linux-image-*.deb "$KERNEL/packages/unpacked"
  cp "$KERNEL"/packages/unpacked/boot/vmlinuz-* "$KERNEL/vmlinuz"
  rm -rf "$KERNEL/packages/"*
  cat >"$KERNEL/packages/Dockerfile" <<DOCKERFILE
FROM ${DEBIAN_IMAGE:-debian:trixie-slim}
RUN apt-get update && apt-get install -y --no-install-recommends systemd systemd-sysv dbus && rm -rf /var/lib/apt/lists/*
DOCKERFILE
  quietly docker build -t partywall-demo/machine "$KERNEL/packages"
  container=$(docker create partywall-demo/machine)
  docker export "$container" | tar -x -C "$KERNEL/root"
  quietly docker rm "$container"
  touch "$KERNEL/ready"
}

# One unit that runs the tests and switches the machine off; nothing else may write to the console.
machine_units() {
  local units=$KERNEL/root/etc/systemd/system unit
  for unit in console-getty.service getty.target systemd-logind.service serial-getty@ttyS0.service; do ln -sf /dev/null "$units/$unit"; done
  mkdir -p "$units/multi-user.target.wants"
  cat >"$units/kernel-tests.service" <<'UNIT'
[Unit]
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/kernel-tests.sh
UNIT
  ln -sf ../kernel-tests.service "$units/multi-user.target.wants/kernel-tests.service"
  cat >"$KERNEL/root/kernel-tests.sh" <<'SCRIPT'
#!/bin/sh
# What needs a Docker engine is tested outside.
/real groups:: squeeze::systemd_ --include-ignored --skip a_group_holds_its_containers --test-threads 1 >/report 2>&1
code=$?
{ echo; cat /report; echo "the tests ended with $code"; } >/dev/ttyS0
sleep 1
systemctl poweroff -ff
SCRIPT
  chmod +x "$KERNEL/root/kernel-tests.sh"
  ln -sf /lib/systemd/systemd "$KERNEL/root/init"
}

machine_image() { # TEST
  cp "$1" "$KERNEL/root/real"
  (cd "$KERNEL/root" && find . -xdev | cpio -o -H newc --quiet | gzip -1 >"$KERNEL/disk.gz")
}

boot_machine() {
  # Emulated where there is no hardware for it: half a minute then.
  timeout 600 qemu-system-x86_64 -m 1024 -smp 2 -nographic -no-reboot -nic none -kernel "$KERNEL/vmlinuz" \
    -initrd "$KERNEL/disk.gz" -append 'console=ttyS0 quiet panic=1 systemd.show_status=false' \
    </dev/null 2>&1 | tr -d '\r' >"$KERNEL/console" || true
  sed -n '/^running /,/^the tests ended/p' "$KERNEL/console" >&2
  if ! grep -q '^the tests ended with 0' "$KERNEL/console"; then
    tail -n 25 "$KERNEL/console" >&2
    return 1
  fi
}
