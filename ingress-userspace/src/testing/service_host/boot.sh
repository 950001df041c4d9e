# A systemd of its own, in namespaces and on a copy of the root file system that is thrown away.
# $1 an empty directory, $2 the program, $3 what is /etc/genkan, $4 the directory of units
set -eu
mount --make-rprivate /
mount -t tmpfs genkan-test "$1"
mkdir "$1/upper" "$1/work" "$1/root" "$1/groups"

# Its processes have a group of their own: whatever it does there is gone with it.
mount -t cgroup2 cgroup2 "$1/groups"
group="$1/groups/genkan-test-$$"
mkdir "$group"
sh -c 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"' sh "$group" \
    unshare --pid --mount --uts --ipc --cgroup --fork --kill-child sh -eu -c '
    mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
    cd "$1/root"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount --bind /sys/fs/bpf sys/fs/bpf
    mount --rbind /dev dev
    mount -t tmpfs tmpfs run
    mkdir -p etc/genkan usr/bin units old
    touch usr/bin/genkan
    mount --bind "$2" usr/bin/genkan
    mount --bind "$3" etc/genkan
    mount --bind "$4" units
    mount -t tmpfs tmpfs tmp
    pivot_root . old
    cd /
    umount -l old
    # Only the units of the test: nothing here sets clocks, sysctls or devices of the machine.
    export container=genkan-test SYSTEMD_UNIT_PATH=/units
    exec /lib/systemd/systemd --system --log-target=console
' sh "$@" &
echo "started $!"
wait || true
find "$group" -depth -type d -exec rmdir {} + || true
