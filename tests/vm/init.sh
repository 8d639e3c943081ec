#!/bin/busybox sh
# Process 1 of the virtual machine. Its own words and the kernel's go to the first serial port, what the scenarios
# report to the second.
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/bin HOME=/ OBSERVER_BIN=/usr/bin/observer RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
stty -F /dev/ttyS1 raw
# In the order in which they need each other.
for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "cannot load $module"
done
ip link set lo up
vm-scenarios >/dev/ttyS1
# What is still in the port's buffer would be lost.
sleep 1
poweroff -f
