#!/bin/sh
# The key of the workers may log in as root, and nobody else; the host key is the one in their known_hosts.
set -eu
install -d -m 0700 /root/.ssh
install -m 0600 /secrets/ssh-key.pub /root/.ssh/authorized_keys
install -m 0600 /secrets/host-key /etc/ssh/host-key
service nginx start
exec /usr/sbin/sshd -D -e -h /etc/ssh/host-key -o PasswordAuthentication=no -o PermitRootLogin=prohibit-password
