#!/bin/sh
# Makes those secrets of a site in Kubernetes that nobody else can give, one folder for each secret: a token for
# Alertmanager, the key by which every receiver knows who is signed in, web.yml with an operator and Prometheus, a key for
# the fleet. All of it is random. docs/deployment.md says what to put beside it.
#
#   deploy/kubernetes/secrets.sh FOLDER
set -eu
folder=${1:?the folder to be made is missing}
for program in openssl htpasswd ssh-keygen; do
  command -v $program > /dev/null || { echo "$program is missing" >&2; exit 1; }
done
umask 077
# What a site uses is never made anew: a folder that is there already ends this.
mkdir "$folder"
cd "$folder"
mkdir alertmend-receiver alertmend-worker alertmend-prometheus

secret() { openssl rand -hex 32 | tr -d '\n' > "$1"; }
# By itself, and not where it is used: there nobody would notice that it failed.
hash() { htpasswd -niBC 10 '' < "$1"; }

secret alertmend-receiver/am-token
openssl rand -out alertmend-receiver/session-key 64
secret admin-password
secret alertmend-prometheus/password
printf prometheus > alertmend-prometheus/username
admin=$(hash admin-password)
prometheus=$(hash alertmend-prometheus/password)
cat > alertmend-receiver/web.yml << END
# Alertmanager delivers, Prometheus looks at /metrics, admin may do everything.
receiver_tokens_files: [am-token]
session: {key_file: session-key}
basic_auth_users:
  admin: ${admin#:}
  prometheus: ${prometheus#:}
roles: {operator: [admin], viewer: [prometheus]}
END
ssh-keygen -q -t ed25519 -N '' -C alertmend -f alertmend-worker/ssh-key
mv alertmend-worker/ssh-key.pub .
