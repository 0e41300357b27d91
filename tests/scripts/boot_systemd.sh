# Boots systemd with our units, as pid 1 of a pid namespace, on a copy-on-write view of this machine:
#   unshare --mount --pid --fork … sh boot_systemd.sh HOME CGROUP DAEMON
# HOME has the units in units/; the daemon's files go to private/, and its output to log/.
set -e
home=$1 cgroup=$2 daemon=$3
mount -t tmpfs tmpfs "$home/view"
mkdir "$home/view/upper" "$home/view/work" "$home/view/root"
root=$home/view/root
mount -t overlay -o "lowerdir=/,upperdir=$home/view/upper,workdir=$home/view/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
mount --bind "$unified" "$root/sys/fs/cgroup"
cp -r "$home/units" "$root/units"
cp "$daemon" "$root/usr/local/bin/packet-headers"
rm -f "$root/etc/default/packet-headers"
cp "$home/upload" "$root/etc/default/packet-headers-upload"
mkdir -p "$root/run/log" "$root/var/lib/private"
mount --bind "$home/log" "$root/run/log"
mount --bind "$home/private" "$root/var/lib/private"
echo $$ > "$root/sys/fs/cgroup/$cgroup/cgroup.procs"
cd "$root"
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=test SYSTEMD_UNIT_PATH=/units PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --log-target=console --show-status=0
