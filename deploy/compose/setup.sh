#!/bin/sh
# Makes the site's secrets once, in the volume that the services share. Nothing secret is in the repository.
set -eu
umask 077
cd /secrets
[ -e done ] && exit 0

secret() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# bcrypt, as Prometheus' web configuration has it; Debian's C library knows it.
hash() { python3 -W ignore -c 'import crypt, sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1024)))' "$(cat "$1")"; }

secret > am-token
secret > admin-password
secret > prometheus-password
cat > web.yml << END
# Alertmanager delivers, Prometheus looks at /metrics, admin may do everything.
receiver_tokens_files: [am-token]
basic_auth_users:
  admin: $(hash admin-password)
  prometheus: $(hash prometheus-password)
roles: {operator: [admin], viewer: [prometheus]}
END
secret > db-password
printf 'postgresql://alertmend:%s@postgres:5432/alertmend\n' "$(cat db-password)" > db-url
rm -f ssh-key ssh-key.pub host-key host-key.pub
ssh-keygen -q -t ed25519 -N '' -C alertmend -f ssh-key
ssh-keygen -q -t ed25519 -N '' -C target -f host-key
printf 'target %s\n' "$(cat host-key.pub)" > known_hosts

# Who reads what: alertmend is user 10001 in its image, Alertmanager and Prometheus run as nobody.
chown 10001 db-url ssh-key known_hosts web.yml admin-password
chmod 0444 am-token known_hosts ssh-key.pub prometheus-password
chmod 0755 .
touch done
