# Runs a command in a root as a user without privileges and without a network: ROOT TOOLCHAIN COMMAND. It is started
# in a mount namespace, with which the mounts go. What the command took is in the root's /home/builder/took.
set -eu
mount --bind "$2" "$1/opt/rust"
mount --options remount,bind,ro "$1/opt/rust"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot --userspec=1000:1000 "$1" /usr/bin/env -i HOME=/home/builder CARGO_HOME=/home/builder/cargo \
    CARGO_NET_OFFLINE=true PATH=/opt/rust/bin:/usr/bin:/bin LC_ALL=C.UTF-8 TIMEFORMAT='%R %U %S' \
    bash -euc "cd /home/builder/checkout; { time { $3; } 2>&3; } 3>&2 2>/home/builder/took"
