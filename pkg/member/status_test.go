// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// No token is passed on from a member's words.
func TestClient_AnswerErrorWithToken(t *testing.T) {
	token := "eyJhbGciOiJSUzI1NiJ9." + strings.Repeat("eyJpc3Mi", 200) + ".c2lnbmF0dXJl"
	for _, code := range []int32{http.StatusBadGateway, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		err := (&Client{}).answerError(metav1.Status{Code: code, Message: "the proxy was sent Authorization: Bearer " + token + " and more"}, "list pods")
		assert.NotContains(t, err.Error(), "eyJ")
		assert.ErrorContains(t, err, "Bearer (a token) and more")
	}
}
