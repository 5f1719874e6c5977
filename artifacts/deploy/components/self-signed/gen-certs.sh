#!/usr/bin/env bash
# Makes the serving certificate of clusterpass-apiserver and, the first time, the CA that signs it,
# in certs/ beside this script, where its kustomization picks them up. Keep certs/ca.key
# out of the cluster: the next certificate is made with it.
#
# usage: gen-certs.sh [DAYS]   (lifetime of the serving certificate; default: 365)
set -o errexit -o nounset -o pipefail

days="${1:-365}"
name=clusterpass-apiserver.clusterpass-system.svc
cd "$(dirname "${BASH_SOURCE[0]}")"
umask 077
mkdir -p certs
cd certs

if [[ ! -e ca.key ]]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
    -subj /CN=clusterpass-ca -keyout ca.key -out ca.crt \
    -addext basicConstraints=critical,CA:true,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
fi

openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 \
  -subj "/CN=${name}" -keyout tls.key.new -out tls.csr
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -sha256 -days "${days}" -out tls.crt.new \
  -extfile <(printf '%s\n' "subjectAltName=DNS:${name}" basicConstraints=critical,CA:false \
    keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth)
mv tls.key.new tls.key
mv tls.crt.new tls.crt
rm tls.csr

cat >ca-bundle.patch.yaml <<PATCH
- op: add
  path: /spec/caBundle
  value: $(openssl base64 -A -in ca.crt)
PATCH
openssl x509 -in tls.crt -noout -enddate | sed 's/^notAfter=/the certificate is valid until /'
