#!/bin/sh
# Makes a disk with a small Debian on it, from packages: build.sh PACKAGES MODULES INTO.
# Nothing of the packages is run on this machine but ldconfig, depmod and pwconv, inside the tree.
set -eu
packages=$1 modules=$2 into=$3
tree=$into/tree
mkdir -p "$tree/var/lib/dpkg/info" "$tree/var/lib/dpkg/updates"
for folder in bin sbin lib lib64; do
  mkdir -p "$tree/usr/$folder"
  ln -s "usr/$folder" "$tree/$folder"
done
for package in "$packages"/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$tree" \
    --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/info \
    --exclude=./usr/share/locale --exclude=./usr/share/zoneinfo --exclude=./usr/share/perl \
    --exclude=./usr/lib/x86_64-linux-gnu/perl --exclude=./usr/lib/udev/hwdb.d
  { dpkg-deb -f "$package"; echo 'Status: install ok installed'; echo; } \
    >>"$tree/var/lib/dpkg/status"
done

# What the packages' own scripts would have made.
[ -e "$tree/usr/bin/sh" ] || ln -s dash "$tree/usr/bin/sh"
mkdir -p "$tree/usr/local/sbin" "$tree/var/tmp" "$tree/var/log/journal" "$tree/mnt"
rm -rf "$tree/var/run"
ln -s /run "$tree/var/run"
cp "$tree/usr/share/base-passwd/passwd.master" "$tree/etc/passwd"
cp "$tree/usr/share/base-passwd/group.master" "$tree/etc/group"
cat >>"$tree/etc/passwd" <<'END'
systemd-network:x:998:998::/:/usr/sbin/nologin
messagebus:x:997:997::/nonexistent:/usr/sbin/nologin
sshd:x:996:65534::/run/sshd:/usr/sbin/nologin
END
printf 'systemd-network:x:998:\nsystemd-journal:x:999:\nmessagebus:x:997:\n' >>"$tree/etc/group"
chroot "$tree" pwconv
chroot "$tree" chown root:shadow /etc/shadow
chmod 640 "$tree/etc/shadow"
printf '%s\n' /bin/sh /bin/bash >"$tree/etc/shells"
cp "$tree/usr/share/openssh/sshd_config" "$tree/etc/ssh/sshd_config"
cd "$tree/etc/pam.d"
for kind in auth account password session session-noninteractive; do
  type=${kind%-noninteractive}
  printf '%s\t%s\n' \
    "$type" '[success=1 default=ignore] pam_unix.so' \
    "$type" 'requisite pam_deny.so' \
    "$type" 'required pam_permit.so' >"common-$kind"
done
echo 'session optional pam_systemd.so' >>common-session
cd -
echo 0123456789abcdef0123456789abcdef >"$tree/etc/machine-id"
echo guest >"$tree/etc/hostname"
: >"$tree/etc/fstab"
version=$(basename "$modules")
kernel=$tree/lib/modules/$version
mkdir -p "$kernel/kernel"
cp "$modules"/modules.order "$modules"/modules.builtin* "$kernel/"
for part in net lib crypto arch/x86/crypto drivers/virtio drivers/block/virtio_blk.ko \
  drivers/net/virtio_net.ko drivers/net/net_failover.ko drivers/net/dummy.ko drivers/net/veth.ko \
  drivers/usb/common drivers/usb/core drivers/usb/host drivers/usb/storage drivers/hid/hid.ko \
  drivers/hid/hid-generic.ko drivers/hid/usbhid drivers/scsi/scsi_mod.ko \
  drivers/scsi/scsi_common.ko drivers/scsi/sd_mod.ko block/t10-pi.ko fs/autofs fs/ext4 fs/jbd2 \
  fs/mbcache.ko; do
  mkdir -p "$kernel/kernel/$(dirname "$part")"
  cp -a "$modules/kernel/$part" "$kernel/kernel/$part"
done
chroot "$tree" /sbin/depmod "$version"
chroot "$tree" /sbin/ldconfig
touch "$tree/etc/.updated" "$tree/var/.updated"

# What it starts: the network, and a shell for the machine around it.
units=$tree/etc/systemd/system
mkdir -p "$tree/etc/systemd/network" "$units/multi-user.target.wants" "$units/sysinit.target.wants"
cat >"$tree/etc/systemd/network/10-wired.network" <<'END'
[Match]
Name=en* eth*
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
END
ln -s /lib/systemd/system/multi-user.target "$units/default.target"
ln -s /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
for unit in getty.target systemd-hwdb-update.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-pstore.service \
  systemd-networkd-wait-online.service systemd-rfkill.socket; do
  ln -sf /dev/null "$units/$unit"
done
# People, their sessions and the bus between them come where a machine is started with
# `systemd.wants=` of them.
rm "$tree"/lib/systemd/system/multi-user.target.wants/systemd-logind.service \
  "$tree"/lib/systemd/system/multi-user.target.wants/dbus.service
cat >"$units/terminal.service" <<'END'
[Unit]
Description=Runs what the machine around asks for
DefaultDependencies=no
[Service]
ExecStart=/usr/local/sbin/terminal
Restart=always
END
cat >"$tree/usr/local/sbin/terminal" <<'END'
#!/bin/bash
stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 >/dev/ttyS1 2>/dev/null
echo ready
while IFS= read -r end; do
  script=
  while IFS= read -r line && [ "$line" != "$end" ]; do script+=$line$'\n'; done
  bash -c "$script" </dev/null 2>&1 | sed 's/^/|/;$a\'
  echo "$end ${PIPESTATUS[0]}"
done
END
# Who speaks as soon as it can, to somebody it has no business with.
cat >"$units/noise.service" <<'END'
[Unit]
Description=Sends to a forbidden peer from the first moment on
DefaultDependencies=no
ConditionKernelCommandLine=cordon.noise
[Service]
ExecStart=/bin/bash -c 'while :; do echo noise 2>/dev/null >/dev/udp/192.0.2.77/9; sleep 0.05; done'
StandardError=null
END
chmod +x "$tree/usr/local/sbin/terminal"
ln -s ../terminal.service "$units/multi-user.target.wants/"
ln -s ../noise.service "$units/sysinit.target.wants/"

mke2fs -q -t ext4 -d "$tree" "$into/disk" 900M
