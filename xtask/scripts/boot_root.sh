# Boots systemd in a root, as pid 1 of namespaces of its own, on a copy-on-write view:
#   unshare --mount --pid --ipc --uts --net --fork … sh boot_root.sh ROOT PACKAGES CGROUP
# PACKAGES is a directory that is to be seen as /packages.
set -e
lower=$1 packages=$2 cgroup=$3
mount --make-rprivate /
view=$(mktemp -d)
mount -t tmpfs tmpfs "$view"
mkdir "$view/upper" "$view/work" "$view/root"
root=$view/root
mount -t overlay -o "lowerdir=$lower,upperdir=$view/upper,workdir=$view/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
mount --bind "$unified" "$root/sys/fs/cgroup"
mkdir -p "$root/packages" "$root/old"
mount --bind "$packages" "$root/packages"
echo 0 > "$root/sys/fs/cgroup/$cgroup/cgroup.procs"
ip link set lo up
hostname clean
cd "$root"
pivot_root . old
umount -l /old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --log-target=null --show-status=0
