#!/usr/bin/env bash
# Makes the serving certificates of both programs and, the first time, the CA that signs them,
# in certs/ beside this script, where its kustomization picks them up. Keep certs/ca.key
# out of the cluster: the next certificates are made with it.
#
# usage: gen-certs.sh [DAYS]   (lifetime of the serving certificates; default: 365)
set -o errexit -o nounset -o pipefail

days="${1:-365}"
cd "$(dirname "${BASH_SOURCE[0]}")"
umask 077
mkdir -p certs
cd certs

if [[ ! -e ca.key ]]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
    -subj /CN=clusterpass-ca -keyout ca.key -out ca.crt \
    -addext basicConstraints=critical,CA:true,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
fi

for program in clusterpass-apiserver clusterpass-controller-manager; do
  name="${program}.clusterpass-system.svc"
  mkdir -p "${program}"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 \
    -subj "/CN=${name}" -keyout "${program}/tls.key.new" -out "${program}/tls.csr"
  openssl x509 -req -in "${program}/tls.csr" -CA ca.crt -CAkey ca.key -sha256 -days "${days}" -out "${program}/tls.crt.new" \
    -extfile <(printf '%s\n' "subjectAltName=DNS:${name}" basicConstraints=critical,CA:false \
      keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth)
  mv "${program}/tls.key.new" "${program}/tls.key"
  mv "${program}/tls.crt.new" "${program}/tls.crt"
  rm "${program}/tls.csr"
  openssl x509 -in "${program}/tls.crt" -noout -enddate | sed "s/^notAfter=/${program}: the certificate is valid until /"
done

cat >ca-bundle.patch.yaml <<PATCH
- op: add
  path: /spec/caBundle
  value: $(openssl base64 -A -in ca.crt)
PATCH
