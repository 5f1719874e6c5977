// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"time"

	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	certutil "k8s.io/client-go/util/cert"
)

// endOf returns when a credential ends, as it says itself: by the claim exp of a token that is a
// JWT, and by the end of a certificate. known is false if it does not say.
func endOf(credential *clientauthenticationv1.ExecCredentialStatus) (end time.Time, known bool) {
	if parts := strings.Split(credential.Token, "."); len(parts) == 3 {
		var claims struct {
			Expiry float64 `json:"exp"`
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(payload, &claims) == nil && claims.Expiry > 0 && claims.Expiry < math.MaxInt32*2 {
			end, known = time.Unix(int64(claims.Expiry), 0), true
		}
	}
	certs, err := certutil.ParseCertsPEM([]byte(credential.ClientCertificateData))
	if err == nil && (!known || certs[0].NotAfter.Before(end)) {
		end, known = certs[0].NotAfter, true
	}
	return end, known
}
